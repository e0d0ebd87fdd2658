// Singular values and orthogonal bases of a matrix: what PiSSA, OLoRA and extraction are made of.

import CLoRAKernels

/// A matrix that cannot be decomposed.
public struct LinearAlgebraError: Error, Hashable, CustomStringConvertible {
  /// What is wrong.
  public let message: String
  /// What to do.
  public let hint: String
  /// The message and the hint.
  public var description: String { "\(message)\nhint: \(hint)" }

  static func notFinite(_ shape: Shape) -> LinearAlgebraError {
    LinearAlgebraError(
      message: "a matrix of shape \(shape) has no decomposition: it holds NaN or infinity",
      hint: "the weights are broken: look for where they came from")
  }
}

/// M ≈ U·diag(S)·Vᵀ with orthonormal columns of U and rows of Vᵀ, the largest values first.
public struct SingularValueDecomposition: Sendable {
  /// U, [m, k].
  public let u: Tensor
  /// S, k numbers, none negative.
  public let s: [Float]
  /// Vᵀ, [k, n].
  public let vt: Tensor

  /// Factors B = U·√(S·c) [m, k] and A = √(S·c)·Vᵀ [k, n], so that B·A = c·U·diag(S)·Vᵀ.
  public func factors(times c: Float = 1) -> (a: Tensor, b: Tensor) {
    let roots = s.map { ($0 * c).squareRoot() }
    let a = vt.copied()
    let b = u.copied()
    let (rows, width, count) = (u.shape[0], vt.shape[1], s.count)
    for (index, root) in roots.enumerated() {
      for column in 0..<width { a.floats[index * width + column] *= root }
      for row in 0..<rows { b.floats[row * count + index] *= root }
    }
    return (a, b)
  }
}

extension Tensor {
  /// The singular value decomposition of a matrix [m, n], whole or of the `rank` largest values.
  ///
  /// In double precision. A few values of a large matrix come from the eigenvectors of M·Mᵀ (or
  /// MᵀM, whichever is smaller), which is exact to 1e-8 of the largest value and many times faster.
  /// The signs are such that the largest element of each column of U is positive, so the result
  /// does not depend on the LAPACK that is installed.
  /// - Throws: `LinearAlgebraError` where the matrix holds NaN or infinity.
  public func singularValueDecomposition(rank: Int? = nil) throws -> SingularValueDecomposition {
    precondition(shape.rank == 2, "singular values: a tensor of shape \(shape) is no matrix")
    let matrix = ColumnMajor(self)
    guard matrix.elements.allSatisfy(\.isFinite) else { throw LinearAlgebraError.notFinite(shape) }
    let most = min(shape[0], shape[1])
    let count = min(rank ?? most, most)
    let isWhole = count * 4 > most || most <= 32
    guard
      case (var u, let s, var v)? = isWhole
        ? LAPACK.singularValues(matrix) : Self.fewSingularValues(matrix, count: count)
    else { throw LinearAlgebraError.notFinite(shape) }
    for column in 0..<count {
      let largest = (0..<u.rows).max { abs(u[$0, column]) < abs(u[$1, column]) } ?? 0
      if u.rows > 0, u[largest, column] < 0 {
        u.scaleColumn(column, by: -1)
        v.scaleColumn(column, by: -1)
      }
    }
    return SingularValueDecomposition(
      u: u.tensor(firstColumns: count), s: s.prefix(count).map(Float.init),
      vt: v.transposedTensor(firstColumns: count))
  }

  /// The eigenvectors of the smaller Gram matrix are the vectors of one side; M takes them to the
  /// other: V = Mᵀ·U/S.
  private static func fewSingularValues(
    _ matrix: ColumnMajor, count: Int
  ) -> (u: ColumnMajor, s: [Double], v: ColumnMajor)? {
    let isWide = matrix.rows <= matrix.columns
    let gram = LAPACK.gram(matrix, transposed: !isWide)
    guard let (values, near) = LAPACK.largestEigenvalues(of: gram, count: count) else {
      return nil
    }
    var far = ColumnMajor(rows: isWide ? matrix.columns : matrix.rows, columns: count)
    for column in 0..<count {
      for c in 0..<matrix.columns {
        if isWide {
          var sum = 0.0
          for r in 0..<matrix.rows { sum += matrix[r, c] * near[r, column] }
          far[c, column] = sum
        } else {
          let factor = near[c, column]
          for r in 0..<matrix.rows { far[r, column] += matrix[r, c] * factor }
        }
      }
    }
    // The length of M·v is the value, more exactly than the eigenvalue's root where it is small.
    var lengths = [Double](repeating: 0, count: count)
    let largest = (values.first ?? 0).squareRoot()
    for column in 0..<count {
      var sum = 0.0
      for row in 0..<far.rows { sum += far[row, column] * far[row, column] }
      lengths[column] = sum.squareRoot()
      // What is nothing but rounding has no direction.
      let isNothing = lengths[column] <= 1e-12 * largest
      far.scaleColumn(column, by: isNothing ? 0 : 1 / lengths[column])
      if isNothing { lengths[column] = 0 }
    }
    return isWide ? (near, lengths, far) : (far, lengths, near)
  }

  /// The `rank` largest singular values by subspace iteration from random vectors (Halko,
  /// Martinsson & Tropp 2011, algorithm 4.4): close to exact after a few iterations, and fast.
  ///
  /// - Throws: `LinearAlgebraError` where the matrix holds NaN or infinity.
  public func singularValueDecomposition(
    rank: Int, iterations: Int, random: inout Random
  ) throws -> SingularValueDecomposition {
    precondition(shape.rank == 2, "singular values: a tensor of shape \(shape) is no matrix")
    let count = min(rank, shape[0], shape[1])
    let matrix = converted(to: .float32)
    guard lk_sum_of_squares(matrix.floats, matrix.count).isFinite else {
      throw LinearAlgebraError.notFinite(shape)
    }
    func image(of basis: Tensor) -> Tensor {  // M·X of X [n, k]
      let y = Tensor.zeros([shape[0], count])
      multiply(Matrix(matrix), Matrix(basis), into: Matrix(y))
      return y
    }
    func preimage(of basis: Tensor) -> Tensor {  // Mᵀ·Y of Y [m, k]
      let x = Tensor.zeros([shape[1], count])
      multiply(Matrix(matrix), Matrix(basis), transposeA: true, into: Matrix(x))
      return x
    }
    var basis = try image(of: random.normal([shape[1], count])).orthonormalColumns().q
    for _ in 0..<max(iterations, 0) {
      basis = try preimage(of: basis).orthonormalColumns().q
      basis = try image(of: basis).orthonormalColumns().q
    }
    // M ≈ Q·(QᵀM): the small matrix (QᵀM)ᵀ = MᵀQ [n, k] is decomposed exactly.
    let small = try preimage(of: basis).singularValueDecomposition()
    let u = Tensor.zeros([shape[0], count])
    multiply(Matrix(basis), Matrix(small.vt), transposeB: true, into: Matrix(u))
    return SingularValueDecomposition(u: u, s: small.s, vt: small.u.transposed())
  }

  /// Q [m, k] with orthonormal columns and upper triangular R [k, k], Q·R = this matrix [m, k], or
  /// its first `limit` columns; the signs are LAPACK's, as in PyTorch and NumPy.
  ///
  /// - Throws: `LinearAlgebraError` where the matrix holds NaN or infinity.
  public func orthonormalColumns(first limit: Int? = nil) throws -> (q: Tensor, r: Tensor) {
    precondition(shape.rank == 2, "QR: a tensor of shape \(shape) is no matrix")
    let matrix = ColumnMajor(self, firstColumns: limit)
    guard matrix.elements.allSatisfy(\.isFinite), let (q, r) = LAPACK.qr(matrix) else {
      throw LinearAlgebraError.notFinite(shape)
    }
    return (q.tensor(), r.tensor())
  }

  /// The matrix with rows and columns exchanged; not recorded.
  package func transposed() -> Tensor {
    precondition(shape.rank == 2, "transposed: a tensor of shape \(shape) is no matrix")
    return ColumnMajor(self).transposedTensor()
  }
}

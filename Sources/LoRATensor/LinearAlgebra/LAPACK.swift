// Calls LAPACK on column-major matrices of doubles; nothing above this file knows of Fortran.

import CLAPACK

/// A column-major matrix of doubles, as LAPACK works on it.
struct ColumnMajor {
  var elements: [Double]
  let rows: Int
  let columns: Int

  init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    elements = [Double](repeating: 0, count: rows * columns)
  }

  /// A copy of a tensor's matrix, or of its first `limit` columns.
  init(_ tensor: Tensor, firstColumns limit: Int? = nil) {
    let wide = tensor.converted(to: .float32)
    let width = wide.shape.lastDimension
    self.init(rows: wide.shape.rows, columns: min(limit ?? width, width))
    withExtendedLifetime(wide) {
      let source = wide.floats
      for row in 0..<rows {
        for column in 0..<columns {
          elements[column * rows + row] = Double(source[row * width + column])
        }
      }
    }
  }

  subscript(row: Int, column: Int) -> Double {
    get { elements[column * rows + row] }
    set { elements[column * rows + row] = newValue }
  }

  /// Multiplies a column by a number.
  mutating func scaleColumn(_ column: Int, by factor: Double) {
    for row in 0..<rows { self[row, column] *= factor }
  }

  /// The first `limit` columns as a float32 tensor [rows, limit].
  func tensor(firstColumns limit: Int? = nil) -> Tensor {
    let width = min(limit ?? columns, columns)
    let result = Tensor(uninitialized: [rows, width])
    for row in 0..<rows {
      for column in 0..<width { result.floats[row * width + column] = Float(self[row, column]) }
    }
    return result
  }

  /// The transposed first `limit` columns as a float32 tensor [limit, rows].
  func transposedTensor(firstColumns limit: Int? = nil) -> Tensor {
    let count = min(limit ?? columns, columns)
    let result = Tensor(uninitialized: [count, rows])
    for index in 0..<(count * rows) { result.floats[index] = Float(elements[index]) }
    return result
  }
}

/// The routines used here. Each returns nil where the method did not converge, which LAPACK
/// reports for matrices that hold NaN or infinity.
enum LAPACK {
  /// Q and R of the QR factorisation of a matrix with at least as many rows as columns.
  static func qr(_ matrix: ColumnMajor) -> (q: ColumnMajor, r: ColumnMajor)? {
    precondition(
      matrix.rows >= matrix.columns,
      "QR: a matrix of \(matrix.rows) × \(matrix.columns) has fewer rows than columns")
    var q = matrix
    var r = ColumnMajor(rows: matrix.columns, columns: matrix.columns)
    guard matrix.columns > 0 else { return (q, r) }
    var (m, n) = (CInt(matrix.rows), CInt(matrix.columns))
    var tau = [Double](repeating: 0, count: matrix.columns)
    var info: CInt = 0
    let isFactored = withWorkspace { work, size in
      dgeqrf_(&m, &n, &q.elements, &m, &tau, work, size, &info)
      return info
    }
    guard isFactored else { return nil }
    for column in 0..<matrix.columns {
      for row in 0...column { r[row, column] = q[row, column] }
    }
    let isFormed = withWorkspace { work, size in
      dorgqr_(&m, &n, &n, &q.elements, &m, &tau, work, size, &info)
      return info
    }
    return isFormed ? (q, r) : nil
  }

  /// U, S and V of the thin decomposition M = U·diag(S)·Vᵀ, the largest values first.
  static func singularValues(
    _ matrix: ColumnMajor
  ) -> (u: ColumnMajor, s: [Double], v: ColumnMajor)? {
    let count = min(matrix.rows, matrix.columns)
    var a = matrix
    var u = ColumnMajor(rows: matrix.rows, columns: count)
    var vt = ColumnMajor(rows: count, columns: matrix.columns)
    var v = ColumnMajor(rows: matrix.columns, columns: count)
    var s = [Double](repeating: 0, count: count)
    guard count > 0 else { return (u, s, v) }
    var (m, n, k) = (CInt(matrix.rows), CInt(matrix.columns), CInt(count))
    var integers = [CInt](repeating: 0, count: 8 * count)
    var info: CInt = 0
    let isDone = withWorkspace { work, size in
      dgesdd_(
        "S", &m, &n, &a.elements, &m, &s, &u.elements, &m, &vt.elements, &k, work, size, &integers,
        &info, 1)
      return info
    }
    guard isDone else { return nil }
    for row in 0..<count {
      for column in 0..<matrix.columns { v[column, row] = vt[row, column] }
    }
    return (u, s, v)
  }

  /// The `count` largest eigenvalues of a symmetric matrix (its upper triangle) and their vectors,
  /// the largest first.
  static func largestEigenvalues(
    of matrix: ColumnMajor, count: Int
  ) -> (values: [Double], vectors: ColumnMajor)? {
    let size = matrix.rows
    guard count > 0 else { return ([], ColumnMajor(rows: size, columns: 0)) }
    var a = matrix
    var (n, first, last) = (CInt(size), CInt(size - count + 1), CInt(size))
    var (low, high, tolerance, found, info) = (0.0, 0.0, 0.0, CInt(0), CInt(0))
    var values = [Double](repeating: 0, count: size)
    var ascending = ColumnMajor(rows: size, columns: count)
    var support = [CInt](repeating: 0, count: 2 * size)
    var integers = [CInt](repeating: 0, count: 10 * size)
    var integerCount = CInt(10 * size)
    let isDone = withWorkspace { work, workSize in
      dsyevr_(
        "V", "I", "U", &n, &a.elements, &n, &low, &high, &first, &last, &tolerance, &found, &values,
        &ascending.elements, &n, &support, work, workSize, &integers, &integerCount, &info, 1, 1, 1)
      return info
    }
    guard isDone, found == count else { return nil }
    var vectors = ColumnMajor(rows: size, columns: count)
    for column in 0..<count {
      for row in 0..<size { vectors[row, column] = ascending[row, count - 1 - column] }
    }
    return (values[0..<count].reversed(), vectors)
  }

  /// A·Aᵀ in the upper triangle, or Aᵀ·A.
  static func gram(_ matrix: ColumnMajor, transposed: Bool) -> ColumnMajor {
    let size = transposed ? matrix.columns : matrix.rows
    var result = ColumnMajor(rows: size, columns: size)
    var (n, lda) = (CInt(size), CInt(max(matrix.rows, 1)))
    var k = CInt(transposed ? matrix.rows : matrix.columns)
    var (one, zero) = (1.0, 0.0)
    guard size > 0 else { return result }
    dsyrk_(
      "U", transposed ? "T" : "N", &n, &k, &one, matrix.elements, &lda, &zero, &result.elements,
      &n, 1, 1)
    return result
  }

  /// Asks a routine for the size of its workspace, then runs it; true if it reports no failure.
  private static func withWorkspace(
    _ routine: (UnsafeMutablePointer<Double>, UnsafePointer<CInt>) -> CInt
  ) -> Bool {
    var best = 0.0
    var query: CInt = -1
    guard routine(&best, &query) == 0 else { return false }
    query = CInt(max(best, 1))
    var work = [Double](repeating: 0, count: Int(query))
    return routine(&work, &query) == 0
  }
}

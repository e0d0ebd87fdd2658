// The lengths of the rows of W + s·B·A without forming B·A.
//
//   ‖W_i + s·(B·A)_i‖² = ‖W_i‖² + 2s·(W·Aᵀ)_i·B_i + s²·(B·(A·Aᵀ))_i·B_i
//
// and of the columns of a table E + s·(B·A)ᵀ, which are the rows of its transpose.
// The first term never changes and is formed once; the others cost out × in × r, as much as r more
// rows of input would. Exact up to float32's rounding of the products; the sums run in double.

/// Rows of a weight that exist in float32 at the same time.
private let rowBlock = 256

/// ‖W_i‖² of each row of a weight of any type, [out].
package func squaredRowNorms(_ weight: Tensor) -> Tensor {
  let result = Tensor(uninitialized: [weight.shape[0]])
  forEachRowBlock(of: weight) { rows, range in
    let width = rows.shape.lastDimension
    for row in 0..<range.count {
      var sum = 0.0
      let values = rows.floats + row * width
      for column in 0..<width { sum += Double(values[column]) * Double(values[column]) }
      result.floats[range.lowerBound + row] = Float(sum)
    }
  }
  return result
}

/// ‖W_i + s·(B·A)_i‖ of each row, [out].
///
/// - Parameter squared: what `squaredRowNorms` gave for the weight.
package func adaptedRowNorms(
  _ weight: Tensor, squared: Tensor, a: Tensor, b: Tensor, scale: Float
) -> Tensor {
  let crossed = Tensor(uninitialized: [weight.shape[0], a.shape[0]])
  forEachRowBlock(of: weight) { rows, range in
    multiply(Matrix(rows), Matrix(a), transposeB: true, into: Matrix(crossed.rows(range)))
  }
  return adaptedNorms(squared: squared, crossed: crossed, a: a, b: b, scale: scale)
}

/// ‖E_j‖² of each column of a table of any type, [width].
package func squaredColumnNorms(_ table: Tensor) -> Tensor {
  let width = table.shape[1]
  var sums = [Double](repeating: 0, count: width)
  forEachRowBlock(of: table) { rows, range in
    for row in 0..<range.count {
      let values = rows.floats + row * width
      for column in 0..<width { sums[column] += Double(values[column]) * Double(values[column]) }
    }
  }
  return Tensor(sums.map { Float($0) }, shape: [width])
}

/// ‖(E + s·(B·A)ᵀ)_j‖ of each column of an embedding's table, [width]; A is (r, vocabulary).
///
/// - Parameter squared: what `squaredColumnNorms` gave for the table.
package func adaptedColumnNorms(
  _ table: Tensor, squared: Tensor, a: Tensor, b: Tensor, scale: Float
) -> Tensor {
  let crossed = Tensor.zeros([table.shape[1], a.shape[0]])
  forEachRowBlock(of: table) { rows, range in
    multiply(
      Matrix(rows), Matrix(a, columns: range), transposeA: true, transposeB: true,
      into: Matrix(crossed), accumulate: true)
  }
  return adaptedNorms(squared: squared, crossed: crossed, a: a, b: b, scale: scale)
}

/// √(‖w_i‖² + 2s·(w·Aᵀ)_i·B_i + s²·(B·(A·Aᵀ))_i·B_i).
///
/// - Parameter crossed: w·Aᵀ, [out, r].
private func adaptedNorms(
  squared: Tensor, crossed: Tensor, a: Tensor, b: Tensor, scale: Float
) -> Tensor {
  let (count, rank) = (squared.count, a.shape[0])
  let gram = Tensor(uninitialized: [rank, rank])
  multiply(Matrix(a), Matrix(a), transposeB: true, into: Matrix(gram))
  let own = Tensor(uninitialized: [count, rank])
  multiply(Matrix(b), Matrix(gram), into: Matrix(own))
  let result = Tensor(uninitialized: [count])
  let s = Double(scale)
  for row in 0..<count {
    var (linearTerm, squareTerm) = (0.0, 0.0)
    for k in row * rank..<(row + 1) * rank {
      linearTerm += Double(crossed.floats[k]) * Double(b.floats[k])
      squareTerm += Double(own.floats[k]) * Double(b.floats[k])
    }
    let sum = Double(squared.floats[row]) + 2 * s * linearTerm + s * s * squareTerm
    result.floats[row] = Float(max(sum, 0).squareRoot())
  }
  return result
}

private func forEachRowBlock(of weight: Tensor, _ body: (Tensor, Range<Int>) -> Void) {
  for start in stride(from: 0, to: weight.shape[0], by: rowBlock) {
    let range = start..<min(start + rowBlock, weight.shape[0])
    body(weight.rows(range).converted(to: .float32), range)
  }
}

// The lengths of the rows of W + s·B·A without forming B·A.
//
//   ‖W_i + s·(B·A)_i‖² = ‖W_i‖² + 2s·(W·Aᵀ)_i·B_i + s²·(B·(A·Aᵀ))_i·B_i
//
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
  let rank = a.shape[0]
  let gram = Tensor(uninitialized: [rank, rank])
  multiply(Matrix(a), Matrix(a), transposeB: true, into: Matrix(gram))
  let result = Tensor(uninitialized: [weight.shape[0]])
  let s = Double(scale)
  forEachRowBlock(of: weight) { rows, range in
    let crossed = Tensor(uninitialized: [range.count, rank])
    multiply(Matrix(rows), Matrix(a), transposeB: true, into: Matrix(crossed))
    let part = b.rows(range)
    let own = Tensor(uninitialized: [range.count, rank])
    multiply(Matrix(part), Matrix(gram), into: Matrix(own))
    for row in 0..<range.count {
      var (linearTerm, squareTerm) = (0.0, 0.0)
      for k in row * rank..<(row + 1) * rank {
        linearTerm += Double(crossed.floats[k]) * Double(part.floats[k])
        squareTerm += Double(own.floats[k]) * Double(part.floats[k])
      }
      let index = range.lowerBound + row
      let sum = Double(squared.floats[index]) + 2 * s * linearTerm + s * s * squareTerm
      result.floats[index] = Float(max(sum, 0).squareRoot())
    }
  }
  return result
}

private func forEachRowBlock(of weight: Tensor, _ body: (Tensor, Range<Int>) -> Void) {
  for start in stride(from: 0, to: weight.shape[0], by: rowBlock) {
    let range = start..<min(start + rowBlock, weight.shape[0])
    body(weight.rows(range).converted(to: .float32), range)
  }
}

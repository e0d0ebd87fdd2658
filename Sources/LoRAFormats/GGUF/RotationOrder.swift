// The order of a head's rows: GGUF's llama files pair neighbours for the rotation, Hugging Face's
// models pair the halves of a head.

package import LoRATensor

extension Tensor {
  /// The rows of a q or k projection of a GGUF file in Hugging Face's order.
  ///
  /// Row h·d + 2i + p of the file is row h·d + p·d/2 + i here, for heads of d rows. Rows are whole
  /// blocks, so that quantised weights move as they are.
  package func inHalfRotationOrder(heads: Int) -> Tensor {
    movingRows(heads: heads) { i, p, d in (from: 2 * i + p, to: p * d / 2 + i) }
  }

  /// The rows of a q or k projection of Hugging Face's in the order of a GGUF file: the inverse.
  package func inNeighbourRotationOrder(heads: Int) -> Tensor {
    movingRows(heads: heads) { i, p, d in (from: p * d / 2 + i, to: 2 * i + p) }
  }

  private func movingRows(
    heads: Int, _ places: (_ i: Int, _ p: Int, _ d: Int) -> (from: Int, to: Int)
  ) -> Tensor {
    let result = Tensor(uninitialized: shape, dtype: dtype)
    let rowBytes = dtype.byteCount(of: shape.lastDimension)
    let d = shape[0] / heads
    precondition(
      d % 2 == 0 && d * heads == shape[0], "rotation order: \(shape[0]) rows of \(heads) heads")
    for head in 0..<heads {
      for i in 0..<d / 2 {
        for p in 0..<2 {
          let (from, to) = places(i, p, d)
          (result.pointer + (head * d + to) * rowBytes).copyMemory(
            from: pointer + (head * d + from) * rowBytes, byteCount: rowBytes)
        }
      }
    }
    return result
  }
}

// What adapters do to an embedding: low-rank columns looked up by id, and rows replaced by others.

import CLoRAKernels

/// The columns of A at the given ids, as rows: out[t] = A[:, ids[t]], [ids, r].
///
/// A is [r, vocabulary], as PEFT stores the factor of an embedding; dA[:, ids[t]] += dout[t].
package func embeddingColumns(_ a: Tensor, at ids: [Int32]) -> Tensor {
  let (rank, vocabulary) = (a.shape[0], a.shape[1])
  precondition(
    ids.allSatisfy { $0 >= 0 && Int($0) < vocabulary },
    "embeddingColumns: ids outside of a factor of shape \(a.shape)")
  let result = Tensor(uninitialized: [ids.count, rank])
  for (t, id) in ids.enumerated() {
    for k in 0..<rank { result.floats[t * rank + k] = a.floats[k * vocabulary + Int(id)] }
  }
  return Tape.record(result, inputs: [a]) { dy, gradients in
    let sum = gradients.accumulator(for: a)
    let wide = dy.converted(to: .float32)
    for (t, id) in ids.enumerated() {
      for k in 0..<rank { sum.floats[k * vocabulary + Int(id)] += wide.floats[t * rank + k] }
    }
    gradients.set(sum, for: a)
  }
}

/// x with some of its rows replaced: out[t] = table[sources[t]] where there is one, else x[t].
///
/// - Parameters:
///   - x: float32 [rows, width].
///   - table: float32 [n, width].
///   - sources: for each row of x, a row of the table or nil.
package func replacingRows(_ x: Tensor, from table: Tensor, _ sources: [Int?]) -> Tensor {
  let width = x.shape.lastDimension
  precondition(
    table.shape.lastDimension == width && sources.count == x.shape.rows,
    "replacingRows: \(sources.count) sources from \(table.shape) for \(x.shape)")
  let result = x.copied()
  for (row, source) in sources.enumerated() {
    guard let source else { continue }
    (result.floats + row * width).update(from: table.floats + source * width, count: width)
  }
  return Tape.record(result, inputs: [x, table]) { dy, gradients in
    let wide = dy.converted(to: .float32)
    if gradients.wants(table) {
      let sum = gradients.accumulator(for: table)
      for (row, source) in sources.enumerated() {
        guard let source else { continue }
        lk_axpy(1, wide.floats + row * width, sum.floats + source * width, width)
      }
      gradients.set(sum, for: table)
    }
    guard gradients.wants(x) else { return }
    let rest = wide.copied()
    for (row, source) in sources.enumerated() where source != nil {
      (rest.floats + row * width).update(repeating: 0, count: width)
    }
    gradients.add(rest, to: x)
  }
}

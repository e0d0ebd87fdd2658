// Sums, matrix products and softmax of float32 tensors.

import CLoRAKernels

extension Tensor {
  /// The sum of all elements.
  public func sum() -> Tensor {
    Tape.record(Tensor(Float(lk_sum(floats, count))), inputs: [self]) { dy, gradients in
      gradients.add(.full(shape, dy.item), to: self)
    }
  }

  /// The mean of all elements.
  public func mean() -> Tensor {
    Tape.record(Tensor(Float(lk_sum(floats, count) / Double(count))), inputs: [self]) {
      dy, gradients in
      gradients.add(.full(shape, dy.item / Float(count)), to: self)
    }
  }

  /// The same elements under another shape of the same count.
  public func reshaped(_ shape: Shape) -> Tensor {
    precondition(shape.count == count, "reshaped: \(self.shape) has no \(shape)")
    return Tape.record(viewed(as: shape), inputs: [self]) { dy, gradients in
      gradients.add(dy, to: self)
    }
  }

  /// The matrix product of [m, k] and [k, n].
  ///
  /// dA = dY·Bᵀ, dB = Aᵀ·dY.
  public func matmul(_ other: Tensor) -> Tensor {
    precondition(
      shape.rank == 2 && other.shape.rank == 2 && shape[1] == other.shape[0],
      "matmul: shapes \(shape) and \(other.shape) do not fit")
    let y = Tensor.zeros([shape[0], other.shape[1]])
    multiply(Matrix(self), Matrix(other), into: Matrix(y))
    return Tape.record(y, inputs: [self, other]) { dy, gradients in
      if gradients.wants(self) {
        let da = Tensor.zeros(shape)
        multiply(Matrix(dy), Matrix(other), transposeB: true, into: Matrix(da))
        gradients.add(da, to: self)
      }
      if gradients.wants(other) {
        let db = Tensor.zeros(other.shape)
        multiply(Matrix(self), Matrix(dy), transposeA: true, into: Matrix(db))
        gradients.add(db, to: other)
      }
    }
  }

  /// softmax over the last axis.
  public func softmax() -> Tensor { softmax(logarithm: false) }

  /// log softmax over the last axis.
  public func logSoftmax() -> Tensor { softmax(logarithm: true) }

  private func softmax(logarithm: Bool) -> Tensor {
    let y = Tensor(uninitialized: shape)
    let flag: Int32 = logarithm ? 1 : 0
    lk_softmax(floats, y.floats, shape.rows, shape.lastDimension, flag)
    return Tape.record(y, inputs: [self]) { dy, gradients in
      let sum = gradients.accumulator(for: self)
      lk_softmax_backward(
        y.floats, dy.floats, sum.floats, shape.rows, shape.lastDimension, flag)
      gradients.set(sum, for: self)
    }
  }

  /// Mean of -log softmax(row)[target] over the rows of [rows, classes].
  public func crossEntropy(targets: [Int32]) -> Tensor {
    let rows = shape.rows
    let classes = shape.lastDimension
    precondition(
      targets.count == rows && rows > 0
        && targets.allSatisfy { $0 >= 0 && Int($0) < classes },
      "crossEntropy: \(targets.count) targets for logits of shape \(shape)")
    let weight = 1 / Float(rows)
    let gradient = Tensor(uninitialized: shape)
    var logProbabilities = [Float](repeating: 0, count: rows)
    lk_cross_entropy(
      LK_F32, floats, targets, weight, &logProbabilities, gradient.pointer, rows, classes)
    let loss = -logProbabilities.reduce(into: 0.0) { $0 += Double($1) } / Double(rows)
    return Tape.record(Tensor(Float(loss)), inputs: [self]) { dy, gradients in
      gradients.add(gradient * Tensor(dy.item), to: self)
    }
  }
}

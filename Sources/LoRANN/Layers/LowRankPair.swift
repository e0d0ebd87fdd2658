// One low-rank path beside a weight: its factors, and what a variant adds to them.

public import LoRATensor

/// One named low-rank path: A (r, in) and B (out, r), in PEFT's orientation.
///
///   plain     y = W·x + b + s·B(A(dropout(x)))
///   lora_bias                            + s·c                      c: `bias`
///   PiSSA, OLoRA                         − s·B₀(A₀(x))              A₀, B₀: `start`, frozen
///   DoRA      y = m/n∘(W·x + s·B(A(x)) [− s·B₀(A₀(x))]) + b         m: `magnitude`, n: row norms
public final class LowRankPair {
  /// A, [r, in]: from the input to the r inner features.
  public let a: Parameter
  /// B, [out, r]: from the inner features to the output.
  public let b: Parameter
  /// c, [out]: PEFT's `lora_B.bias`.
  public let bias: Parameter?
  /// m, [out]: the trained lengths of the rows of W + s·B·A, of an embedding's table of the columns of
  /// E + s·(B·A)ᵀ; DoRA.
  public let magnitude: Parameter?
  /// A₀ and B₀, whose product is taken out of the base, where the path started as a part of it.
  public let start: (a: Tensor, b: Tensor)?
  /// s, what B·A is multiplied by.
  public var scale: Float
  /// The probability with which an element of A's input is dropped in training, in [0, 1).
  public var dropout: Float

  private var norms: RowNorms?

  /// A pair from its factors.
  public init(
    a: Parameter, b: Parameter, scale: Float, dropout: Float = 0, bias: Parameter? = nil,
    magnitude: Parameter? = nil, start: (a: Tensor, b: Tensor)? = nil
  ) {
    self.a = a
    self.b = b
    self.scale = scale
    self.dropout = dropout
    self.bias = bias
    self.magnitude = magnitude
    self.start = start
  }

  /// r.
  public var rank: Int { a.value.shape[0] }

  /// What training changes, by the names that PEFT gives it for an adapter.
  package func parameters(of adapter: String) -> [(name: String, parameter: Parameter)] {
    var all = [("lora_A.\(adapter).weight", a), ("lora_B.\(adapter).weight", b)]
    if let bias { all.append(("lora_B.\(adapter).bias", bias)) }
    if let magnitude { all.append(("lora_magnitude_vector.\(adapter).weight", magnitude)) }
    return all.map { (name: $0.0, parameter: $0.1) }
  }

  /// Puts the path beside a layer's weight.
  ///
  /// - Parameters:
  ///   - weight: the base's own weight, of which DoRA needs the lengths of the rows.
  ///   - rows: the rows of the input that the path acts on; nil: all.
  func extend(
    _ operand: inout LinearOperand, weight: Tensor, dropout: DropoutMask?, rows: [Range<Int>]?
  ) {
    var pair = LowRankOperand(
      a: a.tensor, b: b.tensor, scale: scale, dropout: dropout, rows: rows)
    if let magnitude {
      pair.magnitude = MagnitudeOperand(
        magnitude: magnitude.tensor, inverseNorm: rowNorms(of: weight).inverse, start: start)
    }
    if let bias {
      let scaled = bias.tensor * Tensor(scale)
      if rows == nil {
        operand.bias = operand.bias.map { $0 + scaled } ?? scaled
      } else {
        pair.bias = scaled
      }
    }
    // Before the pair, whose magnitude also stretches what is left of the base.
    if let start {
      operand.pairs.append(LowRankOperand(a: start.a, b: start.b, scale: -scale, rows: rows))
    }
    operand.pairs.append(pair)
  }
}

// MARK: - What the path amounts to, as a weight

extension LowRankPair {
  /// Rows of Δ = s·(B·A − B₀·A₀), float32 [rows, in]; all of them by default.
  public func delta(rows: Range<Int>? = nil) -> Tensor {
    let rows = rows ?? 0..<b.value.shape[0]
    var delta = b.value.rows(rows).matmul(a.value)
    if let start { delta = delta - start.b.rows(rows).matmul(start.a) }
    return delta * Tensor(scale)
  }

  /// Rows of the weight that does what a base weight and the path do together, float32: W + Δ, for
  /// DoRA m/n∘(W + Δ).
  ///
  /// - Parameters:
  ///   - merged: these rows of W with what other paths put into them before, float32.
  ///   - weight: the base's own W, to which n refers.
  public func mergedRows(_ rows: Range<Int>, into merged: Tensor, weight: Tensor) -> Tensor {
    let sum = merged + delta(rows: rows)
    guard let magnitude else { return sum }
    let inverse = rowNorms(of: weight).inverse
    let width = sum.shape.lastDimension
    for (index, row) in rows.enumerated() {
      let factor = magnitude.value.floats[row] * inverse.floats[row]
      for column in 0..<width { sum.floats[index * width + column] *= factor }
    }
    return sum
  }

  /// The same path with nothing taken out of the base: A' = [A; A₀], B' = [B, −B₀] of twice the
  /// rank. Without `start` it is this pair.
  public var plain: LowRankPair {
    guard let start else { return self }
    let (r, width, height) = (rank, a.value.shape[1], b.value.shape[0])
    let wideA = Tensor.zeros([2 * r, width])
    wideA.rows(0..<r).copy(from: a.value)
    wideA.rows(r..<2 * r).copy(from: start.a)
    let wideB = Tensor.zeros([height, 2 * r])
    for row in 0..<height {
      for k in 0..<r {
        wideB.floats[row * 2 * r + k] = b.value.floats[row * r + k]
        wideB.floats[row * 2 * r + r + k] = -start.b.floats[row * r + k]
      }
    }
    return LowRankPair(
      a: Parameter(wideA), b: Parameter(wideB), scale: scale, dropout: dropout, bias: bias,
      magnitude: magnitude)
  }

  /// The pair that `plain` was made of: the first half of the rank, and what it started as.
  package var withStart: LowRankPair {
    precondition(rank % 2 == 0, "LowRankPair: rank \(rank) is no doubled one")
    let (r, height) = (rank / 2, b.value.shape[0])
    func half(_ first: Int, sign: Float) -> Tensor {
      let result = Tensor.zeros([height, r])
      for row in 0..<height {
        for k in 0..<r {
          result.floats[row * r + k] = sign * b.value.floats[row * 2 * r + first + k]
        }
      }
      return result
    }
    return LowRankPair(
      a: Parameter(a.value.rows(0..<r).copied(), isTrainable: a.isTrainable),
      b: Parameter(half(0, sign: 1), isTrainable: b.isTrainable), scale: scale, dropout: dropout,
      bias: bias, magnitude: magnitude,
      start: (a.value.rows(r..<2 * r).copied(), half(r, sign: -1)))
  }

  /// Whether a layer computes something else with the path than without it.
  package func hasEffect(beside base: any LinearLayer) -> Bool {
    func isZero(_ tensor: Tensor) -> Bool { tensor.elements.allSatisfy { $0 == 0 } }
    if let magnitude {
      let lengths = rowLengths(of: base.operand.weight).elements
      let differs = zip(magnitude.value.elements, lengths).contains {
        abs($0 - $1) > 1e-5 * abs($1)
      }
      if differs { return true }
    }
    return scale != 0 && !(isZero(b.value) && start == nil && bias.map { isZero($0.value) } ?? true)
  }

  /// s·c, what the path adds to the layer's bias.
  public var biasDelta: Tensor? { bias.map { $0.value * Tensor(scale) } }

  /// ‖W_i + s·(B·A)_i‖ of every row; the lengths with which DoRA starts.
  package func rowLengths(of weight: Tensor) -> Tensor { rowNorms(of: weight).lengths }

  /// ‖(E + s·(B·A)ᵀ)_j‖ of every column of an embedding's table: DoRA's lengths there.
  package func columnLengths(of table: Tensor) -> Tensor {
    norms(of: table, ofColumns: true).lengths
  }

  /// What stretches the columns of an embedding's table; nil without DoRA.
  func stretch(ofTable table: Tensor) -> MagnitudeOperand? {
    magnitude.map {
      MagnitudeOperand(
        magnitude: $0.tensor, inverseNorm: norms(of: table, ofColumns: true).inverse)
    }
  }

  /// The norms that DoRA divides by, formed again only when A or B have changed: a token generated
  /// must not cost more than the layer itself.
  private func rowNorms(of weight: Tensor) -> RowNorms { norms(of: weight, ofColumns: false) }

  private func norms(of weight: Tensor, ofColumns: Bool) -> RowNorms {
    if let norms, norms.versions == [a.version, b.version], norms.scale == scale { return norms }
    let squared =
      norms?.squared ?? (ofColumns ? squaredColumnNorms(weight) : squaredRowNorms(weight))
    let whole = plain
    let lengths = ofColumns ? adaptedColumnNorms : adaptedRowNorms
    let fresh = RowNorms(
      squared: squared, versions: [a.version, b.version], scale: scale,
      lengths: lengths(weight, squared, whole.a.value, whole.b.value, scale))
    norms = fresh
    return fresh
  }
}

/// The lengths of the rows of an adapted weight, and what they were formed from.
private struct RowNorms {
  let squared: Tensor  // ‖W_i‖²
  let versions: [UInt64]
  let scale: Float
  let lengths: Tensor
  let inverse: Tensor

  init(squared: Tensor, versions: [UInt64], scale: Float, lengths: Tensor) {
    self.squared = squared
    self.versions = versions
    self.scale = scale
    self.lengths = lengths
    // A row of zeros has no direction: it stays 0 whatever its length.
    inverse = Tensor(lengths.elements.map { $0 > 0 ? 1 / $0 : 0 }, shape: lengths.shape)
  }
}

// LoRA on an embedding, and trained tokens: what adapters put beside a frozen table.
//
//   y = E[ids] + s·(Aᵀ[ids])·Bᵀ        A (r, vocabulary), B (width, r), as PEFT stores them
//   y = m/n∘(E[ids] + s·(Aᵀ[ids])·Bᵀ)  DoRA: m (width), n the lengths of the columns of E + s·(B·A)ᵀ
//
// B·A is the transpose of what is added to the table. A starts at 0 and B at N(0, 1): PEFT's order.
// Trained tokens are rows of their own that stand in for the table's: new values, no differences.

public import LoRATensor

/// An embedding: a table of vectors, plain or with adapters.
public protocol EmbeddingLayer: Module {
  /// The number of rows.
  var vocabularySize: Int { get }
  /// The length of a row.
  var width: Int { get }
  /// The vectors of the given ids, float32 [ids, width].
  func callAsFunction(_ ids: [Int32]) -> Tensor
}

/// Rows of an embedding that an adapter trains.
public final class TokenRows {
  /// The tokens, each once.
  public let indices: [Int]
  /// Their vectors, [tokens, width].
  public let rows: Parameter
  private let places: [Int32: Int]

  package init(indices: [Int], rows: Parameter) {
    self.indices = indices
    self.rows = rows
    places = Dictionary(
      indices.enumerated().map { (Int32($1), $0) }, uniquingKeysWith: { first, _ in first })
  }

  func place(of id: Int32) -> Int? { places[id] }
}

/// An embedding with named low-rank pairs and trained rows.
public final class LoRAEmbedding: EmbeddingLayer {
  /// The frozen embedding.
  public let base: Embedding
  /// The low-rank paths by the name of their adapter, in the order they were added.
  public private(set) var pairs: [(name: String, pair: LowRankPair)] = []
  /// The trained rows by the name of their adapter.
  public private(set) var tokens: [(name: String, tokens: TokenRows)] = []
  /// The adapters that take part; all that were added, unless changed.
  public var activeAdapters: Set<String> = []

  /// Whether any adapter takes part: false leaves the base alone, whatever is active.
  public var isEnabled = true

  /// Wraps an embedding and freezes it.
  public init(base: Embedding) {
    self.base = base
    base.freeze()
  }

  public var vocabularySize: Int { base.vocabularySize }
  public var width: Int { base.width }

  /// Adds a pair: A (r, vocabulary), B (width, r).
  public func add(_ name: String, _ pair: LowRankPair) {
    precondition(
      pair.a.value.shape == [pair.rank, vocabularySize]
        && pair.b.value.shape == [width, pair.rank],
      "LoRAEmbedding(\(vocabularySize) × \(width)): factors of shapes \(pair.a.value.shape) and "
        + "\(pair.b.value.shape)")
    pairs.append((name, pair))
    activeAdapters.insert(name)
  }

  /// Adds trained rows.
  public func add(_ name: String, _ rows: TokenRows) {
    precondition(
      rows.rows.value.shape == [rows.indices.count, width]
        && rows.indices.allSatisfy { $0 >= 0 && $0 < vocabularySize },
      "LoRAEmbedding(\(vocabularySize) × \(width)): rows of shape \(rows.rows.value.shape)")
    tokens.append((name, rows))
    activeAdapters.insert(name)
  }

  /// Takes an adapter's pair and rows away.
  public func remove(_ name: String) {
    pairs.removeAll { $0.name == name }
    tokens.removeAll { $0.name == name }
    activeAdapters.remove(name)
  }

  /// Gives an adapter another name, which no other has.
  public func rename(_ name: String, to newName: String) {
    for index in pairs.indices where pairs[index].name == name { pairs[index].name = newName }
    for index in tokens.indices where tokens[index].name == name { tokens[index].name = newName }
    if activeAdapters.remove(name) != nil { activeAdapters.insert(newName) }
  }

  public var parameters: [(name: String, parameter: Parameter)] {
    pairs.flatMap { name, pair in
      [("lora_embedding_A.\(name)", pair.a), ("lora_embedding_B.\(name)", pair.b)]
        + (pair.magnitude.map { [("lora_magnitude_vector.\(name).weight", $0)] } ?? [])
    }
      + tokens.map { ("token_adapter.trainable_tokens_delta.\($0.name)", $0.tokens.rows) }
  }

  public var children: [ModuleChild] { [ModuleChild("base_layer", base)] }

  public func callAsFunction(_ ids: [Int32]) -> Tensor {
    var y = base(ids)
    for (name, pair) in pairs {
      guard let rows = rows(of: name) else { continue }
      let p = embeddingColumns(pair.a.tensor, at: ids) * Tensor(pair.scale)
      if let rows { p.clearRows(outside: rows, columns: 0..<pair.rank) }
      y = linear(.plain(p), [LinearOperand(weight: pair.b.tensor)], residual: y)[0]
      if let stretch = pair.stretch(ofTable: base.weight.value) {
        y = stretched(y, by: stretch, rows: rows)
      }
    }
    for (tokens, rows) in activeTokens {
      let sources = ids.enumerated().map { row, id in
        rows?.contains { $0.contains(row) } ?? true ? tokens.place(of: id) : nil
      }
      y = replacingRows(y, from: tokens.rows.tensor, sources)
    }
    return y
  }

  fileprivate var activeTokens: [(tokens: TokenRows, rows: [Range<Int>]?)] {
    tokens.compactMap { name, tokens in rows(of: name).map { (tokens, $0) } }
  }

  private func rows(of name: String) -> [Range<Int>]?? {
    let rows = PassContext.rows(of: name, isActive: isEnabled && activeAdapters.contains(name))
    return rows == .none ? nil : .some(rows.ranges)
  }
}

extension LowRankPair {
  /// A path beside an embedding: A is 0 and B ~ N(0, 1), whatever the configuration's initialisation,
  /// as in PEFT; for `uniformBoth` A ~ N(0, 1) too.
  ///
  /// - Throws: `LoRAConfigurationError` for what an embedding cannot have.
  public convenience init(
    _ configuration: LoRALinearConfiguration, besideEmbedding base: Embedding,
    random: inout Random
  ) throws {
    try configuration.validate()
    if configuration.hasBiasOfB || configuration.initialization.movesBase {
      throw LoRAConfigurationError(
        message: "an embedding is adapted by LoRA and DoRA alone, not with a bias of B, PiSSA or "
          + "OLoRA",
        hint: "leave the embedding out of the targets")
    }
    let shape: Shape = [configuration.rank, base.vocabularySize]
    self.init(
      a: Parameter(
        configuration.initialization == .uniformBoth
          ? random.normal(shape, deviation: 1) : .zeros(shape)),
      b: Parameter(random.normal([base.width, configuration.rank], deviation: 1)),
      scale: configuration.scale,
      magnitude: configuration.usesDoRA ? Parameter(.zeros([base.width])) : nil)
    magnitude?.load(columnLengths(of: base.weight.value))
  }
}

/// A head that shares its table with an embedding: trained tokens change its rows too.
///
///   logits = h·Wᵀ + (h·(E − W[tokens])ᵀ)·Sᵀ        S (vocabulary, tokens): ones at the tokens
public final class TiedHead: LinearLayer {
  /// The frozen head.
  public let base: any LinearLayer
  package let embedding: LoRAEmbedding
  private var selections: [ObjectIdentifier: (shared: Tensor, selection: Tensor)] = [:]

  /// Ties a head to an embedding with trained tokens.
  public init(base: any LinearLayer, embedding: LoRAEmbedding) {
    self.base = base
    self.embedding = embedding
  }

  public var inFeatures: Int { base.inFeatures }
  public var outFeatures: Int { base.outFeatures }
  public var parameters: [(name: String, parameter: Parameter)] { base.parameters }
  public var children: [ModuleChild] { base.children }

  public var operand: LinearOperand {
    var operand = base.operand
    for (tokens, rows) in embedding.activeTokens {
      let (shared, selection) = parts(of: tokens, weight: operand.weight)
      operand.pairs.append(
        LowRankOperand(a: tokens.rows.tensor - shared, b: selection, scale: 1, rows: rows))
    }
    return operand
  }

  private func parts(of tokens: TokenRows, weight: Tensor) -> (shared: Tensor, selection: Tensor) {
    if let known = selections[ObjectIdentifier(tokens)] { return known }
    let shared = LoRATensor.embedding(weight, at: tokens.indices.map { Int32($0) }).detached
    let selection = Tensor.zeros([outFeatures, tokens.indices.count])
    for (place, index) in tokens.indices.enumerated() {
      selection.floats[index * tokens.indices.count + place] = 1
    }
    selections[ObjectIdentifier(tokens)] = (shared, selection)
    return (shared, selection)
  }
}

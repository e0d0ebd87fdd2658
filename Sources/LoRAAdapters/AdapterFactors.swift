// The tensors in an adapter's file, matched with the parts of the model they belong to and checked.

import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

/// Every tensor of an adapter, float32, sharing no bytes with the file.
struct AdapterFactors {
  private var factors: [String: [AdapterFile.Factor: Tensor]] = [:]
  private var parameters: [String: Tensor] = [:]
  /// Whether a trained parameter or row differs from the model's.
  private(set) var changeParameters = false
  /// What is odd about the file.
  private(set) var warnings: [String] = []

  /// The pair of a layer.
  ///
  /// - Throws: `LinearAlgebraError` where the base's weight, of which the factors began as a part, is
  ///   not finite.
  func pair(of target: TargetedLayer, isTrainable: Bool) throws -> LowRankPair? {
    guard let found = factors[target.path], let a = found[.a], let b = found[.b] else { return nil }
    let base = target.site.adapted?.base ?? target.site.linear
    let start = try base.flatMap { try target.pair.start(besides: $0.operand.weight) }
    func parameter(_ tensor: Tensor) -> Parameter { Parameter(tensor, isTrainable: isTrainable) }
    return LowRankPair(
      a: parameter(a), b: parameter(b), scale: target.pair.scale,
      dropout: isTrainable ? target.pair.dropout : 0, bias: found[.bias].map(parameter),
      magnitude: found[.magnitude].map(parameter), start: start)
  }

  /// The values of a trained parameter by its path, or of an embedding's rows by the embedding's.
  func values(_ path: String) -> Tensor? { parameters[path] }

  /// Takes every tensor out of the file.
  ///
  /// - Throws: `AdapterError` with the first few tensors that do not correspond to the selected
  ///   parts of the model, or the first value that is not finite.
  init(file: SafeTensorsFile, selection: TargetSelection, map: ModuleMap) throws {
    var matching = AdapterMatching(file: file, selection: selection, map: map)
    try matching.check()
    for target in selection.layers {
      for factor in target.factors {
        factors[target.path, default: [:]][factor] = try Self.tensor(
          matching.tensorName(.factor(target.path, factor)), in: file)
      }
    }
    for trained in selection.parameters {
      let values = try Self.tensor(matching.tensorName(.parameter(trained.savedPath)), in: file)
      if values.elements != trained.parameter.value.unshared.elements { changeParameters = true }
      parameters[trained.path] = values
    }
    for rows in selection.rows {
      let values = try Self.tensor(matching.tensorName(.tokens(rows.site.path)), in: file)
      if values.elements != rows.initial.elements { changeParameters = true }
      parameters[rows.site.path] = values
    }
    warnings = try AdapterFile.compare(
      matching.baseCopies, in: file, quantized: map.model.hasQuantizedWeights)
    if let said = AdapterFile.repeated(matching.repetitions) { warnings.append(said) }
  }

  static func tensor(_ name: String, in file: SafeTensorsFile) throws -> Tensor {
    let stored = try file.bytes(of: name)
    // A copy always: training changes factors in place, and the file is mapped read-only.
    let mapped = Tensor(
      storage: stored.storage, byteOffset: stored.byteOffset, shape: stored.shape,
      dtype: stored.dtype)
    let values = mapped.unshared
    if let (index, value) = values.firstNotFinite {
      throw AdapterError(
        file: file.path, message: "the tensor \(name) has the value \(value) at \(index)",
        hint: "the adapter is broken, its training probably diverged: use another checkpoint")
    }
    return values
  }
}

extension TargetedLayer {
  /// The parts that the layer's pair is made of.
  var factors: [AdapterFile.Factor] {
    [.a, .b] + (pair.hasBiasOfB ? [.bias] : []) + (pair.usesDoRA ? [.magnitude] : [])
  }

  var isEmbedding: Bool { site.linear == nil }

  /// The shape of a part with the configuration's rank.
  func shape(of factor: AdapterFile.Factor) -> Shape {
    guard let sides = site.pairSides else { return [0] }
    return switch factor {
    case .a: [pair.rank, sides.in]
    case .b: [sides.out, pair.rank]
    case .bias, .magnitude: [sides.out]
    }
  }
}

/// What a tensor in the file is for.
enum AdapterTensor: Hashable {
  case factor(String, AdapterFile.Factor)
  case parameter(String)
  case tokens(String)

  /// The name in the file.
  func name(in selection: TargetSelection) -> String {
    switch self {
    case .factor(let path, let factor):
      let target = selection.layers.first { $0.path == path }
      return AdapterFile.tensorName(path, factor, ofEmbedding: target?.isEmbedding ?? false)
    case .parameter(let path): return AdapterFile.tensorName(ofParameter: path)
    case .tokens(let path): return AdapterFile.tensorName(ofTokens: path)
    }
  }
}

// An adapter's files looked at without a model: what `lora inspect` shows.

import LoRAFormats
import LoRAJSON
import LoRATensor

/// What is in an adapter's folder, as far as it can be told without the model.
public struct AdapterContents: Sendable {
  /// The factors of one layer.
  public struct Module: Sendable, Hashable {
    /// The layer's path in the model.
    public let path: String
    /// The layer's inputs.
    public let inFeatures: Int
    /// The layer's outputs.
    public let outFeatures: Int
    /// r of this layer.
    public let rank: Int
    /// √ Σ a².
    public let normOfA: Double
    /// √ Σ b²; 0: the layer computes what the model alone does.
    public let normOfB: Double
    /// The numbers in both factors.
    public var parameterCount: Int { rank * (inFeatures + outFeatures) }
  }

  /// The configuration in `adapter_config.json`.
  public let configuration: LoRAConfiguration
  /// The layers, in the order of their names.
  public let modules: [Module]

  /// The names of `target_modules`.
  public var targetNames: [String] {
    switch configuration.targets {
    case .allLinear: ["all-linear"]
    case .names(let names): names
    case .pattern(let pattern): [pattern]
    }
  }

  /// Reads the folder of an adapter.
  ///
  /// - Throws: `AdapterError` naming the key or tensor; `ModelFileError`.
  public init(_ directory: String) throws {
    try AdapterFile.checkFolder(directory)
    configuration = try PEFTConfiguration.read(
      AdapterFile.path(directory, AdapterFile.configurationName))
    let file = try SafeTensorsFile(
      contentsOf: AdapterFile.path(directory, AdapterFile.tensorsName))
    var factors: [String: [AdapterFile.Factor: SafeTensorsInfo]] = [:]
    for info in file.tensors {
      guard let (path, factor) = AdapterFile.parse(info.name) else {
        throw AdapterError(
          file: file.path,
          message: "the tensor \(info.name.shortened) \(AdapterFile.refusal(of: info.name))",
          hint: "save the adapter with PEFT as plain LoRA on linear layers")
      }
      factors[path, default: [:]][factor] = info
    }
    modules = try factors.sorted { $0.key < $1.key }.map { path, pair in
      guard let a = pair[.a], let b = pair[.b], a.shape.rank == 2, b.shape.rank == 2,
        a.shape[0] == b.shape[1]
      else {
        throw AdapterError(
          file: file.path, message: "the factors of \(path.shortened) do not make a pair",
          hint: "A is (r, in) and B (out, r), and both are in the file")
      }
      return Module(
        path: path, inFeatures: a.shape[1], outFeatures: b.shape[0], rank: a.shape[0],
        normOfA: try AdapterFactors.tensor(a.name, in: file).norm,
        normOfB: try AdapterFactors.tensor(b.name, in: file).norm)
    }
  }
}

extension Tensor {
  fileprivate var norm: Double {
    elements.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
  }
}

// Saves an adapter as PEFT would: the file of tensors, then the configuration that names them.

import LoRAFormats
import LoRAJSON
public import LoRANN
import LoRATensor

extension Module {
  /// Writes an adapter as a folder that PEFT reads: `adapter_model.safetensors` (float32) and
  /// `adapter_config.json`.
  ///
  /// PiSSA and OLoRA are written as the plain difference of twice the rank, so that reading the
  /// adapter never changes a base. The folder is made if need be; earlier files of these names are replaced, each in one step.
  /// - Parameter configuration: what the adapter was added with.
  /// - Throws: `AdapterError` where the model has no such adapter, or one of another configuration,
  ///   or a factor is not finite; `OutputFileError` where a file cannot be written.
  public func saveAdapter(
    _ name: String, _ configuration: LoRAConfiguration, to directory: String
  ) throws {
    try configuration.validateAsStored()
    let map = ModuleMap(self)
    try map.checkKnownName(name)
    let pairs = map.pairs(of: name)
    let written = try map.written(configuration, pairs: pairs)

    let tensors = try map.savedTensors(of: name, configuration).map {
      (name: $0.name, value: $0.value.converted(to: .float32))
    }
    var writer = SafeTensorsWriter(
      metadata: [("format", "pt"), (AdapterFile.baseIdentityKey, baseIdentity)])
    for (name, values) in tensors {
      if let (index, value) = values.firstNotFinite {
        throw AdapterError(
          message: "\(name) has the value \(value) at \(index): the adapter is broken",
          hint: "the training diverged: use a lower learning rate, or an earlier checkpoint")
      }
      writer.add(name, StoredTensor(values))
    }
    try OutputFolder.make(directory)
    // Without a configuration a folder is no adapter: it comes last.
    try writer.write(to: AdapterFile.path(directory, AdapterFile.tensorsName))
    try AtomicFile.write(
      PEFTConfiguration.text(of: written),
      to: AdapterFile.path(directory, AdapterFile.configurationName))
    try AdapterFile.verify(directory, tensors: tensors, configuration: written)
  }
}

extension LowRankPair {
  /// The parts of the pair that there are.
  fileprivate var factors: [(factor: AdapterFile.Factor, value: Tensor)] {
    [(.a, a.value), (.b, b.value)] + (bias.map { [(.bias, $0.value)] } ?? [])
      + (magnitude.map { [(.magnitude, $0.value)] } ?? [])
  }
}

extension ModuleMap {
  /// Everything that an adapter's file holds, by the tensors' names.
  fileprivate func savedTensors(
    of name: String, _ configuration: LoRAConfiguration
  ) throws -> [(name: String, value: Tensor)] {
    var result: [(name: String, value: Tensor)] = []
    for site in sites {
      let pairs = site.adapted?.pairs ?? site.adaptedEmbedding?.pairs ?? []
      for (_, pair) in pairs.filter({ $0.name == name }) {
        result += pair.plain.factors.map {
          (
            AdapterFile.tensorName(site.path, $0.factor, ofEmbedding: site.linear == nil),
            $0.value
          )
        }
      }
    }
    let selection = try select(configuration)
    result += selection.parameters.compactMap { trained in
      trained.parameter.replacements.first { $0.name == name }.map {
        (AdapterFile.tensorName(ofParameter: trained.savedPath), $0.parameter.value)
      }
    }
    result += trainedTokens(of: name).map {
      (AdapterFile.tensorName(ofTokens: $0.path), $0.tokens.rows.value)
    }
    return result
  }
}

extension AdapterFile {
  static func path(_ directory: String, _ name: String) -> String {
    directory.hasSuffix("/") ? directory + name : directory + "/" + name
  }
}

extension Tensor {
  /// The first element of a float32 tensor that is NaN or infinite, with its place.
  var firstNotFinite: (index: Int, value: Float)? {
    withExtendedLifetime(self) {
      let elements = UnsafeBufferPointer(start: floats, count: count)
      return elements.firstIndex { !$0.isFinite }.map { ($0, elements[$0]) }
    }
  }
}

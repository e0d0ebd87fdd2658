// The tiny Llama of Fixtures/adapters, and what the tests do with it.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// Hidden 16, inner 24, 4 heads on 2 for keys and values, 2 layers, vocabulary 40.
func tinyModel() throws -> Llama {
  try Llama(gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: .float32)
}

/// The logits of the fixture's tokens.
func logits(_ model: Llama) throws -> [Float] {
  let tokens = try FixtureTensors("adapters/logits.safetensors").integers("tokens").map(Int32.init)
  let hidden = model.hiddenStates(tokens, packing: Packing(lengths: [tokens.count]))
  return model.logits(hidden).elements
}

/// Every layer that all-linear adapts, in order.
let allPaths = (0..<2).flatMap { layer in
  ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"].map {
    "model.layers.\(layer).\($0)"
  } + ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"].map { "model.layers.\(layer).\($0)" }
}

/// Fills the factors with numbers, as training would.
func fill(_ model: Llama, _ name: String, seed: UInt64) {
  var random = Random(seed: seed)
  for (_, pair) in model.adapterPairs(name) {
    pair.a.load(random.normal(pair.a.value.shape, deviation: 0.2))
    pair.b.load(random.normal(pair.b.value.shape, deviation: 0.2))
  }
}

/// The message and hint of what `body` throws, without the folder in front of file names.
func message(in folder: String? = nil, _ body: () throws -> Void) -> String {
  do {
    try body()
    return "nothing was thrown"
  } catch {
    let text = String(describing: error)
    return folder.map { text.replacingOccurrences(of: $0, with: "DIR") } ?? text
  }
}

/// An adapter's files, to be spoilt by a test.
struct AdapterFolder {
  let folder: TemporaryFolder
  var configuration: JSONObject
  var tensors: [(name: String, tensor: Tensor)]

  /// An adapter of two layers, rank 2, that loads as it is.
  init() throws {
    folder = try TemporaryFolder()
    let value = try JSONValue(parsing: Fixture.text("adapters/o-proj/adapter_config.json"))
    configuration = try #require(value.objectValue)
    tensors = (0..<2).flatMap { layer in
      let path = "base_model.model.model.layers.\(layer).self_attn.o_proj"
      return [
        (path + ".lora_A.weight", Tensor.full([2, 16], 0.5)),
        (path + ".lora_B.weight", Tensor.full([16, 2], 0.25)),
      ]
    }
  }

  static func name(_ layer: Int, _ factor: String) -> String {
    "base_model.model.model.layers.\(layer).self_attn.o_proj.lora_\(factor).weight"
  }

  mutating func rename(_ old: String, _ new: String) {
    for i in tensors.indices where tensors[i].name == old { tensors[i].name = new }
  }

  mutating func set(_ name: String, _ tensor: Tensor) {
    tensors.removeAll { $0.name == name }
    tensors.append((name, tensor))
  }

  mutating func remove(_ name: String) { tensors.removeAll { $0.name == name } }

  /// Writes the files and returns the folder.
  func write() throws -> String {
    try folder.write(
      Array(JSONValue.object(configuration).serialized(.indented(2)).utf8),
      to: "adapter_config.json")
    var writer = SafeTensorsWriter()
    for (name, tensor) in tensors {
      writer.add(name, StoredTensor(tensor))
    }
    try writer.write(to: folder.file("adapter_model.safetensors"))
    return folder.path
  }
}

// GGUF files that are whole as files and no model that is read: each refused by name.

import Foundation
import LoRAFormats
import LoRAModels
import LoRATensor
import LoRATestSupport
import Testing

struct GGUFModelErrorTests {
  /// The tiny model's keys and tensors, to be spoilt by a test.
  private struct Content {
    var values: [(String, GGUFValue)]
    var tensors: [(String, StoredTensor)]

    init(_ file: GGUFFile) throws {
      values = try file.keys.compactMap { key in try file.value(key).map { (key, $0) } }
      tensors = try file.tensorNames.map { ($0, try file.bytes(of: $0)) }
    }

    mutating func set(_ key: String, _ value: GGUFValue?) {
      values.removeAll { $0.0 == key }
      if let value { values.append((key, value)) }
    }

    mutating func set(_ name: String, shape: Shape?) {
      tensors.removeAll { $0.0 == name }
      guard let shape else { return }
      let tensor = Tensor.zeros(shape)
      tensors.append(
        (name, StoredTensor(storage: tensor.storage, byteOffset: 0, shape: shape, dtype: .float32)))
    }
  }

  private func message(_ change: (inout Content) -> Void) throws -> String {
    let base = try GGUFFile(contentsOf: Fixture.path("adapters/base.gguf"))
    var content = try Content(base)
    change(&content)
    var writer = GGUFWriter()
    for (key, value) in content.values { writer.set(key, value) }
    for (name, tensor) in content.tensors { writer.add(name, tensor) }
    let folder = try TemporaryFolder()
    let path = folder.file("m.gguf")
    try writer.write(to: path)
    do {
      _ = try Llama(gguf: GGUFFile(contentsOf: path), computeType: .float32)
      return "loaded"
    } catch {
      return String(describing: error).replacingOccurrences(of: path, with: "m.gguf")
    }
  }

  @Test func whatIsNoModelIsRefusedByName() throws {
    #expect(try message { _ in } == "loaded")
    let cases: [((inout Content) -> Void, String)] = [
      (
        { $0.set("general.architecture", .string("mamba")) },
        "the architecture \"mamba\" is not supported"
      ),
      ({ $0.set("general.architecture", nil) }, "general.architecture"),
      ({ $0.set("split.count", .uint32(3)) }, "split.count: this is one of 3 parts of a model"),
      ({ $0.set("llama.block_count", nil) }, "llama.block_count"),
      ({ $0.set("llama.block_count", .uint32(0)) }, "llama.block_count: 0 is not in 1...4096"),
      (
        { $0.set("llama.block_count", .uint64(1 << 60)) },
        "llama.block_count: 1152921504606846976 is not in 1...4096"
      ),
      (
        { $0.set("llama.block_count", .uint32(3)) }, "the tensor blk.2.attn_norm.weight is missing"
      ),
      (
        { $0.set("llama.embedding_length", .uint32(32)) },
        "the tensor token_embd.weight has the shape [40, 16], expected [40, 32]"
      ),
      (
        { $0.set("llama.attention.head_count_kv", .uint32(3)) },
        "llama.attention.head_count_kv: 3 does not divide the 4 heads"
      ),
      (
        { $0.set("llama.rope.scaling.type", .string("yarn")) },
        "llama.rope.scaling.type: \"yarn\" is not supported"
      ),
      (
        { $0.set("llama.rope.dimension_count", .uint32(2)) },
        "llama.rope.dimension_count: partial rotation (2 of 4)"
      ),
      (
        { $0.set("llama.expert_count", .uint32(8)) },
        "llama.expert_count: mixture-of-experts models are not supported"
      ),
      (
        { $0.set("blk.0.attn_q.weight", shape: nil) }, "the tensor blk.0.attn_q.weight is missing"
      ),
      (
        { $0.set("blk.1.ffn_down.weight", shape: [24, 16]) },
        "the tensor blk.1.ffn_down.weight has the shape [24, 16], expected [16, 24]"
      ),
      (
        { $0.set("blk.0.attn_sinks", shape: [4]) },
        "1 tensors are not part of a Llama model, first blk.0.attn_sinks"
      ),
    ]
    for (change, expected) in cases {
      let text = try message(change)
      #expect(text.hasPrefix("m.gguf: ") && text.contains(expected), "\(text)")
      #expect(text.contains("\nhint: "), "\(text)")
    }
  }
}

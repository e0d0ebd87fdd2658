// Models in folders as transformers saves them: the same logits.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// The folders of Fixtures/folder, which Scripts/fixtures/folder.py made.
private let folders = ["tied-f32", "sharded-bf16", "llama3-f16", "biased-f32", "mistral-f32"]

struct FolderTests {
  private func logits(_ path: String, _ type: DType) throws -> [Float] {
    let model = try Llama(folder: ModelFolder(contentsOf: path), computeType: type)
    let tokens = try FixtureTensors(contentsOf: path + "/logits.safetensors").integers("tokens")
    let hidden = model.hiddenStates(
      tokens.map(Int32.init), packing: Packing(lengths: [tokens.count]))
    return model.logits(hidden).elements
  }

  /// float32 products of the stored weights, whatever type they are stored in: atol 1e-5.
  @Test(arguments: folders) func logitsEqualTransformers(name: String) throws {
    let path = Fixture.path("folder/" + name)
    let expected = try FixtureTensors(contentsOf: path + "/logits.safetensors").floats("logits")
    expectClose(
      actual: try logits(path, .float32), expected: expected, atol: 1e-5, rtol: 1e-5, name: name)
  }

  /// bfloat16 products of bfloat16 weights: activations rounded to 8 bits.
  @Test func bfloat16StaysNear() throws {
    let path = Fixture.path("folder/sharded-bf16")
    let expected = try FixtureTensors(contentsOf: path + "/logits.safetensors").floats("logits")
    expectClose(
      actual: try logits(path, .bfloat16), expected: expected, atol: 0.1, rtol: 0, name: "bf16")
  }

  @Test func configurationOfTransformers4() throws {
    let folder = try ModelFolder(contentsOf: Fixture.path("folder/tied-f32/"))
    let configuration = try ModelConfiguration(folder: folder)
    #expect(configuration.vocabularySize == 269)
    #expect(configuration.headDimension == 4)
    #expect(configuration.keyValueHeadCount == 2)
    #expect(configuration.normEpsilon == 1e-5)
    #expect(configuration.ropeBase == 5000)
    #expect(configuration.contextLength == 64)
    #expect(configuration.tiesEmbeddings)
  }

  /// The same weights in a GGUF file, where q and k have another order of rows.
  @Test func sameAsGGUF() throws {
    let file = try GGUFFile(contentsOf: Fixture.path("adapters/base.gguf"))
    let model = try Llama(gguf: file, computeType: .float32)
    let copy = try FolderCopy("mistral-f32")
    var writer = SafeTensorsWriter()
    for (path, parameter) in model.namedParameters {
      let tensor = parameter.value
      writer.add(path, StoredTensor(tensor))
    }
    try writer.write(to: copy.folder.file("model.safetensors"))
    let sizes = model.configuration
    try copy.edit("config.json") {
      $0["vocab_size"] = .integer(sizes.vocabularySize)
      $0["rms_norm_eps"] = .number(Double(sizes.normEpsilon))
    }
    let other = try Llama(folder: ModelFolder(contentsOf: copy.folder.path), computeType: .float32)
    let tokens: [Int32] = [3, 1, 4, 1, 5, 9, 2, 6]
    let packing = Packing(lengths: [tokens.count])
    #expect(
      other.logits(other.hiddenStates(tokens, packing: packing)).elements
        == model.logits(model.hiddenStates(tokens, packing: packing)).elements)
  }

  /// Files of old versions have the rotation's frequencies and a copy of a tied embedding.
  @Test func harmlessTensorsAreLeftOut() throws {
    let copy = try FolderCopy("tied-f32")
    try copy.rewrite("model.safetensors") { tensors in
      tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
      tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = Tensor.full([2], 1)
    }
    #expect(
      try logits(copy.folder.path, .float32)
        == logits(Fixture.path("folder/tied-f32"), .float32))
  }
}

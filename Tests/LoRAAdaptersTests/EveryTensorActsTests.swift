// Whatever is read acts: of each kind of tensor in an adapter's file, another value gives other logits.

import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct EveryTensorActsTests {
  struct Kind: CustomTestStringConvertible {
    let testDescription: String
    /// The end of the tensors' names.
    let ending: String
    var base = "adapters/base.gguf"
    var change: @Sendable (inout LoRAConfiguration) -> Void = { _ in }
  }

  private static let biased = "folder/biased-f32"
  private static let tied = "embeddings/tied.gguf"
  private static let embedding: @Sendable (inout LoRAConfiguration) -> Void = {
    $0.targets = .names(["embed_tokens", "q_proj"])
  }
  private static let head: @Sendable (inout LoRAConfiguration) -> Void = {
    $0.targets = .names(["lm_head"])
  }

  static let kinds = [
    Kind(testDescription: "A", ending: "q_proj.lora_A.weight"),
    Kind(testDescription: "B", ending: "q_proj.lora_B.weight"),
    Kind(
      testDescription: "bias of B", ending: ".lora_B.bias", base: biased,
      change: { $0.hasBiasOfB = true }),
    Kind(
      testDescription: "magnitude", ending: ".lora_magnitude_vector",
      change: { $0.usesDoRA = true }),
    Kind(testDescription: "embedding's A", ending: ".lora_embedding_A", change: embedding),
    Kind(testDescription: "embedding's B", ending: ".lora_embedding_B", change: embedding),
    Kind(
      testDescription: "embedding's magnitude", ending: "embed_tokens.lora_magnitude_vector",
      change: {
        embedding(&$0)
        $0.usesDoRA = true
      }),
    Kind(testDescription: "head's A", ending: "lm_head.lora_A.weight", change: head),
    Kind(testDescription: "head's B", ending: "lm_head.lora_B.weight", change: head),
    Kind(
      testDescription: "head's magnitude", ending: "lm_head.lora_magnitude_vector",
      change: {
        head(&$0)
        $0.usesDoRA = true
      }),
    Kind(
      testDescription: "bias of an adapted layer", ending: "q_proj.base_layer.bias", base: biased,
      change: { $0.biases = .adaptedLayers }),
    Kind(
      testDescription: "bias of another layer", ending: "up_proj.bias", base: biased,
      change: { $0.biases = .all }),
    Kind(
      testDescription: "whole head", ending: "lm_head.weight",
      change: { $0.modulesToSave = ["lm_head"] }),
    Kind(
      testDescription: "whole tied head", ending: "lm_head.weight", base: tied,
      change: { $0.modulesToSave = ["lm_head"] }),
    Kind(
      testDescription: "whole embedding", ending: "embed_tokens.weight",
      change: { $0.modulesToSave = ["embed_tokens"] }),
    Kind(
      testDescription: "whole norm", ending: "model.norm.weight",
      change: { $0.modulesToSave = ["model.norm"] }),
    Kind(
      testDescription: "tokens", ending: ".trainable_tokens_delta",
      change: { $0.trainedTokens = [TrainedTokens([5, 17])] }),
    Kind(
      testDescription: "tokens of a tied base", ending: ".trainable_tokens_delta", base: tied,
      change: { $0.trainedTokens = [TrainedTokens([5, 17])] }),
  ]

  private func model(_ kind: Kind) throws -> Llama {
    let path = Fixture.path(kind.base)
    return try path.hasSuffix(".gguf")
      ? Llama(gguf: GGUFFile(contentsOf: path), computeType: .float32)
      : Llama(folder: ModelFolder(contentsOf: path), computeType: .float32)
  }

  @Test(arguments: kinds) func anotherValueGivesOtherLogits(_ kind: Kind) throws {
    var configuration = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj"]))
    kind.change(&configuration)
    let made = try model(kind)
    try made.addAdapter("a", configuration, seed: 1)
    var random = Random(seed: 2)
    for (_, parameter) in made.trainableParameters {
      parameter.load(parameter.value + random.normal(parameter.value.shape, deviation: 0.2))
    }
    let folder = try TemporaryFolder()
    try made.saveAdapter("a", configuration, to: folder.path)
    let path = folder.file("adapter_model.safetensors")
    let file = try SafeTensorsFile(contentsOf: path)
    func read() throws -> [Float] {
      let model = try model(kind)
      try model.loadAdapter("a", from: folder.path)
      return try logits(model)
    }
    let before = try read()
    let tensors = try file.tensors.map { info in
      (info.name, Tensor(try file.bytes(of: info.name)).copied())
    }
    let names = tensors.map(\.0).filter { $0.hasSuffix(kind.ending) }
    #expect(!names.isEmpty)
    for name in names {
      var writer = SafeTensorsWriter()
      for (other, value) in tensors {
        // Not the same for all numbers: an equal change of logits would be none of probabilities.
        let noise = random.normal(value.shape, deviation: other == name ? 0.3 : 0)
        writer.add(other, StoredTensor(value + noise))
      }
      try writer.write(to: path)
      #expect(zip(try read(), before).contains { abs($0 - $1) > 1e-3 }, "\(name)")
    }
  }
}

// Pairs of the embedding and of the head in other programs' forms, where the base has one tensor for
// both: what each form cannot say is refused, exactly.

import Foundation
import LoRAAdapters
import LoRAJSON
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct TiedPairTests {
  private let folder: TemporaryFolder
  private let tied = LlamaLayout(
    layerCount: 2, hiddenSize: 16, intermediateSize: 24, headCount: 4, keyValueHeadCount: 2,
    headDimension: 4, vocabularySize: 40, tiesEmbeddings: true)
  private static let embedding = "model.embed_tokens"
  private static let merge = "\nhint: merge the adapter into its model with lora merge instead"
  private static let unknown = "\nhint: give --model to show that the base's head is its own"

  init() throws { folder = try TemporaryFolder() }

  /// A PEFT folder with the pair of one layer.
  private func adapter(_ path: String) throws -> String {
    var adapter = try AdapterFolder()
    adapter.configuration["target_modules"] = .array([.string(path)])
    let name = "base_model.model." + path
    adapter.tensors =
      path == Self.embedding
      ? [
        (name + ".lora_embedding_A", Tensor.full([2, 40], 1)),
        (name + ".lora_embedding_B", Tensor.full([16, 2], 1)),
      ]
      : [
        (name + ".lora_A.weight", Tensor.full([2, 16], 1)),
        (name + ".lora_B.weight", Tensor.full([40, 2], 1)),
      ]
    let copy = folder.file(UUID().uuidString)
    try FileManager.default.copyItem(atPath: adapter.write(), toPath: copy)
    return copy
  }

  /// What a conversion says without the path it begins with; nothing is written then.
  private func refusal(_ path: String, _ target: AdapterTarget, _ layout: LlamaLayout?) -> String {
    let output = folder.file("out")
    let text = message(in: folder.path) { try convert(path, target, output, layout: layout) }
    #expect(!FileManager.default.fileExists(atPath: output))
    return text.split(separator: ": ", maxSplits: 1).last.map(String.init) ?? text
  }

  @Test func whatLlamaCppAndMLXCannotSayIsRefused() throws {
    let both = "mlx-lm would change the head with it as well"
    let none = "mlx-lm has no such layer and refuses the adapter"
    let cases: [(String, AdapterTarget, LlamaLayout?, String)] = [
      (Self.embedding, .gguf, tied, "llama.cpp would take it for the head's as well"),
      ("lm_head", .gguf, tied, "llama.cpp has no tensor to put it on"),
      (Self.embedding, .mlx, tied, both), ("lm_head", .mlx, tied, none),
      (Self.embedding, .mlx, nil, both), ("lm_head", .mlx, nil, none),
    ]
    for (path, target, layout, reason) in cases {
      let place =
        layout == nil
        ? ", and where the base's head is its embedding, "
        : ", but the base's head is its embedding: "
      #expect(
        try refusal(adapter(path), target, layout)
          == "the adapter has a pair for \(path)" + place + reason
          + (layout == nil ? Self.unknown : Self.merge))
    }
  }

  @Test func basesWithTwoTensorsHoldThem() throws {
    for path in [Self.embedding, "lm_head"] {
      for target in [AdapterTarget.gguf, .mlx, .portable] {
        let output = folder.file("\(path)-\(target.rawValue)")
        #expect(try convert(adapter(path), target, output).warnings == [])
      }
    }
  }

  /// vLLM applies each pair to its side; llama.cpp's converter refuses one and spoils the other.
  @Test func portableWarns() throws {
    let rest =
      "llama.cpp cannot run what its converter makes of it; PEFT and vLLM keep the two apart"
    for path in [Self.embedding, "lm_head"] {
      let first = try convert(adapter(path), .portable, folder.file(path + "-tied"), layout: tied)
      #expect(
        first.warnings
          == ["the adapter has a pair for \(path), but the base's head is its embedding: " + rest])
      let second = try convert(adapter(path), .portable, folder.file(path + "-nil"), layout: nil)
      #expect(
        second.warnings
          == [
            "the adapter has a pair for \(path), and where the base's head is its embedding, "
              + rest
          ])
    }
    let plain = try convert(
      Fixture.path("adapters/o-proj"), .portable, folder.file("plain"), layout: nil)
    #expect(plain.warnings == [])
  }

  /// mlx-lm's pair of a tied embedding changes the head too, which the other forms cannot say.
  @Test func fromMLXItIsRefusedToo() throws {
    let mlx = folder.file("mlx")
    try convert(adapter(Self.embedding), .mlx, mlx)
    for (target, what) in [
      (AdapterTarget.peft, "PEFT"), (.portable, "a PEFT folder"), (.gguf, "GGUF"),
    ] {
      #expect(
        refusal(mlx, target, tied)
          == "the adapter has a pair for model.embed_tokens, but the base's head is its embedding: "
          + "mlx-lm changes the head with it as well, which \(what) cannot say" + Self.merge)
    }
    #expect(refusal(mlx, .peft, nil).hasSuffix("which PEFT cannot say" + Self.unknown))
    #expect(try convert(mlx, .peft, folder.file("back")).isExact)
  }
}

// A folder in Hugging Face's layout as the base of the command's verbs.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

struct FolderModelTests {
  private let model = Fixture.path("folder/tied-f32")

  private func object(_ text: String) throws -> JSONObject {
    try #require(try JSONValue(parsing: text).objectValue)
  }

  @Test func trainsScoresGeneratesAndInspects() throws {
    let folder = try TemporaryFolder()
    let row =
      #"{"messages": [{"role": "user", "content": "hello 1"}, "#
      + #"{"role": "assistant", "content": "the hell"}]}"#
    let rows = try folder.write(Array("\(row)\n\(row)\n".utf8), to: "rows.jsonl")
    let adapter = folder.file("adapter")
    let trained = try LoraProcess.run([
      "train", "--model", model, "--data", rows, "--output", adapter, "--epochs", "8",
      "--learning-rate", "2e-2", "--rank", "4", "--precision", "float32",
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let configuration = try object(
      String(contentsOfFile: adapter + "/adapter_config.json", encoding: .utf8))
    #expect(configuration["base_model_name_or_path"] == .string(model))

    func loss(_ more: [String]) throws -> Double {
      let result = try LoraProcess.run(
        ["score", "--model", model, "--data", rows, "--precision", "float32"] + more)
      #expect(result.exitCode == 0, "\(result.errors)")
      let first = try #require(result.output.split(separator: "\n").first)
      return try #require(try object(String(first))["loss"]?.numberValue)
    }
    #expect(try loss(["--adapter", adapter]) < loss([]) - 0.1)

    let generated = try LoraProcess.run([
      "generate", "--model", model + "/", "--prompt", "hello", "--max-tokens", "3", "--json",
    ])
    #expect(generated.exitCode == 0, "\(generated.errors)")
    #expect(try object(generated.output)["tokens"]?.arrayValue?.isEmpty == false)

    let inspected = try LoraProcess.run(["inspect", model, "--json"])
    let facts = try object(inspected.output)
    #expect(facts["kind"] == "model")
    #expect(facts["architecture"] == "llama")
    #expect(facts["tensors"] == ["F32": 20])
    #expect(facts["vocabulary"] == 269)
    #expect(facts["tied_embeddings"] == true)
    #expect(facts["stop_tokens"] == ["<|eos|>", "<|end|>", "<|system|>"])
  }

  @Test func aFolderThatIsNoModelIsRefused() throws {
    let folder = try TemporaryFolder()
    let result = try LoraProcess.run(["generate", "--model", folder.path, "--prompt", "x"])
    #expect(result.exitCode != 0)
    #expect(result.errors.contains("\(folder.path): the folder has no config.json"))
    #expect(result.errors.contains("hint: "))
  }
}

// The model card: its metadata as the Hub parses it, and what it says of the run.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing
import Yams

@Suite(.serialized) struct ModelCardTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    let lines = (1...40).map { #"{"prompt": "say \#($0)", "completion": " \#($0)!"}"# }
    try folder.write(Array(lines.joined(separator: "\n").utf8), to: "r: \"x\".jsonl")
  }

  private func train(_ model: String, _ more: [String]) throws -> String {
    // A name that YAML and Markdown would take for something else.
    let output = folder.file("yes: #1 | [a]")
    let result = try LoraProcess.run(
      [
        "train", "--model", model, "--data", folder.file("r: \"x\".jsonl"), "--output", output,
        "--overwrite", "--rank", "2", "--batch-size", "8", "--max-steps", "3",
      ] + more)
    #expect(result.exitCode == 0, "\(result.errors)")
    return try String(contentsOfFile: output + "/README.md", encoding: .utf8)
  }

  private func header(_ card: String) throws -> Node {
    let parts = card.components(separatedBy: "---\n")
    #expect(parts[0].isEmpty && parts.count > 2)
    return try #require(try Yams.compose(yaml: parts[1]))
  }

  /// A base whose files say what it is called, and an evaluation.
  @Test func theMetadataOfAnEvaluatedRun() throws {
    let base = folder.file("models--some-org--Tiny.Model/snapshots/1")
    try FileManager.default.createDirectory(atPath: base, withIntermediateDirectories: true)
    let source = Fixture.path("folder/tied-f32")
    for name in try FileManager.default.contentsOfDirectory(atPath: source) {
      try FileManager.default.copyItem(atPath: source + "/" + name, toPath: base + "/" + name)
    }
    try folder.write(
      Array("---\nlicense: apache-2.0\n---\n# Tiny\n".utf8),
      to: "models--some-org--Tiny.Model/snapshots/1/README.md")
    let card = try train(base, ["--eval-split", "0.3", "--eval-generate"])
    let yaml = try header(card)
    #expect(yaml["base_model"]?.string == "some-org/Tiny.Model")
    #expect(yaml["base_model_relation"]?.string == "adapter")
    #expect(yaml["library_name"]?.string == "peft")
    #expect(yaml["pipeline_tag"]?.string == "text-generation")
    let tags = yaml["tags"]?.sequence?.compactMap(\.string)
    #expect(tags == ["base_model:adapter:some-org/Tiny.Model", "lora", "swift-lora"])
    #expect(yaml["license"] == nil && yaml["datasets"] == nil)

    let entry = try #require(yaml["model-index"]?[0])
    #expect(entry["name"]?.string == "yes: #1 | [a]")
    let result = try #require(entry["results"]?[0])
    #expect(result["task"]?["type"]?.string == "text-generation")
    #expect(result["dataset"]?["name"]?.string == "r: \"x\".jsonl, split 0.3")
    let found = Dictionary(
      uniqueKeysWithValues: try #require(result["metrics"]?.sequence).map {
        ($0["type"]?.string ?? "", $0["value"]?.float ?? .nan)
      })
    let metrics = try String(
      contentsOfFile: folder.file("yes: #1 | [a]/metrics.jsonl"), encoding: .utf8)
    let last = try #require(
      try JSONValue(parsing: String(metrics.split(separator: "\n").last ?? "")).objectValue)
    #expect(found.count == 3)
    for name in ["loss", "perplexity", "exact_match"] {
      #expect(found[name] != nil && found[name] == last["eval_" + name]?.numberValue, "\(name)")
    }
    let parts = [
      "[some-org/Tiny.Model](https://huggingface.co/some-org/Tiny.Model)", "license (apache-2.0)",
      "base = \"some-org/Tiny.Model\"", "PeftModel.from_pretrained(", "lora generate --model ",
      "## Evaluation", "| perplexity | ", "| rank, alpha | 2, 32 |", "| learning rate | 0.0002",
    ]
    for part in parts { #expect(card.contains(part), "\(part)") }
  }

  /// Neither is known: nothing is claimed, and the card says what to fill in.
  @Test func nothingIsClaimed() throws {
    let card = try train(Fixture.path("folder/tied-f32"), [])
    let yaml = try header(card)
    let keys = Array(try #require(yaml.mapping).keys).compactMap(\.string)
    #expect(keys == ["library_name", "pipeline_tag", "tags"])
    #expect(card.contains("# base_model: org/name") && !card.contains("## Evaluation"))
  }
}

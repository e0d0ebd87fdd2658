// `lora combine` and `lora extract` as a user runs them.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

struct CombineTests {
  private let folder: TemporaryFolder
  private let model = Fixture.path("folder/tied-f32")
  private let a = Fixture.path("merging/a")
  private let b = Fixture.path("merging/b")
  private let c = Fixture.path("merging/c")

  init() throws { folder = try TemporaryFolder() }

  private func logProbabilities(_ model: String, adapters: String...) throws -> [Float] {
    let rows = try folder.write(
      Array("{\"text\": \"hello the hell 12 world, 2112 the end\"}\n".utf8), to: "rows.jsonl")
    let result = try LoraProcess.run(
      ["score", "--model", model, "--data", rows, "--precision", "float32"]
        + adapters.flatMap { ["--adapter", $0] })
    #expect(result.exitCode == 0, "\(result.errors)")
    let object = try #require(try JSONValue(parsing: result.output).objectValue)
    return try #require(object["logprobs"]?.arrayValue).compactMap(\.numberValue).map(Float.init)
  }

  /// Weights 1 and 1 with cat: the same as merging both.
  @Test func theSumOfTwoIsBothMerged() throws {
    let combined = folder.file("sum")
    let result = try LoraProcess.run(["combine", "--adapters", a, c + "=1", "--output", combined])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(
      result.output == """
        cat of 2 adapters: 14 layers, rank 4, 6, 2,144 numbers
        adapter: \(combined)

        """)
    let merged = try LoraProcess.run([
      "merge", "--model", model, "--adapter", a, "--adapter", c, "--output", folder.file("merged"),
    ])
    #expect(merged.exitCode == 0, "\(merged.errors)")
    expectClose(
      actual: try logProbabilities(model, adapters: combined),
      expected: try logProbabilities(folder.file("merged")), atol: 1e-4, rtol: 0)
  }

  @Test(arguments: [
    ["linear"], ["svd", "--rank", "3"],
    ["ties", "--density", "0.4", "--majority-sign", "frequency"],
    ["dare-linear", "--seed", "7"], ["dare-ties", "--density", "0.8"], ["magnitude-prune"],
  ])
  func methods(arguments: [String]) throws {
    let output = folder.file("out")
    let command =
      ["combine", "--adapters", a + "=0.7", b + "=-0.3", "--output", output, "--method"]
      + arguments
    let result = try LoraProcess.run(command)
    #expect(result.exitCode == 0, "\(result.errors)")
    let first = try Data(contentsOf: URL(fileURLWithPath: output + "/adapter_model.safetensors"))
    #expect(try logProbabilities(model, adapters: output) != logProbabilities(model))
    let refused = try LoraProcess.run(command)
    #expect(
      refused.errors == """
        Error: \(output): the folder is not empty: it holds adapter_config.json
        hint: name a new folder, or give --overwrite to replace what is in it

        """)
    #expect(try LoraProcess.run(command + ["--overwrite"]).exitCode == 0)
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: output + "/adapter_model.safetensors")) == first)
    #expect(folder.contents.sorted() == ["out", "rows.jsonl"])
  }

  /// Mistakes: (arguments, what stderr holds).
  @Test(arguments: [
    (["A=x"], "The value 'A=x' is invalid for '--adapters"),
    (["a=1", "--rank", "3"], "--rank has no effect with --method cat"),
    (["a=1", "--density", "0.5", "--method", "linear"], "--density has no effect with --method"),
    (["a=1", "--seed", "1", "--method", "ties"], "--seed has no effect with --method ties"),
    (
      ["a=1", "--majority-sign", "total", "--method", "svd"],
      "--majority-sign has no effect with --method svd"
    ),
    (["a", "--method", "tie"], "The value 'tie' is invalid for '--method <method>'"),
    (["a", "--method", "ties", "--density", "0"], "the density is 0.0, which is not in (0, 1]"),
    (["nowhere=2"], "nowhere: there is no such file or folder"),
    (
      ["a", "c", "--method", "linear"], ": linear needs equal ranks\nhint: use cat, which is exact"
    ),
  ])
  func mistakes(arguments: [String], expected: String) throws {
    let known = ["a": a, "c": c]
    let arguments = arguments.map { argument in
      let parts = argument.split(separator: "=", maxSplits: 1)
      return parts.first.flatMap { known[String($0)] }.map {
        ([$0] + parts.dropFirst().map(String.init)).joined(separator: "=")
      } ?? argument
    }
    let result = try LoraProcess.run(
      ["combine", "--output", folder.file("out"), "--adapters"] + arguments)
    #expect(result.exitCode != 0)
    #expect(result.errors.contains(expected), "\(result.errors)")
    #expect(folder.contents == [])
  }

  /// Merged, then extracted: the adapter is back.
  @Test func extractionUndoesMerging() throws {
    let merged = folder.file("merged")
    #expect(
      try LoraProcess.run([
        "merge", "--model", model, "--adapter", b, "--output", merged,
      ]).exitCode == 0)
    let extracted = folder.file("extracted")
    let result = try LoraProcess.run([
      "extract", "--model", model, "--tuned", merged, "--rank", "4", "--output", extracted,
    ])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.errors == "")
    let ending =
      #/squared difference\ntuned model against adapter on \d+ tokens: max \|Δ logit\| .*%\nadapter: /#
    #expect(result.output.contains("7 layers, rank 4: 100.00% of the squared difference\n"))
    #expect(result.output.contains(ending), "\(result.output)")
    #expect(result.output.hasSuffix("adapter: \(extracted)\n"))
    #expect(result.output.contains("model.layers.0.self_attn.q_proj "))
    expectClose(
      actual: try logProbabilities(model, adapters: extracted),
      expected: try logProbabilities(model, adapters: b), atol: 1e-4, rtol: 0)
    let json = try LoraProcess.run([
      "extract", "--model", model, "--tuned", merged, "--rank", "1", "--output",
      folder.file("small"), "--json",
    ])
    let facts = try #require(try JSONValue(parsing: json.output).objectValue)
    let share = try #require(facts["explained"]?.numberValue)
    #expect(share > 0.1 && share < 0.99)
    #expect(facts["modules"]?.arrayValue?.count == 7)
    // What rank 1 does not hold is seen in what the model says.
    let comparison = try #require(facts["comparison"]?.objectValue)
    let divergence = try #require(comparison["mean_kl"]?.numberValue)
    let largest = try #require(comparison["max_logit_difference"]?.numberValue)
    #expect(divergence > 1e-4 && largest > 0.01 && largest < 100)

    // What was made of the base says so, and what is made of that does too.
    let combined = folder.file("combined")
    #expect(
      try LoraProcess.run([
        "combine", "--adapters", extracted, folder.file("small"), "--output", combined,
      ]).exitCode == 0)
    for adapter in [extracted, combined] {
      let shown = try LoraProcess.run(["inspect", adapter, "--model", model, "--json"])
      let facts = try #require(try JSONValue(parsing: shown.output).objectValue)
      #expect(facts["made_on_this_model"] == true, "\(shown.errors)")
    }
    let table = try LoraProcess.run(["inspect", extracted, "--model", model])
    #expect(table.output.contains("‖ΔW‖/‖W‖"), "\(table.output)\(table.errors)")

    let same = try LoraProcess.run([
      "extract", "--model", model, "--tuned", model, "--rank", "4", "--output",
      folder.file("none"),
    ])
    #expect(same.exitCode == 1)
    #expect(
      same.errors == """
        Error: the models do not differ in any of the linear layers
        hint: they hold the same numbers: name the tuned model with --tuned

        """)
  }
}

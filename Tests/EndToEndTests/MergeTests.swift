// `lora merge` as a user runs it: folders, what is refused, and that nothing is left behind then.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

struct MergeTests {
  private let model = Fixture.path("folder/tied-f32")
  private let adapter = Fixture.path("merging/a")
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func merge(_ changes: [String: String] = [:], _ more: [String] = []) throws -> LoraResult
  {
    var arguments = ["--model": model, "--adapter": adapter, "--output": folder.file("out")]
    arguments.merge(changes) { $1 }
    return try LoraProcess.run(
      ["merge"] + arguments.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] } + more)
  }

  private func logProbabilities(_ model: String, adapter: String? = nil) throws -> [Float] {
    let rows = try folder.write(
      Array("{\"text\": \"hello the hell 12 world, 2112 the end\"}\n".utf8), to: "rows.jsonl")
    let result = try LoraProcess.run(
      ["score", "--model", model, "--data", rows, "--precision", "float32"]
        + (adapter.map { ["--adapter", $0] } ?? []))
    #expect(result.exitCode == 0, "\(result.errors)")
    let object = try #require(try JSONValue(parsing: result.output).objectValue)
    return try #require(object["logprobs"]?.arrayValue).compactMap(\.numberValue).map(Float.init)
  }

  private func object(_ name: String) throws -> JSONObject {
    try #require(
      try JSONValue(parsing: String(contentsOfFile: folder.file(name), encoding: .utf8))
        .objectValue)
  }

  /// What is in the test's folder, apart from the rows to score.
  private var left: [String] { folder.contents.filter { $0 != "rows.jsonl" } }

  @Test func writesAModelThatComputesTheSame() throws {
    let result = try merge()
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.contains("merged against adapter on "), "\(result.output)")
    #expect(
      result.output.hasSuffix("model: \(folder.file("out")) (float32, 33 kB of weights)\n"),
      "\(result.output)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.file("out")).sorted() == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
      ])
    for name in ["generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: folder.file("out/" + name)))
          == Fixture.data("folder/tied-f32/" + name))
    }
    let configuration = try object("out/config.json")
    #expect(configuration["tie_word_embeddings"] == true)
    #expect(configuration["torch_dtype"] == "float32" && configuration["dtype"] == "float32")
    #expect(configuration["rope_theta"] == 5000.0 && configuration["rope_scaling"] == .null)
    #expect(
      configuration["rope_parameters"] == ["rope_theta": 5000.0, "rope_type": "default"])
    let expected = try logProbabilities(model, adapter: adapter)
    expectClose(
      actual: try logProbabilities(folder.file("out")), expected: expected, atol: 1e-4, rtol: 0)
    #expect(try logProbabilities(model) != expected)
  }

  @Test func shardsAndTypes() throws {
    let result = try merge(["--dtype": "bf16", "--max-shard-size": "6KB"])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(try object("out/config.json")["torch_dtype"] == "bfloat16")
    let index = try object("out/model.safetensors.index.json")
    #expect(index["metadata"]?.objectValue?["total_size"] == 16_448)
    let files = Set(
      try #require(index["weight_map"]?.objectValue).map(\.value).compactMap(\.stringValue))
    #expect(files.count == 3)
    #expect(files.contains("model-00001-of-00003.safetensors"))
    expectClose(
      actual: try logProbabilities(folder.file("out")),
      expected: try logProbabilities(model, adapter: adapter), atol: 0.3, rtol: 0)
  }

  /// Two adapters at once are the sum of both.
  @Test func severalAdapters() throws {
    let both = try merge([:], ["--adapter", Fixture.path("merging/b")])
    #expect(both.exitCode == 0, "\(both.errors)")
    let first = try merge(["--output": folder.file("first")])
    #expect(first.exitCode == 0)
    let expected = try logProbabilities(
      folder.file("first"), adapter: Fixture.path("merging/b"))
    expectClose(
      actual: try logProbabilities(folder.file("out")), expected: expected, atol: 1e-4, rtol: 0)
  }

  @Test func aFolderIsReplacedOnlyWhenAsked() throws {
    #expect(try merge().exitCode == 0)
    let again = try merge()
    #expect(again.exitCode == 1)
    #expect(
      again.errors == """
        Error: \(folder.file("out")): the folder is not empty: it holds config.json
        hint: name a new folder, or give --overwrite to replace what is in it

        """)
    #expect(try merge(["--dtype": "bf16"], ["--overwrite"]).exitCode == 0)
    #expect(try object("out/config.json")["torch_dtype"] == "bfloat16")
    #expect(left == ["out"])
    try folder.write([1], to: "out/thesis.txt")
    let foreign = try merge([:], ["--overwrite"])
    #expect(
      foreign.errors == """
        Error: \(folder.file("out")): the folder holds thesis.txt, which is no part of a merged model
        hint: --overwrite replaces such a folder only: name another, or remove the file yourself

        """)
    #expect(try object("out/config.json")["torch_dtype"] == "bfloat16")
  }

  @Test func theBaseIsNeverReplaced() throws {
    let copy = folder.file("base")
    try FileManager.default.copyItem(atPath: model, toPath: copy)
    for name in ["encoding.json", "logits.safetensors"] {
      try FileManager.default.removeItem(atPath: copy + "/" + name)
    }
    let result = try merge(["--model": copy, "--output": copy + "/"], ["--overwrite"])
    #expect(result.exitCode == 1)
    #expect(
      result.errors == """
        Error: \(copy)/: the folder holds \(copy), which is read
        hint: name another folder for the result

        """)
  }

  /// A tokenizer of another model, whose tokens have no row in the embedding.
  @Test func theTokenizerMustFit() throws {
    let base = folder.file("base")
    try FileManager.default.copyItem(atPath: Fixture.path("folder/sharded-bf16"), toPath: base)
    for name in ["tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(atPath: model + "/" + name, toPath: base + "/" + name)
    }
    let message = """
      \(base): the tokenizer has 269 tokens, the embedding 48 rows
      hint: the tokenizer and the weights do not belong together: use another model

      """
    let result = try merge(["--model": base, "--adapter": Fixture.path("adapters/o-proj")])
    #expect(result.exitCode == 1)
    #expect(result.errors == "Error: " + message)
    #expect(left == ["base"])
    let extracted = try LoraProcess.run([
      "extract", "--model", base, "--tuned", base, "--rank", "2", "--output", folder.file("x"),
    ])
    #expect(
      extracted.errors.hasPrefix(
        "warning: the adapter is not compared with the tuned model: " + message),
      "\(extracted.errors)")
  }

  /// A copy of the adapter with another alpha, or whatever `change` does to its configuration.
  private func changedAdapter(_ change: (inout JSONObject) -> Void) throws -> String {
    let copy = folder.file("changed")
    try? FileManager.default.removeItem(atPath: copy)
    try FileManager.default.copyItem(atPath: adapter, toPath: copy)
    var configuration = try object("changed/adapter_config.json")
    change(&configuration)
    try folder.write(
      Array(JSONValue.object(configuration).serialized(.indented(2)).utf8),
      to: "changed/adapter_config.json")
    return copy
  }

  @Test func whatDoesNotFitLeavesNothingBehind() throws {
    let strong = try changedAdapter { $0["lora_alpha"] = 4_000_000 }
    let result = try merge(["--adapter": strong, "--dtype": "f16"])
    #expect(result.exitCode == 1)
    #expect(
      result.errors.contains(" after merging, beyond what float16 holds\nhint: merge into "),
      "\(result.errors)")
    #expect(
      result.errors.hasPrefix("Error: model.layers.0.mlp.down_proj.weight["),
      "\(result.errors)")
    #expect(left == ["changed"])
  }

  @Test func aDifferenceAboveTheThresholdIsRefused() throws {
    let result = try merge(["--dtype": "bf16", "--max-kl": "1e-9"])
    #expect(result.exitCode == 1)
    #expect(
      result.errors.hasPrefix(
        "Error: \(folder.file("out")): the merged model differs from the model with its adapter: "
          + "max |Δ logit| "), "\(result.errors)")
    #expect(
      result.errors.hasSuffix(
        """
        above --max-kl 1e-09; nothing was written
        hint: merge into float32 (--dtype f32), or give --force to have it all the same

        """), "\(result.errors)")
    #expect(left == [])
    let forced = try merge(["--dtype": "bf16", "--max-kl": "1e-9"], ["--force"])
    #expect(forced.exitCode == 0, "\(forced.errors)")
    #expect(left == ["out"])
  }

  /// A file above the limit of `ulimit -f`, as a full disk: an error, and nothing is left.
  @Test func whatTheDiskDoesNotTakeLeavesNothingBehind() throws {
    let result = try LoraProcess.run(
      ["merge", "--model", model, "--adapter", adapter, "--output", folder.file("out")],
      limits: "ulimit -f 16")
    #expect(result.exitCode == 1)
    #expect(
      result.errors.contains(
        "/model.safetensors: cannot write the content: File too large\nhint: "),
      "\(result.errors)")
    #expect(left == [])
  }

  @Test func ownRowsToCompareOn() throws {
    let rows = try folder.write(
      Array("{\"text\": \"hello the hell\"}\n{\"text\": \"12 the\"}\n".utf8), to: "rows.jsonl")
    let result = try merge(["--data": rows])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.contains("on 11 tokens: "), "\(result.output)")
    let bad = try merge(["--data": folder.file("none.jsonl"), "--output": folder.file("out2")])
    #expect(bad.exitCode == 1)
    #expect(left == ["out"])
  }

  /// Mistakes: (changed flags, what stderr holds).
  @Test(arguments: [
    (["--dtype": "f8"], "The value 'f8' is invalid for '--dtype <dtype>'"),
    (["--max-shard-size": "5XB"], "The value '5XB' is invalid for '--max-shard-size"),
    (["--max-shard-size": "-1GB"], "--max-shard-size"),
    (["--max-kl": "nan"], "--max-kl is nan: give 0 or more"),
    (["--adapter": "/nowhere/a"], "/nowhere/a: there is no such folder\nhint: "),
    (["--model": "/nowhere/m"], "/nowhere/m: the file does not exist\nhint: "),
    (
      ["--model": Fixture.path("adapters/base.gguf")],
      "metadata key tokenizer.ggml.tokens is missing\nhint: "
    ),
    (
      ["--output": Fixture.path("MANIFEST.json/out")],
      "MANIFEST.json/out: cannot make the folder: \(Fixture.path("MANIFEST.json")) is a file\n"
    ),
  ])
  func mistakes(changes: [String: String], expected: String) throws {
    let result = try merge(changes)
    #expect(result.exitCode != 0)
    #expect(result.errors.contains(expected), "\(result.errors)")
    #expect(left == [])
  }

  /// From a GGUF file: the folder scores as the file with the adapter, with its own tokenizer.
  @Test(.enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
  func aGGUFBaseBecomesAFolder() throws {
    let gguf = try #require(demoModelPath())
    let rows = try folder.write(
      Array(
        """
        {"messages": [{"role": "user", "content": "Say 1234 Grüße!"}, \
        {"role": "assistant", "content": "東京 it's\\n\\n  fine"}]}

        """.utf8), to: "rows.jsonl")
    let adapter = folder.file("adapter")
    let trained = try LoraProcess.run([
      "train", "--model", gguf, "--data", rows, "--output", adapter, "--max-steps", "3",
      "--learning-rate", "1e-2", "--rank", "4", "--precision", "float32",
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let merged = try merge([
      "--model": gguf, "--adapter": adapter, "--data": rows, "--max-shard-size": "300MB",
    ])
    #expect(merged.exitCode == 0, "\(merged.errors)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("out")).sorted()
    #expect(
      names == [
        "config.json", "generation_config.json", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json",
        "tokenizer_config.json",
      ])
    func score(_ model: String, _ more: [String]) throws -> JSONObject {
      let result = try LoraProcess.run(
        ["score", "--model", model, "--data", rows, "--precision", "float32"] + more)
      #expect(result.exitCode == 0, "\(result.errors)")
      return try #require(try JSONValue(parsing: result.output).objectValue)
    }
    let configuration = try object("out/config.json")
    #expect(configuration["torch_dtype"] == "float32" && configuration["dtype"] == "float32")
    #expect(configuration["rope_theta"] == 100000.0 && configuration["rope_scaling"] == .null)
    #expect(
      configuration["rope_parameters"] == ["rope_theta": 100000.0, "rope_type": "default"])
    let expected = try score(gguf, ["--adapter", adapter])
    let actual = try score(folder.file("out"), [])
    #expect(actual["tokens"] == expected["tokens"])
    #expect(actual["mask"] == expected["mask"])
    func values(_ object: JSONObject) -> [Float] {
      object["logprobs"]?.arrayValue?.compactMap(\.numberValue).map(Float.init) ?? []
    }
    expectClose(actual: values(actual), expected: values(expected), atol: 1e-3, rtol: 0)
    #expect(try values(score(gguf, [])) != values(expected))
  }
}

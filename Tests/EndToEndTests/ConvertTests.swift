// `lora convert` and `lora inspect` as a user runs them: to llama.cpp's and MLX's files and back, what
// is in them, and mistakes.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

struct ConvertTests {
  private let adapter = Fixture.path("adapters/rank-stabilised")
  private let base = Fixture.path("adapters/base.gguf")
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func convert(_ from: String, _ target: String, _ to: String, _ more: [String] = [])
    throws -> LoraResult
  {
    try LoraProcess.run(["convert", from, "--to", target, "--output", folder.file(to)] + more)
  }

  @Test func toLlamaCppAndBack() throws {
    let made = try convert(adapter, "gguf", "new/a.gguf", ["--model", base])
    #expect(made.exitCode == 0, "\(made.errors)")
    #expect(
      made.output == """
        \(folder.file("new/a.gguf")): 4 layers, 432 parameters
        the factors are those of the input, bit for bit

        """)
    let back = try convert(folder.file("new/a.gguf"), "peft", "back", ["--model", base])
    #expect(back.exitCode == 0, "\(back.errors)")
    #expect(
      try Data(
        contentsOf: URL(fileURLWithPath: folder.file("back/adapter_model.safetensors")))
        == Fixture.data("adapters/rank-stabilised/adapter_model.safetensors"))
  }

  @Test func portableSaysWhatItRounds() throws {
    let made = try convert(adapter, "portable", "out")
    #expect(made.exitCode == 0, "\(made.errors)")
    #expect(
      made.output == """
        \(folder.file("out")): 4 layers, 432 parameters
        the scale went into B of 4 layers, rounded once to float32

        """)
    let text = try String(contentsOfFile: folder.file("out/adapter_config.json"), encoding: .utf8)
    let settings = try #require(try JSONValue(parsing: text).objectValue)
    #expect(settings["r"] == 3 && settings["lora_alpha"] == 3)
    #expect(settings["use_rslora"] == false && settings["alpha_pattern"] == [:])
  }

  /// The base that an adapter names is used where it is there.
  @Test func theBaseOfTheAdapterIsFound() throws {
    let copy = folder.file("adapter")
    try FileManager.default.copyItem(atPath: adapter, toPath: copy)
    let path = copy + "/adapter_config.json"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    var settings = try #require(try JSONValue(parsing: text).objectValue)
    settings["base_model_name_or_path"] = .string(base)
    try folder.write(
      Array(JSONValue.object(settings).serialized().utf8), to: "adapter/adapter_config.json")
    #expect(try convert(copy, "gguf", "a.gguf").exitCode == 0)
    let unknown = try convert(adapter, "gguf", "b.gguf")
    #expect(unknown.exitCode == 1)
    #expect(unknown.errors.contains("the base model is not known"))
    #expect(unknown.errors.contains("hint: give --model"))
    #expect(folder.contents == ["a.gguf", "adapter"])
  }

  @Test func halfThePrecisionIsHalfTheFile() throws {
    let plain = Fixture.path("adapters/all-linear")
    let made = try convert(plain, "peft", "half", ["--dtype", "f16"])
    #expect(made.exitCode == 0, "\(made.errors)")
    #expect(
      made.output.hasSuffix("\nstored as float16, which rounded numbers in 28 tensors\n"),
      "\(made.output)")
    let back = try convert(folder.file("half"), "peft", "back", ["--dtype", "float32"])
    #expect(
      back.output.hasSuffix("\nstored as float32, no number was rounded for it\n"),
      "\(back.output)")
    let unknown = try convert(plain, "peft", "x", ["--dtype", "q4_0"])
    #expect(unknown.exitCode == 64)
    #expect(unknown.errors.contains("The value 'q4_0' is invalid for '--dtype <dtype>'"))
    let scored = try LoraProcess.run(["inspect", folder.file("half"), "--json"])
    let facts = try #require(try JSONValue(parsing: scored.output).objectValue)
    #expect(facts["layers"] == 14)
  }

  /// A base that transformers 5 saved: mlx-lm reads another rotation there, and nothing of it in ours.
  @Test func aBaseThatMLXReadsOtherwiseIsNamed() throws {
    let text = """
      {"model_type": "llama", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
       "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
       "max_position_embeddings": 64, "tie_word_embeddings": false,
       "rope_parameters": {"rope_theta": 12345.0, "rope_type": "default"}}
      """
    let base = folder.file("base")
    try FileManager.default.createDirectory(
      atPath: base, withIntermediateDirectories: false)
    try folder.write(Array(text.utf8), to: "base/config.json")
    let made = try convert(adapter, "mlx", "out", ["--model", base])
    #expect(made.exitCode == 0, "\(made.errors)")
    #expect(
      made.errors == """
        warning: \(base)/config.json: mlx-lm does not read rope_parameters and would compute with \
        another rotation: add "rope_theta": 12345.0

        """)
    #expect(try convert(adapter, "portable", "portable", ["--model", base]).errors == "")
  }

  @Test func mistakes() throws {
    let cases: [([String], Int32, String)] = [
      (["convert", adapter, "--to", "onnx", "--output", "x"], 64, "'gguf', 'peft', 'mlx'"),
      (["convert", adapter, "--output", "x"], 64, "--to <to>"),
      (
        ["convert", adapter, "--to", "gguf", "--output", folder.file("x"), "--model", adapter], 1,
        "the folder has no config.json"
      ),
      (
        ["convert", base, "--to", "peft", "--output", folder.file("x"), "--model", base], 1,
        "metadata key general.type is missing"
      ),
      (
        ["convert", adapter, "--to", "peft", "--output", folder.file("x")], 1,
        "the adapter is in the form \"peft\" already"
      ),
      (
        ["convert", adapter, "--to", "mlx", "--output", "/proc/x"], 1,
        "cannot make the folder"
      ),
    ]
    for (arguments, exitCode, text) in cases {
      let result = try LoraProcess.run(arguments)
      #expect(result.exitCode == exitCode, "\(result.errors)")
      #expect(result.errors.contains(text), "\(result.errors)")
    }
    #expect(folder.contents == [])
  }

  @Test func inspectsEveryForm() throws {
    for (target, form) in [("gguf", "GGUF"), ("mlx", "MLX"), ("portable", "PEFT")] {
      #expect(try convert(adapter, target, target, ["--model", base]).exitCode == 0)
      let picture = folder.file(target + ".svg")
      let result = try LoraProcess.run([
        "inspect", folder.file(target), "--json", "--plot", picture,
      ])
      #expect(result.exitCode == 0, "\(result.errors)")
      let facts = try #require(try JSONValue(parsing: result.output).objectValue)
      #expect(facts["kind"] == "adapter" && facts["form"] == .string(form))
      #expect(facts["rank"] == 3 && facts["layers"] == 4 && facts["parameters"] == 432)
      let modules = try #require(facts["modules"]?.arrayValue)
      let first = try #require(modules.first?.objectValue)
      #expect(first["path"] == "model.layers.0.self_attn.q_proj")
      let norm = try #require(first["norm_delta"]?.numberValue)
      #expect(abs(norm - 3.87) < 0.01)
      #expect(first["singular_values"]?.arrayValue?.count == 3)
      let svg = try String(contentsOfFile: picture, encoding: .utf8)
      #expect(svg.hasPrefix("<svg ") && svg.contains(">3.87</text>"))
    }
    let text = try LoraProcess.run(["inspect", folder.file("gguf")])
    #expect(text.output.contains("q_proj     2       3     2.598  3.87 … 5.76"))
    let model = try LoraProcess.run(["inspect", base, "--plot", folder.file("x.svg")])
    #expect(model.exitCode == 64)
    #expect(model.errors.contains("--plot draws adapters"))
  }
}

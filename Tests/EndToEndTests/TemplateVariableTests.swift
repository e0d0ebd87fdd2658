// Variables of the chat template: the same rendering in every verb, recorded and repeated.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(.serialized) struct TemplateVariableTests {
  private let folder: TemporaryFolder
  private let model: String
  private let rows: String

  /// A model whose template writes what it is told.
  init() throws {
    folder = try TemporaryFolder()
    model = folder.file("model")
    try FileManager.default.copyItem(atPath: Fixture.path("folder/tied-f32"), toPath: model)
    let settings = folder.file("model/tokenizer_config.json")
    var object = try #require(
      try JSONValue(parsing: String(contentsOfFile: settings, encoding: .utf8)).objectValue)
    let template = try #require(object["chat_template"]?.stringValue)
    object["chat_template"] = .string(
      "{% if mood is defined %}<{{ mood }}|{% if think %}T{% endif %}>{% endif %}" + template)
    try folder.write(
      Array(JSONValue.object(object).serialized(.compact).utf8), to: "model/tokenizer_config.json")
    rows = try folder.write(
      Array(
        #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
          .utf8), to: "rows.jsonl")
  }

  private func run(_ arguments: [String], exitCode: Int32 = 0) throws -> LoraResult {
    let result = try LoraProcess.run(arguments + ["--model", model])
    #expect(result.exitCode == exitCode, "\(result.errors)")
    return result
  }

  private func train(_ output: String, _ more: [String]) throws -> LoraResult {
    try run(
      ["train", "--data", rows, "--output", folder.file(output), "--rank", "2", "--max-steps", "1"]
        + more)
  }

  private func resolved(_ output: String) throws -> String {
    try String(contentsOfFile: folder.file(output + "/config.resolved.yaml"), encoding: .utf8)
  }

  @Test func everyVerbRendersTheSame() throws {
    let set = ["--set", "mood=calm", "--set", "think=False"]
    let expected = "<calm|><|bos|><|user|>a<|end|><|assistant|>⟦b<|end|>⟧"
    #expect(try run(["check", "--data", rows] + set).output.contains(expected))
    #expect(try train("flags", set).output.contains(expected))
    let line = #"template_variables: {"mood": "calm", "think": false}"# + "\n"
    #expect(try resolved("flags").contains(line))

    func tokens(_ arguments: [String]) throws -> JSONValue? {
      try JSONValue(parsing: run(["score", "--data", rows] + arguments).output)
        .objectValue?["tokens"]
    }
    let scored = try tokens(set)
    #expect(try scored != tokens([]))
    #expect(try scored == tokens(["--set", #"mood="calm""#, "--set", "think=0"]))
    let thinking = try tokens(["--set", "mood=calm", "--set", "think=true"])
    #expect(thinking != scored)
    func loss(_ arguments: [String]) throws -> JSONValue? {
      try JSONValue(parsing: run(["eval", "--data", rows, "--json"] + arguments).output)
        .objectValue?["loss"]
    }
    #expect(try loss(set) != loss([]))
    func text(_ arguments: [String]) throws -> JSONValue? {
      try JSONValue(
        parsing: run(["generate", "--prompt", "a", "--max-tokens", "8", "--json"] + arguments)
          .output
      ).objectValue?["tokens"]
    }
    #expect(try text(set) != text([]))

    // The recorded file, and one of a person, repeat it.
    let repeated = try LoraProcess.run([
      "train", "--config", folder.file("flags/config.resolved.yaml"), "--output",
      folder.file("again"),
    ])
    #expect(repeated.exitCode == 0, "\(repeated.errors)")
    #expect(try resolved("again").contains(line))
    let yaml = try folder.write(
      Array("template_variables: {mood: \"calm\", think: no}\n".utf8), to: "run.yaml")
    #expect(try train("yaml", ["--config", yaml]).output.contains(expected))
    #expect(try resolved("yaml").contains(line))

    // An adapter that was trained with others is warned of.
    let warned = try run(["eval", "--data", rows, "--adapter", folder.file("flags")])
    #expect(
      warned.errors == """
        warning: \(folder.file("flags")): was trained with the template variables \
        {"mood": "calm", "think": false}, and now has none: rows and prompts look different to it; \
        see --set

        """)
    #expect(
      try run(["eval", "--data", rows, "--adapter", folder.file("flags")] + set).errors.isEmpty)
  }

  @Test(arguments: [
    (
      "mod=1", 1,
      """
      the model's chat template reads no variable mod; did you mean mood?
      hint: leave it out: it would change nothing
      """
    ),
    (
      "messages=[]", 1,
      """
      the template variable messages is made of the rows
      hint: write it into the rows instead
      """
    ), ("mood", 64, "The value 'mood' is invalid for '--set <name=value>'"),
    ("mood=1 --set mood=2", 64, "--set gives mood twice"),
  ])
  func mistakes(value: String, exitCode: Int32, message: String) throws {
    for verb in ["train", "check", "eval", "score", "generate"] {
      var arguments = [verb, "--set"] + value.split(separator: " ").map(String.init)
      arguments += verb == "generate" ? ["--prompt", "a"] : ["--data", rows]
      if verb == "train" { arguments += ["--output", folder.file("out")] }
      let result = try run(arguments, exitCode: exitCode)
      #expect(result.errors.hasPrefix("Error: " + message + "\n"), "\(verb): \(result.errors)")
    }
  }
}

// A template that writes today's date: a run has one day, whenever it is repeated or goes on.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(.serialized) struct TemplateDateTests {
  private let folder: TemporaryFolder
  private let model: String
  private let rows: String

  init() throws {
    folder = try TemporaryFolder()
    model = folder.file("model")
    try FileManager.default.copyItem(atPath: Fixture.path("folder/tied-f32"), toPath: model)
    let template = """
      {{ bos_token }}{% if strftime_now is defined %}{{ strftime_now('%d %m %Y') }}{% endif %}\
      {% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\
      {% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}
      """
    try folder.write(Array(template.utf8), to: "model/chat_template.jinja")
    let lines = (1...12).map {
      #"{"messages": [{"role": "user", "content": "say \#($0)"}, "#
        + #"{"role": "assistant", "content": "the \#($0)"}]}"#
    }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func train(_ output: String, _ more: [String] = []) throws -> LoraResult {
    try LoraProcess.run(
      [
        "train", "--model", model, "--data", rows, "--output", folder.file(output), "--batch-size",
        "2", "--rank", "2", "--learning-rate", "1e-2", "--save-steps", "2",
      ] + more)
  }

  private func adapter(_ output: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.file(output + "/adapter_model.safetensors")))
  }

  private func settings(_ output: String) throws -> String {
    try String(contentsOfFile: folder.file(output + "/config.resolved.yaml"), encoding: .utf8)
  }

  /// The day as the system's own command knows it, now.
  private func today() throws -> String {
    let formatter = DateFormatter()
    formatter.dateFormat = "yyyy-MM-dd"
    formatter.locale = Locale(identifier: "en_US_POSIX")
    return formatter.string(from: Date())
  }

  @Test func aRunHasOneDay() throws {
    let day = ["--template-date", "2001-02-03"]
    #expect(try train("then", day).exitCode == 0)
    #expect(try settings("then").contains("template_date: \"2001-02-03\"\n"))
    let before = try today()
    #expect(try train("now").exitCode == 0)
    let days = [before, try today()].map { "template_date: \"\($0)\"\n" }
    #expect(try days.contains { try settings("now").contains($0) })
    #expect(try adapter("then") != adapter("now"))

    // Repeated on another day: the recorded one.
    let repeated = try LoraProcess.run([
      "train", "--config", folder.file("then/config.resolved.yaml"), "--output",
      folder.file("repeated"),
    ])
    #expect(repeated.exitCode == 0, "\(repeated.errors)")
    #expect(try adapter("repeated") == adapter("then"))

    // Resumed on another day, with the flags of that day: the recorded one too.
    for name in ["adapter_model.safetensors", "adapter_config.json", "checkpoints/step-6"] {
      try FileManager.default.removeItem(atPath: folder.file("repeated/" + name))
    }
    let other = try train("repeated", ["--resume", "--template-date", "2001-02-04"])
    #expect(other.exitCode == 1)
    #expect(
      other.errors.contains(#"template_date was "2001-02-03" and is "2001-02-04""#),
      "\(other.errors)")
    let resumed = try train("repeated", ["--resume"])
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(resumed.output.contains("resuming from step 4\n"))
    #expect(try adapter("repeated") == adapter("then"))
    #expect(try settings("repeated").contains("template_date: \"2001-02-03\"\n"))
  }

  @Test func checkSaysThatADayIsLearnt() throws {
    func warnings(_ model: String) throws -> [JSONObject] {
      let result = try LoraProcess.run([
        "check", "--model", model, "--data", rows, "--template-date", "2001-02-03", "--json",
      ])
      #expect(result.exitCode == 0, "\(result.errors)")
      let object = try #require(try JSONValue(parsing: result.output).objectValue)
      return (object["warnings"]?.arrayValue ?? []).compactMap(\.objectValue)
        .filter { $0["kind"] == "template_date" }
    }
    let found = try #require(try warnings(model).first)
    #expect(
      found["message"]
        == "the chat template writes today's date into the rows: all are learnt with 2001-02-03")
    #expect(
      found["hint"] == "a model asked on another day sees another; --template-date sets it")
    #expect(try warnings(Fixture.path("folder/tied-f32")).isEmpty)
  }

  @Test func theVerbsThatAskTakeADay() throws {
    func tokens(_ day: String) throws -> LoraResult {
      try LoraProcess.run([
        "score", "--model", model, "--data", rows, "--template-date", day,
      ])
    }
    let (first, second) = (try tokens("2001-02-03"), try tokens("2002-11-10"))
    #expect(first.exitCode == 0 && second.exitCode == 0, "\(first.errors)")
    #expect(first.output != second.output)
    #expect(try tokens("2001-02-03").output == first.output)
    for wrong in ["2001-02-30", "3 Feb 2001", "2001-2-3"] {
      #expect(try tokens(wrong).exitCode == 64)
    }
  }
}

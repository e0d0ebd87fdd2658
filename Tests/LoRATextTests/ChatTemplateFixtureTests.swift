// Chat templates against jinja2 as transformers configures it (Scripts/fixtures/chat_template.py).

import Foundation
import LoRAJSON
import LoRAText
import Testing

enum ChatTemplateFixture {
  static func load(_ name: String) throws -> JSONObject {
    let root = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let url = root.appending(path: "Fixtures/chat_template/\(name).json")
    return try #require(try JSONValue(parsing: Data(contentsOf: url)).objectValue)
  }

  /// What is refused by design although Jinja has an answer: unknown methods, addresses in the
  /// output, and slices of numbers, which Jinja forgives where it can compute them beforehand.
  static let refusals = [
    "is not supported", "printing a", "object is not subscriptable", "unhashable type: 'slice'",
  ]

  /// Compares one rendering with its row; an empty string when it is as it should be.
  static func difference(
    _ label: String, expected: String?, tolerated: inout Int, _ render: () throws -> String
  ) -> String {
    do {
      let text = try render()
      guard let expected else { return "\(label): must fail, gave \(text.debugDescription)" }
      if Array(text.utf8) == Array(expected.utf8) { return "" }
      return "\(label): \(text.debugDescription) instead of \(expected.debugDescription)"
    } catch let error as ChatTemplateError {
      if error.message.isEmpty || error.hint.isEmpty || error.line < 1 {
        return "\(label): an error that says nothing: \(error)"
      }
      guard let expected else { return "" }
      if refusals.contains(where: error.message.contains) {
        tolerated += 1
        return ""
      }
      return "\(label): \(error) instead of \(expected.debugDescription)"
    } catch {
      return "\(label): another error: \(error)"
    }
  }
}

@Suite struct ChatTemplateFixtureTests {
  @Test(arguments: ["snippets", "random"])
  func snippetsRenderAsInJinja(name: String) throws {
    let fixture = try ChatTemplateFixture.load(name)
    let context = try #require(fixture["context"]?.objectValue)
    let rows = try #require(fixture["rows"]?.arrayValue)
    var failing = 0
    var refused = 0
    for row in rows {
      let row = try #require(row.objectValue)
      let source = try #require(row["t"]?.stringValue)
      var variables: [String: JSONValue] = [:]
      for (key, value) in context { variables[key] = value }
      for (key, value) in row["v"]?.objectValue ?? [:] { variables[key] = value }
      if row["error"] != nil { failing += 1 }
      let difference = ChatTemplateFixture.difference(
        source.debugDescription, expected: row["out"]?.stringValue, tolerated: &refused
      ) {
        try ChatTemplate(source).render(
          messages: [], addGenerationPrompt: false, bosToken: "<s>", eosToken: "</s>",
          variables: variables)
      }
      #expect(difference.isEmpty, "\(difference) \(row["error"]?.stringValue ?? "")")
    }
    #expect(rows.count > 1000)
    #expect(failing > 200)
    // Every row of the written snippets is decided; random ones hit a refusal now and then.
    print("\(name): \(rows.count) rows, \(failing) errors, \(refused) refused by design")
    #expect(refused <= (name == "random" ? rows.count / 30 : 0))
  }

  @Test func wholeTemplatesRenderAsInTransformers() throws {
    let fixture = try ChatTemplateFixture.load("templates")
    let sources = try #require(fixture["templates"]?.objectValue)
    let conversations = try #require(fixture["conversations"]?.arrayValue)
    let tools = try #require(fixture["tools"]?.arrayValue)
    let texts = try #require(fixture["texts"]?.arrayValue)
    let rows = try #require(fixture["rows"]?.arrayValue)
    var templates: [String: ChatTemplate] = [:]
    var refused = 0
    for (name, source) in sources {
      templates[name] = try ChatTemplate(#require(source.stringValue))
    }
    for row in rows {
      let row = try #require(row.objectValue)
      let name = try #require(row["template"]?.stringValue)
      let template = try #require(templates[name])
      let number = try #require(row["conversation"]?.integerValue)
      let messages = try #require(conversations[number].arrayValue)
      let usesTools = row["tools"] == true
      let prompts = row["prompt"] == true
      let expected = try row["out"]?.integerValue.map { try #require(texts[$0].stringValue) }
      let difference = ChatTemplateFixture.difference(
        "\(name), conversation \(number), tools \(usesTools), prompt \(prompts)",
        expected: expected, tolerated: &refused
      ) {
        try template.render(
          messages: messages, addGenerationPrompt: prompts, tools: usesTools ? tools : nil,
          bosToken: "<s>", eosToken: "</s>", variables: ["date_string": "2025-01-05"])
      }
      #expect(difference.isEmpty, "\(difference) \(row["error"]?.stringValue ?? "")")
    }
    #expect(refused == 0)
    #expect(templates.count >= 12)
    #expect(rows.count > 500)
  }

  /// Training renders each row once per assistant turn: some ten microseconds are nothing there.
  @Test func renderingIsFast() throws {
    let fixture = try ChatTemplateFixture.load("templates")
    let conversations = try #require(fixture["conversations"]?.arrayValue)
    let messages = try #require(conversations[3].arrayValue)
    for name in ["smollm2-gguf", "qwen3"] {
      let source = try #require(fixture["templates"]?.objectValue?[name]?.stringValue)
      let template = try ChatTemplate(source)
      let clock = ContinuousClock()
      let rounds = 500
      var bytes = 0
      let time = try clock.measure {
        for _ in 0..<rounds {
          bytes += try template.render(
            messages: messages, addGenerationPrompt: true, bosToken: "<s>", eosToken: "</s>"
          ).utf8.count
        }
      }
      print("\(name): \(time / rounds) for a conversation of 4 messages")
      #expect(bytes > 0)
      #expect(time / rounds < .milliseconds(20))
    }
  }
}

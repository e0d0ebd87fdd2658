// What carries loss, shown as text: the demo model's own tokenizer and template.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATestSupport
import LoRAText
import LoRATraining
import Testing

@Suite(.enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct MaskTests {
  private let encoder: TextEncoder
  private let folder: TemporaryFolder

  init() throws {
    encoder = try TextEncoder(gguf: GGUFFile(contentsOf: try #require(demoModelPath())))
    folder = try TemporaryFolder()
  }

  private func dataset(
    _ text: String, maxLength: Int? = nil, truncation: Truncation = .error
  ) throws -> Dataset {
    let file = try folder.write(Array(text.utf8), to: "rows.jsonl")
    return try Dataset(
      contentsOf: file, encoder: encoder, maxLength: maxLength, truncation: truncation)
  }

  /// The text with the parts that carry loss in ‹ ›.
  private func marked(_ example: Example) -> String {
    var text = ""
    var isInside = false
    for (token, supervised) in zip(example.tokens, example.mask) {
      if supervised != isInside { text += supervised ? "‹" : "›" }
      isInside = supervised
      text += encoder.tokenizer.decode([token])
    }
    return text + (isInside ? "›" : "")
  }

  @Test(arguments: [
    (
      #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello you"}]}"#,
      """
      <|im_start|>system
      You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
      <|im_start|>user
      Hi<|im_end|>
      <|im_start|>assistant
      ‹Hello you<|im_end|>›

      """
    ),
    (
      #"{"id": 7, "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, "#
        + #"{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, "#
        + #"{"role": "assistant", "content": "\n d"}]}"#,
      """
      <|im_start|>system
      S<|im_end|>
      <|im_start|>user
      a<|im_end|>
      <|im_start|>assistant
      ‹b<|im_end|>›
      <|im_start|>user
      c<|im_end|>
      <|im_start|>assistant
      ‹
       d<|im_end|>›

      """
    ),
    (
      #"{"instruction": "Add", "input": "1 2", "output": "3"}"#,
      """
      <|im_start|>system
      You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
      <|im_start|>user
      Add

      1 2<|im_end|>
      <|im_start|>assistant
      ‹3<|im_end|>›

      """
    ),
    (
      #"{"prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, "#
        + #"{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "#
        + #""completion": [{"role": "assistant", "content": "d"}]}"#,
      """
      <|im_start|>system
      S<|im_end|>
      <|im_start|>user
      a<|im_end|>
      <|im_start|>assistant
      b<|im_end|>
      <|im_start|>user
      c<|im_end|>
      <|im_start|>assistant
      ‹d<|im_end|>›

      """
    ),
    (#"{"prompt": "one two", "completion": " three"}"#, "one two‹ three<|im_end|>›"),
    (#"{"prompt": "", "completion": "all of it"}"#, "all‹ of it<|im_end|>›"),
    (#"{"text": "all of it"}"#, "all‹ of it<|im_end|>›"),
    // A row that spells its end out does not get a second one.
    (#"{"text": "all of it<|im_end|>"}"#, "all‹ of it<|im_end|>›"),
    (#"{"prompt": "one", "completion": " two<|im_end|>"}"#, "one‹ two<|im_end|>›"),
    (#"{"prompt": "one", "completion": " two<|endoftext|>"}"#, "one‹ two<|endoftext|>›"),
  ]) func spans(row: String, expected: String) throws {
    let data = try dataset(row + "\n")
    let example = try #require(data.examples.first)
    #expect(marked(example) == expected)
    #expect(example.endsWithStop)
    #expect(example.line == 1)
  }

  /// The tokens of a conversation are those of its text as transformers renders it.
  @Test func tokensAreThoseOfTheRenderedText() throws {
    let path = Fixture.directory + "/../Examples/orders/train.jsonl"
    let data = try Dataset(contentsOf: path, encoder: encoder)
    #expect(data.examples.count == 480 && data.format == .messages)
    for example in data.examples {
      let text = encoder.tokenizer.decode(example.tokens)
      #expect(encoder.tokenizer.encode(text, addSpecialTokens: false) == example.tokens)
      #expect(example.mask.last == false && example.tokens.count < 100)
    }
  }

  @Test func toolsReachTheTemplateAndCallsAreAnswers() throws {
    // SmolLM2's template ignores tools; what matters here is that the row is read.
    let row =
      #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x", "#
      + #""tool_calls": [{"name": "f"}]}], "tools": [{"name": "f"}]}"#
    #expect(try dataset(row).examples.count == 1)
  }

  @Test func lengthLimits() throws {
    let rows = (1...12).map { #"{"text": "\#(String(repeating: "word ", count: $0))end"}"# }
    let text = rows.joined(separator: "\n")
    let all = try dataset(text)
    let lengths = all.examples.map(\.tokens.count)
    #expect(lengths == Array(3...14))
    #expect(try dataset(text, maxLength: 14).examples.count == 12)
    let error = #expect(throws: DataError.self) { try dataset(text, maxLength: 12) }
    let file = folder.file("rows.jsonl")
    #expect(
      error?.description
        == "\(file): 2 rows are longer than 12 tokens: \(file):11 (13 tokens), \(file):12 (14 tokens)"
        + "\nhint: raise --max-length (14 keeps all), or choose --truncation drop or truncate")
    let many = #expect(throws: DataError.self) { try dataset(text, maxLength: 3) }
    #expect(many?.message.hasSuffix("(13 tokens) and 1 more") == true)
    let dropped = try dataset(text, maxLength: 12, truncation: .drop)
    #expect(dropped.examples.count == 10 && dropped.droppedLines == [11, 12])
    let cut = try dataset(text, maxLength: 12, truncation: .truncate)
    #expect(cut.examples.map(\.tokens.count) == Array(3...12) + [12, 12])
    #expect(cut.truncatedLines == [11, 12] && cut.droppedLines == [])
    #expect(cut.examples[10].endsWithStop == false)
    // Cut to one token, nothing is left that carries loss.
    let none = #expect(throws: DataError.self) {
      try dataset(text, maxLength: 1, truncation: .truncate)
    }
    #expect(none?.message == "all 12 rows are too long to keep")
  }

  @Test func generationTasks() throws {
    let file = try folder.write(
      Array(
        """
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": " A \\n"}]}
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "B"}, \
        {"role": "user", "content": "R"}, {"role": "assistant", "content": "C"}]}

        """.utf8), to: "rows.jsonl")
    let tasks = try GenerationTask.tasks(contentsOf: file, encoder: encoder)
    #expect(tasks.map(\.question) == ["Q", "R"])
    #expect(tasks.map(\.reference) == [" A \n", "C"])
    #expect(tasks.map(\.line) == [1, 2])
    #expect(tasks[0].isAnswered(by: "A") && !tasks[0].isAnswered(by: "a"))
    #expect(
      encoder.tokenizer.decode(tasks[1].prompt).hasSuffix("R<|im_end|>\n<|im_start|>assistant\n"))
    let plain = try folder.write(Array(#"{"prompt": "P", "completion": " c"}"#.utf8), to: "p.jsonl")
    let task = try #require(
      try GenerationTask.tasks(contentsOf: plain, encoder: encoder).first)
    #expect(encoder.tokenizer.decode(task.prompt) == "P" && task.isAnswered(by: "c"))
    let text = try folder.write(Array(#"{"text": "P"}"#.utf8), to: "t.jsonl")
    let error = #expect(throws: DataError.self) {
      try GenerationTask.tasks(contentsOf: text, encoder: encoder)
    }
    #expect(error?.line == 1)
  }

  /// A template that drops what was thought in earlier turns: the mask would be a guess.
  @Test func aTemplateThatChangesEarlierTurnsIsAnError() throws {
    let source =
      "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}<a>{{ m.content[:1] }}"
      + "{% else %}<{{ m.role[0] }}>{{ m.content }}{% endif %}{% endfor %}"
      + "{% if add_generation_prompt %}<a>{% endif %}"
    let changed = TextEncoder(
      tokenizer: encoder.tokenizer, chatTemplate: try ChatTemplate(source))
    let file = try folder.write(
      Array(
        (#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bcd"}, "#
          + #"{"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}]}"#).utf8),
      to: "rows.jsonl")
    let error = #expect(throws: DataError.self) { try Dataset(contentsOf: file, encoder: changed) }
    #expect(error?.line == 1)
    #expect(
      error?.message.hasPrefix(
        "the chat template renders messages[1] differently with what follows")
        == true)
    let last = try folder.write(
      Array(
        (#"{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bcd"}, "#
          + #"{"role": "user", "content": "e"}], "completion": [{"role": "assistant", "content": "f"}]}"#)
          .utf8), to: "last.jsonl")
    let example = try #require(
      try Dataset(contentsOf: last, encoder: changed).examples.first)
    #expect(encoder.tokenizer.decode(example.tokens) == "<u>a<a>b<u>e<a>f")
    #expect(example.supervisedCount == 1 && !example.endsWithStop)
  }

  @Test func withoutATemplateConversationsAreAnError() throws {
    let plain = TextEncoder(tokenizer: encoder.tokenizer, chatTemplate: nil)
    let error = #expect(throws: DataError.self) {
      try plain.prompt(messages: [("user", "Hi")])
    }
    #expect(error?.message == "the model has no chat template, so it cannot hold conversations")
    #expect(plain.prompt(text: "Hi") == encoder.tokenizer.encode("Hi", addSpecialTokens: false))
  }
}

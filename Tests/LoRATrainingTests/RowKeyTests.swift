// What each key of a row and a message does: it acts, is refused by name, or is said to be unused.

import Foundation
import LoRAJSON
import LoRATestSupport
import LoRAText
import LoRATraining
import Testing

struct RowKeyTests {
  private let rows: RowFile
  private let plain: TextEncoder
  private let calling: TextEncoder

  init() throws {
    rows = try RowFile()
    plain = try rows.encoder(
      template: "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        + "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    calling = try rows.encoder(
      template: "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}"
        + "<|im_start|>{{ m.role }}\n{{ m.plan }}{% if m.role != 'user' or not m.hidden %}"
        + "{{ m.content }}{% endif %}{% for c in m.tool_calls or [] %}<tool_call>"
        + "{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
        + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
  }

  private static let take =
    "hint: what could be meant is never left out silently: rename the key, or take it out (jq -c 'del("
  private static let call =
    #"{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}"#

  private static func chat(_ answer: String, _ user: String = "", _ row: String = "") -> String {
    #"{"messages": [{"role": "user", "content": "a"\#(user)}, "#
      + #"{"role": "assistant", \#(answer)}]\#(row)}"#
  }

  /// A row, and what is said of it: an error or findings.
  static let cases: [(row: String, said: [String])] = [
    // Keys of rows.
    (
      #"{"instruction": "a", "context": "b", "output": "c"}"#,
      [
        "d.jsonl:1: 1 row has the key \"context\", which is not used: rename it to input\n" + take
          + #"."context")' FILE > rows.jsonl)"#
      ]
    ),
    (
      #"{"instruction": "a", "Input": "1", "output": "c"}"# + "\n"
        + #"{"instruction": "a", "inputs": [2], "output": "d"}"# + "\n"
        + #"{"instruction": "a", "inputs": null, "output": "e", "system": 3}"#,
      [
        "d.jsonl:1: 1 row has the key \"Input\", which is not used: did you mean \"input\"?\n"
          + "d.jsonl:2: 1 row has the key \"inputs\", which is not used: did you mean \"input\"?\n"
          + "d.jsonl:3: system is a number, not a string\n" + take
          + #"."Input", ."inputs")' FILE > rows.jsonl)"#
      ]
    ),
    (
      #"[{"text": "a b", "Text": "c"}]"#,
      [
        "d.jsonl:1: 1 row has the key \"Text\", which is not used: did you mean \"text\"?\n"
          + take.replacing("'del(", with: "'.[] | del(") + #"."Text")' FILE > rows.jsonl)"#
      ]
    ),
    (
      #"{"instruction": "a", "output": "b", "note": "x", "empty": [], "id": 1}"# + "\n"
        + #"{"instruction": "c", "output": "d", "note": "x", "n": false, "__index_level_0__": 1}"#,
      [
        "unknown_key: d.jsonl:1: 2 rows with the key \"note\", which is not used (lines 1, 2); "
          + "take it out, or write what it says into the texts of the row",
        "unknown_key: d.jsonl:2: 1 row with the key \"n\", which is not used; "
          + "take it out, or write what it says into the texts of the row",
      ]
    ),
    (
      #"{"instruction": "a", "input": null, "output": "b", "text": null, "messages": null}"#, []
    ),
    (#"{"text": "a b", "tools": null, "input": null, "answer": ""}"#, []),
    (
      #"{"prompt": "a", "completion": "b", "tools": [{}], "system": "s"}"#,
      [
        "d.jsonl:1: 1 row has the key \"tools\", which is not used: tools need a conversation: "
          + "write the row as messages\nd.jsonl:1: 1 row has the key \"system\", which is not used: "
          + "a system message needs a conversation: write the row as messages\n" + take
          + #"."tools", ."system")' FILE > rows.jsonl)"#
      ]
    ),
    (
      chat(#""content": "b""#, "", #", "weight": 0"#),
      [
        "d.jsonl:1: 1 row has the key \"weight\", which is not used: \"weight\": 0 in an assistant's "
          + "message leaves that out of the loss\n" + take + #"."weight")' FILE > rows.jsonl)"#
      ]
    ),
    (
      chat(#""content": "b""#, "", #", "tools": 3"#),
      [
        "d.jsonl:1: tools is a number, not a list\nhint: it is a list like [{\"type\": "
          + "\"function\", \"function\": {\"name\": \"…\", \"description\": \"…\", "
          + "\"parameters\": {…}}}]"
      ]
    ),
    (
      chat(
        #""content": "b", "tool_calls": [\#(call), \#(call)]"#, "",
        #", "parallel_tool_calls": false"#),
      [
        "d.jsonl:1: messages[1] has several tool_calls, but parallel_tool_calls is false\n"
          + "hint: give each call a message of its own, or remove parallel_tool_calls"
      ]
    ),
    // Keys of messages.
    (chat(#""content": "b", "weight": 1"#), []),
    (
      chat(#""content": "b", "weight": 0.5"#),
      [
        "d.jsonl:1: the weight of messages[1] is 0.5: it is 0 or 1\n"
          + "hint: 0 leaves the answer out of the loss, 1 learns it"
      ]
    ),
    (
      chat(#""content": "b", "weight": "0""#),
      [
        "d.jsonl:1: the weight of messages[1] is \"0\": it is 0 or 1\n"
          + "hint: 0 leaves the answer out of the loss, 1 learns it"
      ]
    ),
    (
      chat(#""content": "b", "weight": 0"#),
      [
        "d.jsonl:1: every answer of messages has weight 0: there is nothing to learn from\n"
          + "hint: remove the row, or the weight of an answer"
      ]
    ),
    (
      chat(#""content": "b""#, #", "weight": 1"#),
      [
        "d.jsonl:1: messages[0] has weight 1, but it is not learned\nhint: only the assistant's "
          + "messages are, of prompt and completion those of the completion: remove the weight"
      ]
    ),
    (
      chat(#""refusal": "no""#),
      [
        "d.jsonl:1: messages[1] has the key \"refusal\", which is not used: no template knows it: "
          + "write what the assistant says as content\nhint: what could be meant is never left out "
          + "silently: rename it, or take it out"
      ]
    ),
    (
      chat(#""content": "b", "train": false"#),
      [
        "d.jsonl:1: messages[1] has the key \"train\", which is not used: \"weight\": 0 leaves an "
          + "assistant's message out of the loss\nhint: what could be meant is never left out "
          + "silently: rename it, or take it out"
      ]
    ),
    (
      chat(#""content": "b", "plan": "p""#),
      [
        "d.jsonl:1: messages[1] has the key \"plan\", which the chat template does not render\n"
          + "hint: what could be meant is never left out silently: write it into the content, or "
          + "take it out"
      ]
    ),
    (
      chat(#""content": "b", "reasoning_content": "r""#, #", "name": "n""#),
      [
        "not_rendered: d.jsonl:1: 1 row in which the chat template does not render the name of user "
          + "messages; it is not learned: write it into the content if it matters",
        "not_rendered: d.jsonl:1: 1 row in which the chat template does not render the "
          + "reasoning_content of assistant messages; it is not learned: write it into the content "
          + "if it matters",
      ]
    ),
    (
      chat(#""content": null, "tool_calls": [\#(call)]"#),
      [
        "d.jsonl:1: the chat template renders nothing of the answer messages[1] (tool_calls): a "
          + "model would learn to say nothing\nhint: take a model whose template renders it, or "
          + "write the answer as content, in the words that the model is to say"
      ]
    ),
    (
      chat(#""content": "b", "tool_calls": [\#(call)]"#, "", #", "tools": [{"default": null}]"#),
      [
        "not_rendered: d.jsonl:1: 1 row in which the chat template does not render the tools; it is "
          + "not learned: write it into the content if it matters",
        "not_rendered: d.jsonl:1: 1 row in which the chat template does not render the tool_calls "
          + "of assistant messages; it is not learned: write it into the content if it matters",
        "null_value: d.jsonl:1: 1 row with null inside tools or arguments: taken as absent, as Arrow "
          + "and Parquet mean it; where null itself is meant, write the tools or arguments as a "
          + "JSON string",
      ]
    ),
    (
      chat(#""content": "b", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]"#),
      [
        "d.jsonl:1: messages[1].tool_calls[0].function.arguments is not a JSON object: \"{\"\n"
          + "hint: write the arguments as an object, or as the text of one"
      ]
    ),
    (
      chat(#""content": "b", "tool_call_id": "1""#),
      [
        "d.jsonl:1: messages[1] has the key \"tool_call_id\", which is not used: only messages of "
          + "the role tool answer a call\nhint: what could be meant is never left out silently: "
          + "rename it, or take it out"
      ]
    ),
    (
      chat(#""content": [{"type": "text", "text": "b", "cache_control": {}, "weight": 0}]"#),
      [
        "d.jsonl:1: content[0] of messages[1] has the key \"cache_control\", which is not used\n"
          + "hint: take it out; of a text, type and text are read"
      ]
    ),
    (
      #"{"system": "s", "messages": [{"role": "developer", "content": "t"}, "#
        + #"{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
      [
        "d.jsonl:1: the row has a system message of its own, and messages[0] is another\n"
          + "hint: keep one of them"
      ]
    ),
    (
      #"{"conversations": [{"from": "bard", "value": "a"}]}"#,
      [
        "d.jsonl:1: conversations[0] is from \"bard\", which is not known\nhint: known are human, "
          + "gpt, system, observation, function_call, and the roles system, user, assistant, tool"
      ]
    ),
  ]

  @Test(arguments: cases) func eachKey(row: String, said: [String]) throws {
    #expect(try rows.said(row, plain) == said)
  }

  /// A template's own key is used where it acts, wherever it does; results in another order than
  /// their calls need the ids; one call of several, and a content, can be lost too.
  @Test func whatATemplateDoesNotRenderIsFoundInAnyField() throws {
    #expect(try rows.said(Self.chat(#""content": "b", "plan": "p""#), calling) == [])
    let calls =
      #""content": "", "tool_calls": [\#(Self.call), \#(Self.call.replacing("\"1\"", with: "\"2\""))]}, "#
    func results(_ ids: [Int]) -> String {
      let tools = ids.map { #"{"role": "tool", "tool_call_id": "\#($0)", "content": "t"}"# }
      return calls + tools.joined(separator: ", ") + #", {"role": "assistant", "content": "z""#
    }
    #expect(try rows.said(Self.chat(results([1, 2])), calling) == [])
    #expect(
      try rows.said(Self.chat(results([2, 1])), calling).map { $0.prefix(91) } == [
        "not_rendered: d.jsonl:1: 1 row in which the chat template does not render the tool_call_id "
      ])
    #expect(
      try rows.said(Self.chat(results([3])), calling).first?.hasPrefix(
        "d.jsonl:1: the tool_call_id of messages[2] is \"3\", and no call before it has that id")
        == true)
    #expect(
      try rows.said(Self.chat(#""content": "b""#, #", "hidden": true"#), calling) == [])
    let first = try rows.encoder(
      template: "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.tool_calls %}"
        + "{{ m.tool_calls[0].function | tojson }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n"
        + "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    let other = Self.call.replacing("\"f\"", with: "\"g\"")
    let said = try rows.said(
      Self.chat(#""content": "lost", "tool_calls": [\#(Self.call), \#(other)]"#), first)
    #expect(
      said.map { $0.dropFirst(77).prefix(27) } == [
        " content of assistant messa", " tool_calls of assistant me",
      ])
  }

  @Test func aWeightOfZeroLeavesTheAnswerOutOfTheLoss() throws {
    let row =
      #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "#
      + #""weight": 0}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}, "#
      + #"{"role": "user", "content": "e"}, {"role": "assistant", "content": "f", "weight": 0}]}"#
    let example = try #require(rows.dataset(row, plain).examples.first)
    let learned = zip(example.tokens, example.mask).filter(\.1).map(\.0)
    #expect(plain.tokenizer.decode(learned) == "d<|im_end|>")
    // It is the one that answers are compared with, too.
    let task = try #require(
      GenerationTask.tasks(contentsOf: rows.folder.file("d.jsonl"), encoder: plain).first)
    #expect(task.reference == "d" && task.question == "c")
    #expect(plain.tokenizer.decode(task.prompt).hasSuffix("c<|im_end|>\n<|im_start|>assistant\n"))
  }

  /// Training, evaluation and a question give one prompt for one object, with its tools.
  @Test func theSameObjectGivesTheSamePrompt() throws {
    for row in [
      Self.chat(#""content": "b""#, "", #", "tools": "[{\"name\": \"f\"}]""#),
      Self.chat(#""content": null, "tool_calls": [\#(Self.call)]"#, "", #", "tools": [{"a": 1}]"#),
      #"{"instruction": "a", "system": "s", "output": "b", "tools": [{"a": 1}]}"#,
      #"{"prompt": "a", "completion": "b"}"#,
    ] {
      let example = try #require(rows.dataset(row, calling).examples.first)
      let asked = try calling.prompt(PromptRow(JSONValue(parsing: row)))
      let task = try #require(
        GenerationTask.tasks(contentsOf: rows.folder.file("d.jsonl"), encoder: calling).first)
      #expect(asked == Array(example.tokens[..<(example.mask.firstIndex(of: true) ?? 0)]))
      #expect(task.prompt == asked)
      // Without its answer it is the same question.
      var question = try #require(try JSONValue(parsing: row).objectValue)
      question["output"] = nil
      question["completion"] = nil
      if let messages = question["messages"]?.arrayValue {
        question["messages"] = .array(Array(messages.dropLast()))
      }
      #expect(try calling.prompt(PromptRow(.object(question))) == asked)
    }
    // An answer that calls is compared as it is spoken.
    let task = try rows.dataset(
      Self.chat(#""content": null, "tool_calls": [\#(Self.call)]"#), calling)
    #expect(task.examples.count == 1)
    #expect(
      try GenerationTask.tasks(contentsOf: rows.folder.file("d.jsonl"), encoder: calling)[0]
        .isAnswered(by: #"{"name": "f", "arguments": {}}"#))
  }

  @Test(arguments: [
    ("[]", "messages is empty"), ("3", "this is a number, not a list of messages or an object"),
    (#"{"messages": [{"role": "user", "content": "a"}], "foo": 1}"#, #"the key "foo" is not used"#),
    (
      #"{"messages": [{"role": "user", "content": "a"}], "temperature": 1}"#,
      #"the key "temperature" is not used"#
    ),
    (
      #"{"instruction": "a", "context": "b"}"#,
      #"the key "context" is not used: rename it to input"#
    ),
    (#"{"text": "a"}"#, "rows with text ask nothing, so there is no answer to compare"),
    (
      #"{"output": "a"}"#,
      "the key instruction is missing (a row with output is of the form instruction)"
    ),
  ]) func questions(text: String, message: String) throws {
    let error = #expect(throws: DataError.self) { try PromptRow(JSONValue(parsing: text)) }
    #expect(error?.message == message)
  }

  /// The commands in the hints do what they say.
  @Test(arguments: [
    ("prompt,completion\r\na,\"b, \"\"c\"\"\"\r\nd,é\r\n", "d.csv"),
    ("\u{FEFF}\"completion\"\t\"prompt\"\n\"b, \"\"c\"\"\"\ta\né\td\n", "d.tsv"),
    ("Prompt;completion\na;\"b, \"\"c\"\"\"\nd;é\n", "d.txt"),
  ]) func tables(text: String, name: String) throws {
    let file = try rows.folder.write(Array(text.replacing("Prompt", with: "prompt").utf8), to: name)
    let error = #expect(throws: DataError.self) {
      try Dataset(contentsOf: file, encoder: plain)
    }
    #expect(error?.message == "the file is a table (CSV), not JSON" && error?.line == nil)
    let hint = try #require(error?.hint)
    let output = rows.folder.file("rows.jsonl")
    let command = try #require(hint.components(separatedBy: " converts it").first)
      .replacing("FILE", with: file).replacing("> rows.jsonl", with: "> '\(output)'")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", "command -v python3 > /dev/null || exit 77; " + command]
    try process.run()
    process.waitUntilExit()
    if process.terminationStatus == 77 { return print("skipped: there is no python3") }
    let data = try Dataset(contentsOf: output, encoder: plain)
    #expect(
      data.examples.map { plain.tokenizer.decode($0.tokens) } == [
        "<|bos|>ab, \"c\"</s>", "<|bos|>dé</s>",
      ])
  }
}

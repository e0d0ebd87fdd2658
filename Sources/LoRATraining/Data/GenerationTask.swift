// A row as a question with a known answer, for exact match.

import LoRAJSON

/// What a row asks and what it expects.
public struct GenerationTask: Sendable {
  /// The tokens to continue.
  public let prompt: [Int32]
  /// What is asked, for people: the last message before the answer, or the prompt.
  public let question: String
  /// The text of the row's last turn.
  public let reference: String
  /// The line of the file, from 1.
  public let line: Int

  /// Whether an answer is the expected text, white space at both ends aside.
  public func isAnswered(by answer: String) -> Bool { answer.trimmed == reference.trimmed }

  /// The tasks of a file of rows.
  ///
  /// - Parameter lines: the lines to take; nil takes all. Nothing is read after the last of them.
  /// - Throws: `DataError` with file and line, also for rows that ask nothing (`text`).
  public static func tasks(
    contentsOf file: String, encoder: TextEncoder, lines: Set<Int>? = nil
  ) throws -> [GenerationTask] {
    var rows = try RowReader(file)
    var tasks: [GenerationTask] = []
    while tasks.count < lines?.count ?? .max, let (row, line) = try rows.next() {
      guard lines?.contains(line) ?? true else { continue }
      do {
        tasks.append(try task(row, line, encoder))
      } catch let error as DataError {
        throw error.at(file, line)
      }
    }
    return tasks
  }

  private static func task(
    _ row: Row, _ line: Int, _ encoder: TextEncoder
  ) throws -> GenerationTask {
    switch row {
    case .text:
      throw DataError(
        message: "rows with text ask nothing, so there is no answer to compare",
        hint: "use rows with messages, prompt and completion, or instruction and output")
    case .completion(let prompt, let completion):
      return GenerationTask(
        prompt: encoder.start(prompt), question: prompt, reference: completion, line: line)
    case .conversation(let messages, let tools, _):
      guard let last = messages.lastIndex(where: { Messages.role($0) == "assistant" }) else {
        throw DataError(
          message: "no message is the assistant's", hint: "add the answer to compare with")
      }
      let before = Array(messages[..<last])
      let text = try encoder.render(before, tools: tools, addGenerationPrompt: true)
      return GenerationTask(
        prompt: encoder.tokens(text), question: before.last.map(Messages.content) ?? "",
        reference: Messages.content(messages[last]), line: line)
    }
  }
}

extension String {
  fileprivate var trimmed: Substring {
    var text = self[...]
    while text.last?.isWhitespace == true { text.removeLast() }
    return text.drop(while: \.isWhitespace)
  }
}

// A row as a question with a known answer, for scoring what a model says.

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
    var reader = try GenerationTaskReader(file, encoder: encoder, lines: lines)
    return try reader.next(.max)
  }

  fileprivate init(_ parsed: ParsedRow, _ line: Int, _ encoder: TextEncoder) throws {
    self.line = line
    try parsed.checkKeys()
    let asked = try PromptRow(parsed, cutsAnswer: true)
    prompt = try encoder.prompt(asked)
    question = asked.question
    reference = try encoder.spoken(parsed.row) ?? asked.answer
  }
}

/// Reads the tasks of a file some at a time, so that a file of any size needs little memory.
public struct GenerationTaskReader {
  private let file: String
  private let encoder: TextEncoder
  private let lines: Set<Int>?
  private var rows: RowReader
  private var taken = 0

  /// - Parameter lines: the lines to take; nil takes all.
  public init(_ file: String, encoder: TextEncoder, lines: Set<Int>? = nil) throws {
    self.file = file
    self.encoder = encoder
    self.lines = lines
    rows = try RowReader(file)
  }

  /// The next tasks, at most `count`; none at the end.
  ///
  /// - Throws: `DataError` with file and line, also for rows that ask nothing (`text`).
  public mutating func next(_ count: Int) throws -> [GenerationTask] {
    var tasks: [GenerationTask] = []
    while tasks.count < count, taken < lines?.count ?? .max, let (row, line) = try rows.next() {
      guard lines?.contains(line) ?? true else { continue }
      do {
        tasks.append(try GenerationTask(row, line, encoder))
      } catch let error as DataError {
        throw error.at(file, line)
      }
      taken += 1
    }
    return tasks
  }
}

extension String {
  /// Without white space at both ends.
  var trimmed: Substring {
    var text = self[...]
    while text.last?.isWhitespace == true { text.removeLast() }
    return text.drop(while: \.isWhitespace)
  }
}

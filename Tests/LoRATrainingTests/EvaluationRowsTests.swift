// Rows that are read from their file for each evaluation are those that a data set would hold.

import Foundation
import LoRAFormats
import LoRATestSupport
import LoRATraining
import Testing

struct EvaluationRowsTests {
  private let encoder: TextEncoder
  private let folder: TemporaryFolder

  init() throws {
    encoder = try TextEncoder(
      folder: ModelFolder(contentsOf: Fixture.path("folder/tied-f32")))
    folder = try TemporaryFolder()
  }

  private func examples(_ rows: EvaluationRows, first: Int = .max) throws -> [Example] {
    var examples: [Example] = []
    try rows.forEachPortion(of: 7, first: first) { examples += $0 }
    return examples
  }

  /// A file longer than the pieces it is read in, with a mark at its start, every end of line, blank
  /// lines, and rows that are cut or left out.
  private func file() throws -> String {
    let ends = ["\n", "\r\n", "\n\n", "\n \t\r\n"]
    let text = (0..<300).map { row in
      let answer = (0...(row % 9)).map { "wörd \($0 * row) 字" }.joined(separator: " ")
      let filler = String(repeating: "x ", count: row % 50 == 3 ? 90_000 : 0)
      return #"{"prompt": "say \#(row % 40)", "completion": " \#(answer)", "note": "\#(filler)"}"#
        + ends[row % 4]
    }
    return try folder.write(Array(("\u{FEFF}" + text.joined()).utf8), to: "rows.jsonl")
  }

  @Test(arguments: [(Int?.none, Truncation.error), (60, .truncate), (60, .drop)])
  func theyAreTheRowsOfTheFile(_ maxLength: Int?, _ truncation: Truncation) throws {
    let path = try file()
    let data = try Dataset(
      contentsOf: path, encoder: encoder, maxLength: maxLength, truncation: truncation)
    let rows = try EvaluationRows(
      contentsOf: path, encoder: encoder, maxLength: maxLength, truncation: truncation)
    #expect(try examples(rows) == data.examples)
    #expect(rows.count == data.examples.count && rows.format == data.format)
    #expect(rows.droppedLines == data.droppedLines && rows.truncatedLines == data.truncatedLines)
    #expect((maxLength == nil) == (rows.droppedLines.isEmpty && rows.truncatedLines.isEmpty))
    #expect(rows.lines(first: 3) == data.examples.prefix(3).map(\.line))
    #expect(try examples(rows, first: 9) == Array(data.examples.prefix(9)))
  }

  @Test func aSplitGivesEachRowToOneSide() throws {
    let path = try file()
    let all = try Dataset(contentsOf: path, encoder: encoder, maxLength: 60, truncation: .truncate)
    let (training, evaluation) = try Dataset.split(
      path, encoder: encoder, maxLength: 60, truncation: .truncate, evaluationShare: 0.3)
    let held = try examples(evaluation)
    #expect(held.count > 30 && training.examples.count > 100)
    #expect((training.examples + held).sorted { $0.line < $1.line } == all.examples)
    #expect(Set(training.examples.map(\.tokens)).isDisjoint(with: held.map(\.tokens)))
    let cut = Set(training.truncatedLines)
    #expect(cut.isDisjoint(with: evaluation.truncatedLines))
    #expect(cut.union(evaluation.truncatedLines) == Set(all.truncatedLines))
  }

  @Test func aFileThatChangedIsNotEvaluatedOn() throws {
    let path = try file()
    let rows = try EvaluationRows(contentsOf: path, encoder: encoder)
    try folder.write(Array(#"{"prompt": "a", "completion": " b"}"#.utf8), to: "rows.jsonl")
    let error = #expect(throws: DataError.self) { try examples(rows) }
    #expect(error?.file == path)
    #expect(error?.message.contains("is not what it was when the run began") == true)
    try FileManager.default.removeItem(atPath: path)
    #expect(throws: DataError.self) { try examples(rows) }
  }
}

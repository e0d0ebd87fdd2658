// Numbers and styles against Python's json module (Scripts/fixtures/json_numbers.py).

import Foundation
import LoRAJSON
import Testing

@Suite struct JSONPythonTests {
  static func fixture(_ name: String) throws -> [JSONValue] {
    let root = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let data = try Data(contentsOf: root.appending(path: "Fixtures/json/\(name).json"))
    return try #require(try JSONValue(parsing: data).arrayValue)
  }

  @Test func numbersReadAndWriteAsInPython() throws {
    let rows = try Self.fixture("numbers")
    #expect(rows.count == 1500)
    for row in rows {
      let text = try #require(row.arrayValue?.first?.stringValue)
      let hex = try #require(row.arrayValue?.last?.stringValue)
      let expected = Double(bitPattern: try #require(UInt64(hex, radix: 16)))
      let value = try JSONValue(parsing: text)
      #expect(value.numberValue?.bitPattern == expected.bitPattern, "\(text)")
      #expect(JSONValue.number(expected).serialized() == text)
    }
  }

  @Test func stylesAreByteEqual() throws {
    var sorted = JSONStyle.python
    sorted.sortKeys = true
    var ascii = JSONStyle.python
    ascii.ensureASCII = true
    let styles: [(String, JSONStyle)] = [
      ("compact", .compact), ("python", .python), ("ascii", ascii), ("indent0", .indented(0)),
      ("indent4", .indented(4)), ("sorted", sorted),
    ]
    let rows = try Self.fixture("styles")
    #expect(rows.count == 14)
    for row in rows {
      let row = try #require(row.objectValue)
      let value = try #require(row["value"])
      for (name, style) in styles {
        let expected = try #require(row[name]?.stringValue)
        let written = value.serialized(style)
        #expect(Array(written.utf8) == Array(expected.utf8), "\(name): \(written) \(expected)")
        #expect(try JSONValue(parsing: written) == value)
      }
    }
  }

  /// The bar of 100 MB/s is for a quiet machine; the test asks for a tenth of it.
  @Test func ordinaryLinesParseFast() throws {
    let text = String(repeating: "A sentence of an ordinary answer, with some words. ", count: 4)
    let row: JSONValue = [
      "messages": [
        ["role": "system", "content": "You are helpful."],
        ["role": "user", "content": .string("Say \"it\":\n" + text)],
        ["role": "assistant", "content": .string(text + "Grüße, 漢字.")],
      ]
    ]
    let line = Array(row.serialized(.python).utf8)
    let clock = ContinuousClock()
    let rounds = 20_000
    var members = 0
    let time = try clock.measure {
      for _ in 0..<rounds {
        members += try JSONValue(parsing: line).objectValue?.count ?? 0
      }
    }
    #expect(members == rounds)
    let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    let speed = Double(line.count * rounds) / seconds / 1e6
    print("JSON lines: \(Int(speed)) MB/s (\(line.count) bytes a line)")
    #if DEBUG
      #expect(speed > 1)
    #else
      #expect(speed > 10)
    #endif
  }
}

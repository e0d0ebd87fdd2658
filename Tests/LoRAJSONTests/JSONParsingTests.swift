// Parsing: what is accepted, what is refused and where, and what keys and strings are equal.

import Foundation
import LoRAJSON
import Testing

struct Accepted: CustomTestStringConvertible, Sendable {
  let text: String
  let value: JSONValue
  init(_ text: String, _ value: JSONValue) {
    self.text = text
    self.value = value
  }
  var testDescription: String { text }
}

struct Refused: CustomTestStringConvertible, Sendable {
  let bytes: [UInt8]
  let part: String
  let offset: Int
  init(_ text: String, _ part: String, at offset: Int) {
    self.init(Array(text.utf8), part, at: offset)
  }
  init(_ bytes: [UInt8], _ part: String, at offset: Int) {
    self.bytes = bytes
    self.part = part
    self.offset = offset
  }
  var testDescription: String { String(decoding: bytes, as: UTF8.self) }
}

@Suite struct JSONParsingTests {
  @Test(arguments: [
    Accepted("null", nil), Accepted(" true\n", true), Accepted("\t[ ]\r\n", []),
    Accepted("{}", [:]), Accepted("0", 0), Accepted("-0", 0), Accepted("-0.0", .number(-0.0)),
    Accepted("9223372036854775807", .integer(.max)),
    Accepted("-9223372036854775808", .integer(.min)),
    Accepted("9223372036854775808", .number(9_223_372_036_854_775_808)),
    Accepted("123456789012345678901234567890", .number(1.2345678901234568e29)),
    Accepted("1e3", .number(1000)), Accepted("1E-2", .number(0.01)),
    Accepted("1.5e+300", .number(1.5e300)), Accepted("1e-400", .number(0)),
    Accepted("4.35", .number(4.35)), Accepted("0.1e1", .number(1)),
    Accepted(#""\u00e9\ud83d\ude00\/\b\f\n\r\t\"\\\u0000""#, "é😀/\u{8}\u{c}\n\r\t\"\\\0"),
    Accepted(#""12345678\n12345678""#, "12345678\n12345678"),
    Accepted("\"plain text of some length ünïcödé\"", "plain text of some length ünïcödé"),
    Accepted(
      #"{"b": [1, {"x": null}], "a": "s"}"#,
      .object(["b": [1, ["x": nil]], "a": "s"])),
    Accepted("\"\u{7f}\u{2028}\"", "\u{7f}\u{2028}"),
  ])
  func accepts(_ row: Accepted) throws {
    #expect(try JSONValue(parsing: row.text) == row.value)
    // A slice that is not at the start, and a collection that is not contiguous.
    let padded = Array("xx".utf8) + Array(row.text.utf8) + Array("yy".utf8)
    #expect(try JSONValue(parsing: padded[2..<padded.count - 2]) == row.value)
    #expect(try JSONValue(parsing: Array(row.text.utf8).reversed().reversed()) == row.value)
  }

  @Test(arguments: [
    Refused("", "expected a value", at: 0), Refused("  ", "end of the text", at: 2),
    Refused("nul", "expected 'null'", at: 0), Refused("truE", "expected 'true'", at: 0),
    Refused("NaN", "NaN and Infinity", at: 0), Refused("-Infinity", "NaN and Infinity", at: 0),
    Refused("[Infinity]", "NaN and Infinity", at: 1), Refused("1e999", "too large", at: 0),
    Refused("01", "leading zero", at: 0), Refused("-", "digit is missing", at: 0),
    Refused("1.", "digit is missing", at: 0), Refused("1.e3", "digit is missing", at: 0),
    Refused("1e", "digit is missing", at: 0), Refused(".5", "expected a value", at: 0),
    Refused("+1", "expected a value", at: 0), Refused("1 2", "after the value", at: 2),
    Refused("{} x", "after the value", at: 3), Refused("[1,]", "a comma before ']'", at: 3),
    Refused("{\"a\":1,}", "a comma before '}'", at: 7), Refused("[1 2]", "',' or ']'", at: 3),
    Refused("[1", "',' or ']'", at: 2), Refused("{\"a\"}", "expected ':'", at: 4),
    Refused("{a:1}", "a key in double quotes", at: 1), Refused("'a'", "double quotes", at: 0),
    Refused("{\"a\":1,\"a\":2}", "twice", at: 7), Refused("\"abc", "no closing quote", at: 0),
    Refused("\"a\nb\"", "control character", at: 2),
    Refused("\"\\n\tb\"", "control character", at: 3),
    Refused("\"\\x\"", "unknown escape", at: 1), Refused("\"\\u12G4\"", "four hex", at: 1),
    Refused("\"\\ud800\"", "surrogate", at: 1), Refused("\"\\ude00\"", "surrogate", at: 1),
    Refused("\"\\ud800\\u0041\"", "surrogate", at: 1), Refused("\"\\ud83d\\", "surrogate", at: 1),
    Refused("\u{FEFF}1", "byte order mark", at: 0),
    Refused([0x22, 0x61, 0xFF, 0x22], "invalid UTF-8", at: 2),
    Refused([0x22, 0xC0, 0x80, 0x22], "invalid UTF-8", at: 1),
    Refused([0x22, 0xED, 0xA0, 0x80, 0x22], "invalid UTF-8", at: 1),
    Refused([0x22, 0x5C, 0x6E, 0xC3, 0x22], "invalid UTF-8", at: 3),
    Refused([0x22, 0x61, 0xC3], "no closing quote", at: 0), Refused([0], "byte 0x0", at: 0),
  ])
  func refuses(_ row: Refused) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: row.bytes) }
    #expect(error?.message.contains(row.part) == true, "\(String(describing: error))")
    #expect(error?.byteOffset == row.offset, "\(String(describing: error))")
    #expect(error?.hint.isEmpty == false)
  }

  @Test func placesAreLinesAndScalars() {
    let error = #expect(throws: JSONError.self) {
      try JSONValue(parsing: "{\n  \"ä\": 1,\n  \"é漢\": oops\n}")
    }
    #expect(error?.line == 3)
    #expect(error?.column == 9)
  }

  @Test func depthIsLimited() throws {
    let deep = { String(repeating: "[", count: $0) + String(repeating: "]", count: $0) }
    #expect(throws: Never.self) { try JSONValue(parsing: deep(512)) }
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: deep(513)) }
    #expect(error?.message.contains("512") == true)
    #expect(throws: JSONError.self) {
      try JSONValue(parsing: String(repeating: "{\"a\":", count: 100_000))
    }
  }

  @Test func theDeepestValueFitsASmallStack() async throws {
    let text = String(repeating: "{\"a\":[", count: 256) + String(repeating: "]}", count: 256)
    let isEqual: Bool = await withCheckedContinuation { continuation in
      let thread = Thread {
        let value = try? JSONValue(parsing: text)
        let copy = value.flatMap { try? JSONValue(parsing: $0.serialized(.indented(1))) }
        continuation.resume(returning: value != nil && value == copy)
      }
      #if DEBUG
        thread.stackSize = 4 << 20
      #else
        thread.stackSize = 512 << 10
      #endif
      thread.start()
    }
    #expect(isEqual)
  }

  @Test func lastWinsKeepsTheFirstPlace() throws {
    let value = try JSONValue(parsing: #"{"a":1,"b":2,"a":3}"#, duplicateKeys: .lastWins)
    #expect(value.serialized() == #"{"a":3,"b":2}"#)
  }

  @Test func keysAndStringsCompareByScalars() throws {
    let composed = "\u{e9}"
    let decomposed = "e\u{301}"
    #expect(composed == decomposed, "Swift's own comparison, which this module must not use")
    #expect(JSONValue.string(composed) != .string(decomposed))
    #expect(Set<JSONValue>([.string(composed), .string(decomposed)]).count == 2)
    for extra in [0, 40] {
      var members = [(composed, JSONValue.integer(1)), (decomposed, .integer(2))]
      members += (0..<extra).map { ("k\($0)", .integer($0)) }
      let text = JSONValue.object(JSONObject(members)).serialized()
      let object = try #require(try JSONValue(parsing: text).objectValue)
      #expect(object.count == 2 + extra)
      #expect(object[composed] == 1)
      #expect(object[decomposed] == 2)
    }
  }

  @Test func everyTruncationIsRefusedOrShorter() throws {
    let text = Array(#"{"a": [1.5e3, -2, "x\u00e9\n", {"b": [true, false, null]}], "c": ""}"#.utf8)
    for end in 0..<text.count {
      #expect(throws: JSONError.self) { try JSONValue(parsing: text[..<end]) }
    }
  }
}

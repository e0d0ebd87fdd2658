// The picture of numbers by row and column.

import Foundation
import LoRATraining
import Testing

@Suite struct HeatMapTests {
  private let map = HeatMap(
    title: "a < b", subtitle: "\"x\" & y", columns: ["q", "k"],
    rows: [
      ("layer 0", [.init(1, note: "first"), nil]),
      ("layer 1", [.init(0, note: "nothing"), .init(4, note: "<most>")]),
    ], below: [("head", .init(2, note: "head"))])

  @Test func isWellFormedAndEscaped() throws {
    let parser = XMLCheck(map.svg)
    #expect(parser.fault == nil)
    #expect(map.svg.contains("a &lt; b") && map.svg.contains("&quot;x&quot; &amp; y"))
    #expect(map.svg.contains("<title>&lt;most&gt;</title>"))
    #expect(map.svg.contains("prefers-color-scheme:dark"))
    #expect(!map.svg.contains("http") || map.svg.contains("http://www.w3.org/2000/svg"))
  }

  @Test func theLargestIsFullAndNothingIsEmpty() {
    let lines = map.svg.split(separator: "\n")
    func opacity(_ note: String) -> String? {
      lines.first { $0.contains(note) }?.split(separator: "fill-opacity=\"").last?.prefix(5)
        .description
    }
    #expect(opacity("<title>&lt;most") == "1.000")
    #expect(opacity("<title>first") == "0.280")
    #expect(opacity("<title>nothing") == "0.000")
    #expect(opacity("<title>head") == "0.520")
  }
}

/// Whether tags open and close in turn.
private struct XMLCheck {
  var fault: String?

  init(_ text: String) {
    var open: [Substring] = []
    for part in text.split(separator: "<").dropFirst(0) where part.contains(">") {
      let tag = part.prefix { $0 != ">" }
      let name = tag.split(separator: " ").first ?? ""
      if name.hasPrefix("/") {
        guard open.popLast() == name.dropFirst() else {
          fault = "unexpected <\(tag)>"
          return
        }
      } else if !tag.hasSuffix("/") {
        open.append(name)
      }
    }
    if let last = open.last { fault = "<\(last)> is not closed" }
  }
}

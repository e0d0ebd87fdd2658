// Damaged templates must fail or render, never crash, hang or grow without bound.

import Foundation
import LoRAJSON
import LoRAText
import Testing

/// A small generator with a fixed seed (SplitMix64).
private struct FuzzRandom: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

@Suite struct ChatTemplateFuzzTests {
  static let pieces = [
    "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", "|", "~", "(", ")", "[", "]", "{", "}", "'", "\"",
    "\\", ".", ",", ":", "=", "==", " is ", " not ", " in ", " if ", " else ", " and ", "for ",
    "endfor", "endif", "set ", "macro ", "endmacro", "loop", "messages", "[::-1]", "[1:]", "**",
    "//", "%", "*", "0", "-1", "9223372036854775807", "1e308", "none", "true", "range(9)", "\n",
    " ", "é", "\u{0}", "\u{2028}", "namespace()", "|tojson", "|list", "|map('upper')", "()",
    "*args", "{% break %}", "{% continue %}", "{% raw %}", "{% endraw %}", "raise_exception('x')",
    "{% generation %}", "{% endgeneration %}", "call ", "filter ", "recursive", "loop(messages)",
  ]

  @Test func damagedTemplatesNeverCrash() throws {
    let snippets = try ChatTemplateFixture.load("snippets")
    let whole = try ChatTemplateFixture.load("templates")
    let context = try #require(snippets["context"]?.objectValue)
    var variables: [String: JSONValue] = [:]
    for (key, value) in context { variables[key] = value }
    var sources = try #require(snippets["rows"]?.arrayValue).compactMap {
      $0.objectValue?["t"]?.stringValue
    }
    sources += try #require(whole["templates"]?.objectValue).compactMap { $0.value.stringValue }
    let conversations = try #require(whole["conversations"]?.arrayValue)

    var random = FuzzRandom(state: 20_250_105)
    var rendered = 0
    var refused = 0
    let clock = ContinuousClock()
    var slowest = Duration.zero
    for round in 0..<40_000 {
      var scalars = Array(sources[Int.random(in: 0..<sources.count, using: &random)].unicodeScalars)
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        Self.damage(&scalars, sources, &random)
      }
      var view = String.UnicodeScalarView()
      view.append(contentsOf: scalars)
      let source = String(view)
      let messages = conversations[round % conversations.count].arrayValue ?? []
      let time = clock.measure {
        do {
          _ = try ChatTemplate(source).render(
            messages: messages, addGenerationPrompt: round % 2 == 0, bosToken: "<s>",
            eosToken: "</s>", variables: variables)
          rendered += 1
        } catch let error as ChatTemplateError {
          refused += 1
          if error.message.isEmpty { Issue.record("an empty message for \(source)") }
        } catch {
          Issue.record("\(error) for \(source)")
        }
      }
      slowest = max(slowest, time)
    }
    print("damaged templates: \(rendered) rendered, \(refused) refused, slowest \(slowest)")
    #expect(rendered > 1000)
    #expect(refused > 1000)
    #expect(slowest < .seconds(20))
  }

  private static func damage(
    _ scalars: inout [Unicode.Scalar], _ sources: [String], _ random: inout FuzzRandom
  ) {
    let place = Int.random(in: 0...scalars.count, using: &random)
    let end = min(scalars.count, place + Int.random(in: 0...12, using: &random))
    switch Int.random(in: 0..<6, using: &random) {
    case 0: scalars.removeSubrange(place...)
    case 1: scalars.removeSubrange(..<place)
    case 2: scalars.removeSubrange(place..<end)
    case 3: scalars.insert(contentsOf: scalars[place..<end], at: place)
    case 4:
      let other = sources[Int.random(in: 0..<sources.count, using: &random)].unicodeScalars
      scalars.insert(contentsOf: other.prefix(200), at: place)
    default:
      let piece = pieces[Int.random(in: 0..<pieces.count, using: &random)]
      scalars.replaceSubrange(place..<end, with: piece.unicodeScalars)
    }
  }
}

// What a template's author and a conversation's author are told: places, messages, limits.

import Foundation
import LoRAJSON
import LoRAText
import Testing

struct TemplateErrorCase: CustomTestStringConvertible, Sendable {
  let source: String
  let message: String
  let line: Int
  let column: Int
  init(_ source: String, _ message: String, _ line: Int, _ column: Int) {
    self.source = source
    self.message = message
    self.line = line
    self.column = column
  }
  var testDescription: String { String(source.prefix(60)) }
}

@Suite struct ChatTemplateErrorTests {
  static func render(_ source: String, _ variables: [String: JSONValue] = [:]) throws -> String {
    try ChatTemplate(source).render(
      messages: [], addGenerationPrompt: false, bosToken: nil, eosToken: nil, variables: variables)
  }

  @Test(arguments: [
    TemplateErrorCase("a\n  {{ x.y }}", "'x' is undefined", 2, 7),
    TemplateErrorCase("{{ 'a'.b.c }}", "'str object' has no attribute 'b'", 1, 9),
    TemplateErrorCase("{{ [1][5] + 1 }}", "list object has no element 5", 1, 11),
    TemplateErrorCase("\n\n{% if 1 %}", "the block 'if' has no end", 3, 4),
    TemplateErrorCase("{% nope %}", "unknown tag 'nope'", 1, 4),
    TemplateErrorCase("{% include 'x' %}", "the tag 'include' is not supported", 1, 4),
    TemplateErrorCase("é{{ 1 | nope }}", "no filter named 'nope'", 1, 9),
    TemplateErrorCase("{{ 1 | urlize }}", "the filter 'urlize' is not supported", 1, 8),
    TemplateErrorCase("{{ 1 is nope }}", "no test named 'nope'", 1, 6),
    TemplateErrorCase("{{ 'a'.casefold() }}", "the method 'casefold' of str", 1, 7),
    TemplateErrorCase("{{ [].append(1) }}", "'append' of 'list' object is unsafe", 1, 13),
    TemplateErrorCase("{{ lipsum() }}", "the global 'lipsum' is not supported", 1, 4),
    TemplateErrorCase("{{ self }}", "the global 'self' is not supported", 1, 4),
    TemplateErrorCase("{{ 1 / 0 }}", "division by zero", 1, 6),
    TemplateErrorCase("{{ 'a' + 1 }}", "'str' and 'int'", 1, 8),
    TemplateErrorCase("{{ raise_exception('no ' ~ 1) }}", "refuses this conversation: no 1", 1, 19),
    TemplateErrorCase("{{ \"a", "the string has no end", 1, 4),
    TemplateErrorCase("x {# y", "the comment has no end", 1, 3),
    TemplateErrorCase("{% raw %} y", "the raw block has no end", 1, 1),
    TemplateErrorCase("{{ (1] }}", "unexpected ']'", 1, 6),
    TemplateErrorCase("{{ 99999999999999999999 }}", "too large", 1, 4),
    TemplateErrorCase("{{ 9223372036854775807 + 1 }}", "64 bits", 1, 24),
    TemplateErrorCase("{{ '\\ud83d' }}", "a broken escape", 1, 5),
    TemplateErrorCase("{{ '\\N{DASH}' }}", "\\N escapes", 1, 5),
    TemplateErrorCase(
      "{% macro m() %}\n{{ 1.x.y }}{% endmacro %}\n{{ m() }}", "int object", 2, 7),
    TemplateErrorCase("{{ [1] is sameas 'a'[0:] or 'a' is sameas 'a' }}", "'sameas'", 1, 33),
    TemplateErrorCase("{{ '\u{661}' | int }}", "other digits", 1, 10),
  ])
  func errorsNameTheFaultAndThePlace(_ row: TemplateErrorCase) {
    let error = #expect(throws: ChatTemplateError.self) { try Self.render(row.source) }
    #expect(error?.message.contains(row.message) == true, "\(String(describing: error))")
    #expect(error?.line == row.line, "\(String(describing: error))")
    #expect(error?.column == row.column, "\(String(describing: error))")
    #expect(error?.hint.isEmpty == false)
    #expect(error?.excerpt.isEmpty == false)
  }

  @Test func theExcerptIsShortInALongLine() {
    let source =
      String(repeating: "x", count: 5000) + "{{ 1 / 0 }}" + String(repeating: "y", count: 5000)
    let error = #expect(throws: ChatTemplateError.self) { try Self.render(source) }
    #expect(error?.excerpt.contains("1 / 0") == true)
    #expect((error?.excerpt.count ?? 1000) <= 62)
  }

  @Test func inputsAreChecked() throws {
    let template = try ChatTemplate("{{ messages }}")
    let render = { (messages: [JSONValue], variables: [String: JSONValue]) in
      try template.render(
        messages: messages, addGenerationPrompt: false, bosToken: nil, eosToken: nil,
        variables: variables)
    }
    let wrongMessage = #expect(throws: ChatTemplateError.self) { try render(["hello"], [:]) }
    #expect(wrongMessage?.message.contains("a string instead of an object") == true)
    let twice = #expect(throws: ChatTemplateError.self) { try render([], ["messages": []]) }
    #expect(twice?.message.contains("given twice") == true)
    var deep: JSONValue = [:]
    for _ in 0..<300 { deep = ["content": deep] }
    let tooDeep = #expect(throws: ChatTemplateError.self) { try render([deep], [:]) }
    #expect(tooDeep?.message.contains("nested deeper") == true)
  }

  /// Each would hang, overflow the stack or fill the memory without a limit.
  static let runaways: [(name: String, source: String)] = [
    ("endless macro", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
    ("macro in an argument", "{% macro m(a) %}{{ m(m(a)) }}{% endmacro %}{{ m(1) }}"),
    ("endless recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
    ("endless caller", "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}"),
    ("default calls itself", "{% macro m(a=m()) %}{% endmacro %}{{ m() }}"),
    (
      "four loops",
      "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
        + "{% for d in range(99999) %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
    ),
    ("long string", "{{ 'x' * 1000000000000 }}"),
    ("overflowing string", "{{ 'xxxxxxxx' * 9223372036854775807 }}"),
    ("long list", "{{ [1] * 1000000000000 }}"),
    (
      "doubling string",
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
        + "{% endfor %}"
    ),
    (
      "doubling list",
      "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}"
        + "{% endfor %}"
    ),
    (
      "doubling by replace",
      "{% set ns = namespace(s='xxxxxxxxxx') %}{% for i in range(99) %}"
        + "{% set ns.s = ns.s | replace('x', 'xxxxxxxxxx') %}{% endfor %}"
    ),
    (
      "doubling by join",
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}"
        + "{% set ns.s = [ns.s, ns.s, ns.s] | join(ns.s) %}{% endfor %}"
    ),
    ("long output", "{% set s = 'x' * 1000000 %}{% for i in range(1000) %}{{ s }}{% endfor %}"),
    ("long range", "{{ range(1000000000) }}"),
    ("extreme range", "{{ range(-9223372036854775807, 9223372036854775807) | length }}"),
    ("wide format", "{{ '%1000000000d' % 1 }}"),
    ("long fraction", "{{ '{:.999999999f}'.format(1.5) }}"),
    ("wide center", "{{ 'x' | center(1000000000000) }}"),
    ("wide indent", "{{ 'x\\nx' | indent(1000000000) }}"),
    ("large batch", "{{ [1] | batch(1000000000, 'x') | list }}"),
    ("large power", "{{ 10 ** 1000000000 }}"),
    (
      "nested lists",
      "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}"
    ),
    (
      "nested dictionaries",
      "{% set ns = namespace(l={}) %}{% for i in range(99999) %}{% set ns.l = {'a': ns.l} %}"
        + "{% endfor %}"
    ),
    (
      "nested iterators",
      "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}"
        + "{% set ns.l = ns.l | map('string') %}{% endfor %}{{ ns.l | list }}"
    ),
    (
      "namespaces in a ring",
      "{% set a = namespace() %}{% set a.a = a %}{{ a }}"
    ),
    ("parentheses", String(repeating: "(", count: 100_000)),
    ("parentheses in a tag", "{{ " + String(repeating: "(", count: 100_000)),
    ("brackets", "{{ " + String(repeating: "[", count: 100_000)),
    ("signs", "{{ " + String(repeating: "-", count: 100_000) + "1 }}"),
    ("nots", "{{ " + String(repeating: "not ", count: 100_000) + "1 }}"),
    ("conditions", "{{ " + String(repeating: "1 if 1 else ", count: 100_000) + "1 }}"),
    ("chain of sums", "{{ 1" + String(repeating: " + 1", count: 100_000) + " }}"),
    ("chain of filters", "{{ 1" + String(repeating: " | abs", count: 100_000) + " }}"),
    ("chain of attributes", "{{ a" + String(repeating: ".a", count: 100_000) + " }}"),
    ("chain of calls", "{{ a" + String(repeating: "()", count: 100_000) + " }}"),
    ("tests with arguments", "{{ 1" + String(repeating: " is eq [1", count: 100_000) + " }}"),
    ("nested ifs", String(repeating: "{% if 1 %}", count: 100_000)),
    ("nested targets", "{% for " + String(repeating: "(", count: 100_000)),
  ]

  /// The small stack that pools use on some systems; unoptimised code needs more.
  #if DEBUG
    static let stackSize = 4 << 20
  #else
    static let stackSize = 512 << 10
  #endif

  @Test(.serialized, arguments: runaways.indices)
  func runawaysEnd(index: Int) async throws {
    let (name, source) = Self.runaways[index]
    let outcome: String = await withCheckedContinuation { continuation in
      let thread = Thread {
        do {
          let text = try Self.render(source)
          continuation.resume(returning: "rendered \(text.utf8.count) bytes")
        } catch {
          continuation.resume(returning: error is ChatTemplateError ? "" : "\(error)")
        }
      }
      thread.stackSize = Self.stackSize
      thread.start()
    }
    // Outside of tags brackets are only text.
    #expect(outcome == (name == "parentheses" ? "rendered 100000 bytes" : ""), "\(name)")
  }

  @Test func ordinaryDepthsAreNoProblem() throws {
    let macro = "{% macro m(n) %}{% if n > 0 %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    #expect(try Self.render(macro + "{{ m(20) }}").utf8.count == 31)
    let parentheses = String(repeating: "(", count: 20) + "1" + String(repeating: ")", count: 20)
    #expect(try Self.render("{{ " + parentheses + " }}") == "1")
    let sum = (1...150).map(String.init).joined(separator: " + ")
    #expect(try Self.render("{{ " + sum + " }}") == "11325")
    let elifs = (0..<2000).map { "{% elif n == \($0) %}\($0)" }.joined()
    #expect(try Self.render("{% if false %}\(elifs){% endif %}", ["n": 1999]) == "1999")
  }
}

// Cuts a template into words, with Jinja's rules for white space around tags
// (trim_blocks and lstrip_blocks on, as transformers configures it).

struct TemplateLexer {
  let source: TemplateSource
  let scalars: [Unicode.Scalar]
  var index = 0
  var tokens: [TemplateToken] = []
  /// Whether the text at the index starts a line: the last tag consumed a line break.
  private var startsLine = true

  init(_ source: TemplateSource) {
    self.source = source
    scalars = source.scalars
  }

  mutating func tokenize() throws -> [TemplateToken] {
    while index < scalars.count { try lexTextAndTag() }
    add(.end, at: scalars.count)
    return tokens
  }

  // MARK: Text and the borders of tags

  private mutating func lexTextAndTag() throws {
    let start = index
    while index < scalars.count, !isTagStart(index) { index += 1 }
    guard index < scalars.count else {
      add(.text(String(scalars: scalars[start...])), at: start)
      return
    }
    let tag = index
    if let afterRaw = endOfRawBegin(tag) {
      addText(start, tag, sign: sign(at: tag + 2), isVariable: false)
      setIndex(afterRaw)
      try lexRaw(from: tag)
      return
    }
    let kind = scalars[tag + 1]
    let sign = sign(at: tag + 2)
    addText(start, tag, sign: sign, isVariable: kind == "{")
    index = tag + (sign == nil ? 2 : 3)
    switch kind {
    case "#":
      try skipComment(from: tag)
    case "{":
      add(.variableBegin, at: tag)
      try lexTag(isVariable: true)
    default:
      add(.blockBegin, at: tag)
      try lexTag(isVariable: false)
    }
  }

  private func isTagStart(_ at: Int) -> Bool {
    guard scalars[at] == "{", at + 1 < scalars.count else { return false }
    let next = scalars[at + 1]
    return next == "{" || next == "%" || next == "#"
  }

  /// '-' or '+' right after the start of a tag.
  private func sign(at place: Int) -> Unicode.Scalar? {
    guard place < scalars.count, scalars[place] == "-" || scalars[place] == "+" else { return nil }
    return scalars[place]
  }

  private mutating func setIndex(_ end: Int) {
    startsLine = end > 0 && scalars[end - 1] == "\n"
    index = end
  }

  private mutating func addText(
    _ start: Int, _ end: Int, sign: Unicode.Scalar?, isVariable: Bool
  ) {
    var end = end
    if sign == "-" {
      while end > start, scalars[end - 1].isPythonSpace { end -= 1 }
    } else if sign == nil, !isVariable {
      var blank = end
      while blank > start, scalars[blank - 1] != "\n", scalars[blank - 1].isPythonSpace {
        blank -= 1
      }
      let beginsLine = blank > start ? scalars[blank - 1] == "\n" : startsLine
      if beginsLine { end = blank }
    }
    if end > start { add(.text(String(scalars: scalars[start..<end])), at: start) }
  }

  private mutating func skipComment(from tag: Int) throws {
    while index < scalars.count {
      if matches("#}", at: index) || (sign(at: index) != nil && matches("#}", at: index + 1)) {
        let sign = sign(at: index)
        setIndex(endOfBorder(index + (sign == nil ? 2 : 3), sign: sign, trims: true))
        return
      }
      index += 1
    }
    throw fault("the comment has no end", hint: "Close it with '#}'.", at: tag)
  }

  /// Where the white space that a closing border takes with it ends.
  private func endOfBorder(_ border: Int, sign: Unicode.Scalar?, trims: Bool) -> Int {
    var end = border
    if sign == "-" {
      while end < scalars.count, scalars[end].isPythonSpace { end += 1 }
    } else if sign == nil, trims, end < scalars.count, scalars[end] == "\n" {
      end += 1
    }
    return end
  }

  // MARK: Raw blocks

  private func skipSpace(_ place: Int) -> Int {
    var place = place
    while place < scalars.count, scalars[place].isPythonSpace { place += 1 }
    return place
  }

  /// The end of `{% raw %}` at a place, nil when another tag stands there.
  private func endOfRawBegin(_ tag: Int) -> Int? {
    guard scalars[tag + 1] == "%" else { return nil }
    let word = skipSpace(sign(at: tag + 2) == nil ? tag + 2 : tag + 3)
    guard matches("raw", at: word) else { return nil }
    let border = skipSpace(word + 3)
    if matches("%}", at: border) { return border + 2 }
    guard matches("-%}", at: border) else { return nil }
    return endOfBorder(border + 3, sign: "-", trims: false)
  }

  private mutating func lexRaw(from tag: Int) throws {
    let start = index
    while index < scalars.count {
      if matches("{%", at: index), let end = endOfRawEnd(index) {
        addText(start, index, sign: sign(at: index + 2), isVariable: false)
        setIndex(end)
        return
      }
      index += 1
    }
    throw fault("the raw block has no end", hint: "Close it with '{% endraw %}'.", at: tag)
  }

  private func endOfRawEnd(_ tag: Int) -> Int? {
    let word = skipSpace(sign(at: tag + 2) == nil ? tag + 2 : tag + 3)
    guard matches("endraw", at: word) else { return nil }
    let border = skipSpace(word + 6)
    let sign = sign(at: border)
    let close = border + (sign == nil ? 0 : 1)
    return matches("%}", at: close) ? endOfBorder(close + 2, sign: sign, trims: true) : nil
  }

  // MARK: Inside a tag

  private mutating func lexTag(isVariable: Bool) throws {
    var open: [Unicode.Scalar] = []
    while index < scalars.count {
      if open.isEmpty, let end = endOfTag(isVariable: isVariable) {
        add(isVariable ? .variableEnd : .blockEnd, at: index)
        setIndex(end)
        return
      }
      let scalar = scalars[index]
      if scalar.isPythonSpace {
        index += 1
      } else if scalar.isASCIIDigit {
        try lexNumber()
      } else if scalar == "_" || scalar.isASCIILetter {
        lexName()
      } else if scalar == "'" || scalar == "\"" {
        try lexString()
      } else {
        try lexSymbol(&open)
      }
    }
  }

  private func endOfTag(isVariable: Bool) -> Int? {
    let close = isVariable ? "}}" : "%}"
    let sign = sign(at: index)
    if sign == "+", isVariable { return nil }
    let border = index + (sign == nil ? 0 : 1)
    guard matches(close, at: border) else { return nil }
    return endOfBorder(border + 2, sign: sign, trims: !isVariable)
  }

  private mutating func lexName() {
    let start = index
    while index < scalars.count,
      scalars[index] == "_" || scalars[index].isASCIILetter || scalars[index].isASCIIDigit
    {
      index += 1
    }
    add(.name(String(scalars: scalars[start..<index])), at: start)
  }

  private mutating func lexSymbol(_ open: inout [Unicode.Scalar]) throws {
    let start = index
    let scalar = scalars[start]
    let two = start + 1 < scalars.count ? String(scalars: scalars[start...start + 1]) : ""
    guard
      let symbol = TemplateToken.Symbol(rawValue: two)
        ?? TemplateToken.Symbol(rawValue: String(scalar))
    else {
      throw fault(
        "unexpected character '\(scalar)' in a tag",
        hint: scalar.isASCII
          ? "Check the quotes and operators before it." : "Names are ASCII letters and digits.",
        at: start)
    }
    switch scalar {
    case "(": open.append(")")
    case "[": open.append("]")
    case "{": open.append("}")
    case ")", "]", "}":
      guard open.popLast() == scalar else {
        throw fault("unexpected '\(scalar)'", hint: "Check that brackets come in pairs.", at: start)
      }
    default: break
    }
    index += symbol.rawValue.utf8.count
    add(.symbol(symbol), at: start)
  }

  // MARK: Help

  mutating func add(_ kind: TemplateToken.Kind, at place: Int) {
    tokens.append(TemplateToken(kind: kind, position: source.position(at: place)))
  }

  func matches(_ text: String, at place: Int) -> Bool {
    var place = place
    for scalar in text.unicodeScalars {
      guard place < scalars.count, scalars[place] == scalar else { return false }
      place += 1
    }
    return true
  }

  func fault(_ message: String, hint: String, at place: Int) -> TemplateFault {
    TemplateFault(message, hint: hint, at: source.position(at: place))
  }
}

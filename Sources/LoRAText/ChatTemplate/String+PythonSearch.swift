// Python's methods of strings that search, cut and join, by scalars instead of graphemes.

extension String {
  /// The number of scalars: Python's `len`.
  var pythonCount: Int { unicodeScalars.count }

  // MARK: Searching

  /// The places (in bytes) of a non-empty part without overlaps, in the order of the text.
  private func places(of part: String, limit: Int = .max, fromRight: Bool = false) -> [Int] {
    if limit <= 0 { return [] }
    let pattern = Array(part.utf8)
    if !fromRight { return BytePattern(pattern).places(in: Array(utf8), limit: limit) }
    let mirrored = BytePattern(pattern.reversed()).places(in: utf8.reversed(), limit: limit)
    return mirrored.reversed().map { utf8.count - $0 - pattern.count }
  }

  func pythonContains(_ part: String) -> Bool {
    part.isEmpty || !places(of: part, limit: 1).isEmpty
  }

  func pythonHasPrefix(_ part: String) -> Bool { utf8.starts(with: part.utf8) }

  func pythonHasSuffix(_ part: String) -> Bool {
    utf8.count >= part.utf8.count && utf8.suffix(part.utf8.count).elementsEqual(part.utf8)
  }

  /// How often a part occurs without overlaps; the empty part stands around every scalar.
  func pythonOccurrences(of part: String) -> Int {
    part.isEmpty ? pythonCount + 1 : places(of: part).count
  }

  /// The place of the first or last occurrence in scalars.
  func pythonPlace(of part: String, last: Bool) -> Int? {
    if part.isEmpty { return last ? pythonCount : 0 }
    let place = places(of: part, limit: 1, fromRight: last).first
    return place.map { String(Substring(utf8.prefix($0))).pythonCount }
  }

  /// Replaces up to `limit` occurrences from the left; an empty part stands around every scalar.
  func pythonReplacing(_ old: String, with new: String, limit: Int = .max) throws -> String {
    if old.isEmpty { return try pythonInterspersed(with: new, limit: limit) }
    let places = places(of: old, limit: limit)
    if places.isEmpty { return self }
    let growth = max(0, new.utf8.count - old.utf8.count)
    try TemplateLimits.check(utf8.count, plus: places.count, times: growth)
    var result: [UInt8] = []
    let bytes = Array(utf8)
    var start = 0
    for place in places {
      result += bytes[start..<place]
      result += new.utf8
      start = place + old.utf8.count
    }
    result += bytes[start...]
    return String(decoding: result, as: UTF8.self)
  }

  private func pythonInterspersed(with new: String, limit: Int) throws -> String {
    try TemplateLimits.check(utf8.count, plus: min(pythonCount + 1, limit), times: new.utf8.count)
    var result = ""
    var left = limit
    for scalar in unicodeScalars {
      if left > 0 { result += new }
      left -= 1
      result.unicodeScalars.append(scalar)
    }
    if left > 0 { result += new }
    return result
  }

  // MARK: Stripping

  /// Strips white space, or any of the given scalars, from the ends.
  func pythonStripped(
    _ characters: String? = nil, left: Bool = true, right: Bool = true
  ) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    let isStripped = { (scalar: Unicode.Scalar) in set?.contains(scalar) ?? scalar.isPythonSpace }
    var view = Substring(self).unicodeScalars
    if left { view = view.drop(while: isStripped) }
    if right { while let last = view.last, isStripped(last) { view.removeLast() } }
    return String(view)
  }

  // MARK: Splitting

  /// Splits at a separator, from the left or the right, at most `limit` times.
  func pythonSplit(_ separator: String, limit: Int, fromRight: Bool = false) -> [String] {
    let bytes = Array(utf8)
    let cuts = places(of: separator, limit: limit, fromRight: fromRight)
    var parts: [String] = []
    var start = 0
    for cut in cuts {
      parts.append(String(decoding: bytes[start..<cut], as: UTF8.self))
      start = cut + separator.utf8.count
    }
    parts.append(String(decoding: bytes[start...], as: UTF8.self))
    return parts
  }

  /// Splits at runs of white space, at most `limit` times; the rest keeps its inner space.
  func pythonSplitAtSpace(limit: Int, fromRight: Bool = false) -> [String] {
    var parts: [String] = []
    var rest = Substring(self).unicodeScalars
    while true {
      if fromRight {
        while let last = rest.last, last.isPythonSpace { rest.removeLast() }
      } else {
        rest = rest.drop(while: \.isPythonSpace)
      }
      if rest.isEmpty { break }
      if parts.count == limit {
        parts.append(String(rest))
        break
      }
      if fromRight {
        let start = rest.lastIndex(where: \.isPythonSpace).map(rest.index(after:))
        let word = rest[(start ?? rest.startIndex)...]
        parts.append(String(word))
        rest = rest[..<word.startIndex]
      } else {
        let word = rest.prefix { !$0.isPythonSpace }
        parts.append(String(word))
        rest = rest[word.endIndex...]
      }
    }
    return fromRight ? parts.reversed() : parts
  }

  /// The lines, with or without their ends; text after the last end counts as a line.
  func pythonLines(keepEnds: Bool = false) -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var scalars = unicodeScalars.makeIterator()
    var pending = scalars.next()
    while let scalar = pending {
      pending = scalars.next()
      guard scalar.isPythonLineEnd else {
        line.append(scalar)
        continue
      }
      if keepEnds { line.append(scalar) }
      if scalar == "\r", pending == "\n" {
        if keepEnds { line.append("\n") }
        pending = scalars.next()
      }
      lines.append(String(line))
      line = .init()
    }
    if !line.isEmpty { lines.append(String(line)) }
    return lines
  }
}

extension Unicode.Scalar {
  fileprivate var isPythonLineEnd: Bool {
    switch value {
    case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }
}

/// Bytes to search for in linear time, whatever the text (Knuth, Morris and Pratt).
private struct BytePattern {
  private let bytes: [UInt8]
  /// How many bytes still match when the byte after this many does not.
  private let fallback: [Int]

  init(_ bytes: [UInt8]) {
    var fallback = [0, 0]
    var matched = 0
    for place in bytes.indices.dropFirst() {
      while matched > 0, bytes[place] != bytes[matched] { matched = fallback[matched] }
      if bytes[place] == bytes[matched] { matched += 1 }
      fallback.append(matched)
    }
    self.bytes = bytes
    self.fallback = fallback
  }

  func places(in text: [UInt8], limit: Int) -> [Int] {
    var found: [Int] = []
    var matched = 0
    for (place, byte) in text.enumerated() {
      while matched > 0, byte != bytes[matched] { matched = fallback[matched] }
      if byte == bytes[matched] { matched += 1 }
      guard matched == bytes.count else { continue }
      found.append(place + 1 - matched)
      if found.count == limit { break }
      matched = 0
    }
    return found
  }
}

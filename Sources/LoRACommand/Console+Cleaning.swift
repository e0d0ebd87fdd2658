// What control characters of data become before a terminal gets them: visible, and without effect.

extension String {
  /// The text with every character that would steer a terminal shown by its number, as `\u001B`:
  /// C0 but for the line break and the tab, DEL, C1, and what overrides the direction of writing.
  var visible: String {
    guard unicodeScalars.contains(where: \.steersTerminals) else { return self }
    var result = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      guard scalar.steersTerminals else {
        result.append(scalar)
        continue
      }
      let hex = String(scalar.value, radix: 16, uppercase: true)
      let digits = String(repeating: "0", count: max(0, 4 - hex.count)) + hex
      result.append(contentsOf: ("\\u" + digits).unicodeScalars)
    }
    return String(result)
  }
}

extension Unicode.Scalar {
  fileprivate var steersTerminals: Bool {
    switch value {
    case 0x09, 0x0A: false
    case 0x00...0x1F, 0x7F...0x9F: true
    // Embeddings, overrides and isolates (Unicode TR 36; CVE-2021-42574).
    case 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}

// For messages about keys and names: the one that was probably meant, and texts kept short.

extension String {
  /// The number of bytes to insert, delete or replace to get from this name to the other.
  func editDistance(to other: String) -> Int {
    let target = Array(other.utf8)
    var row = Array(0...target.count)
    for (i, byte) in utf8.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, candidate) in target.enumerated() {
        let replaced = diagonal + (byte == candidate ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = Swift.min(replaced, row[j] + 1, diagonal + 1)
      }
    }
    return row[target.count]
  }

  /// The closest of the candidates, the first of equals; nil where none is close.
  package func nearest(in candidates: some Sequence<String>) -> String? {
    // A name out of a file can be of any length: no table of that size for a hint.
    guard (1...256).contains(utf8.count) else { return nil }
    // Two letters changed places are two changes, also in a short name.
    let limit = max(utf8.count < 4 ? 1 : 2, utf8.count / 3)
    var best: (name: String, distance: Int)?
    for candidate in candidates where abs(candidate.utf8.count - utf8.count) <= limit {
      let distance = editDistance(to: candidate)
      if distance <= limit, distance < best?.distance ?? .max {
        best = (candidate, distance)
      }
    }
    return best?.name
  }

  /// The text, cut where it is too long for a message.
  package var shortened: String { utf8.count <= 160 ? self : prefix(120) + "…" }
}

extension [String] {
  /// "a, b, c and 4 more"
  package func listed(atMost limit: Int = 3) -> String {
    let rest = count - limit
    return prefix(limit).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
  }
}

// Numbers of bytes as people write them: 600MB, 2GiB, 1.5g.

import ArgumentParser

/// A number of bytes with its unit.
struct ByteSize: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int
  let description: String

  init(_ bytes: Int) {
    self.bytes = bytes
    description = bytes % 1_000_000_000 == 0 ? "\(bytes / 1_000_000_000)GB" : "\(bytes)B"
  }

  /// Units in any case, with or without the B; a number without one is refused: whoever writes 600
  /// hardly means bytes.
  init?(argument: String) {
    let units: [(String, Int)] = [
      ("KIB", 1 << 10), ("MIB", 1 << 20), ("GIB", 1 << 30), ("TIB", 1 << 40), ("KB", 1000),
      ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("K", 1000),
      ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000), ("B", 1),
    ]
    let text = argument.uppercased()
    guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }),
      let number = Double(text.dropLast(unit.count).filter { $0 != " " }), number > 0,
      number * Double(factor) >= 1, number * Double(factor) < 9e18
    else { return nil }
    bytes = Int(number * Double(factor))
    description = argument
  }

  /// What the parser says such a value is.
  static var allValueStrings: [String] { ["600MB", "1.5GB", "2GiB"] }

  var defaultValueDescription: String { description }
}

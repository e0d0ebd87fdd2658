// What people see: numbers in words, warnings, and a progress line that redraws itself.

import Foundation

/// Text for people.
enum Console {
  /// Whether a person looks at the error stream: then progress redraws one line.
  static let isTerminal = isatty(2) != 0

  /// Whether standard output shows colours: a terminal whose user has not said no (no-color.org).
  static let isColoured =
    isatty(1) != 0 && (ProcessInfo.processInfo.environment["NO_COLOR"] ?? "").isEmpty

  /// The width of the terminal of a stream in characters.
  static func width(of stream: Int32) -> Int {
    var size = winsize()
    return ioctl(stream, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  /// Writes a line to standard output.
  static func say(_ text: String) { put(text + "\n") }

  /// Writes to standard output; a terminal gets no control characters of data.
  static func put(_ text: String) { putStyled(isatty(1) != 0 ? text.visible : text) }

  /// Writes a line whose data is clean and whose control characters are ours: colours.
  static func sayStyled(_ text: String) { putStyled(text + "\n") }

  static func warn(_ text: String) { complain("warning: \(text)\n") }

  /// Writes to the error stream, where no data's control characters belong: a log is looked at on a
  /// terminal sooner or later. Where it cannot be written there is nobody to tell.
  static func error(_ text: String) { _ = write(text.visible, to: 2) }

  /// Draws the last line of the terminal anew.
  static func redraw(_ text: String) { _ = write("\r\u{1B}[K" + text.visible, to: 2) }

  /// 38,212
  static func count(_ value: Int) -> String {
    var digits = String(value.magnitude)
    var parts: [String] = []
    while digits.count > 3 {
      parts.insert(String(digits.suffix(3)), at: 0)
      digits.removeLast(3)
    }
    return (value < 0 ? "-" : "") + ([digits] + parts).joined(separator: ",")
  }

  /// 38,212 rows, 1 row
  static func count(_ value: Int, _ unit: String) -> String {
    "\(count(value)) \(unit)\(value == 1 ? "" : "s")"
  }

  /// 4.88 M, 512 k, 98
  static func short(_ value: Int) -> String {
    switch value {
    case 10_000_000_000...: fixed(Double(value) / 1e9, 1) + " B"
    case 1_000_000...: fixed(Double(value) / 1e6, value < 10_000_000 ? 2 : 1) + " M"
    case 10_000...: fixed(Double(value) / 1e3, 0) + " k"
    default: count(value)
    }
  }

  static func fixed(_ value: Double, _ digits: Int) -> String {
    String(format: "%.\(digits)f", value)
  }

  /// 02:10 or 1:05:00
  static func time(_ seconds: Double) -> String {
    guard seconds.isFinite else { return "?" }
    let whole = Int(min(max(seconds, 0), 1e9).rounded())
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
    return hours > 0
      ? String(format: "%d:%02d:%02d", hours, minutes, rest)
      : String(format: "%02d:%02d", minutes, rest)
  }

  /// [########------------]
  static func bar(_ share: Double, width: Int = 24) -> String {
    let full = Int((min(max(share, 0), 1) * Double(width)).rounded(.down))
    return "[" + String(repeating: "#", count: full)
      + String(repeating: "-", count: width - full) + "]"
  }
}

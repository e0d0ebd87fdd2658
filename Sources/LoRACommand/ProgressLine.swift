// The progress of long work: a line that redraws itself on a terminal, else one line now and then.

import Foundation

/// Shows how far a long piece of work is.
struct ProgressLine {
  private let total: Int
  /// What was done before this process began, in a run that is resumed.
  private let first: Int
  private let start = ContinuousClock.now
  private var lastShown = ContinuousClock.now
  /// How long a log that is not a terminal stays silent.
  private let quietSeconds: Double

  init(total: Int, from first: Int = 0, quietSeconds: Double = 10) {
    self.total = total
    self.first = first
    self.quietSeconds = quietSeconds
  }

  private var elapsed: Double { start.duration(to: .now).inSeconds }

  /// Shows how far the work is.
  mutating func show(_ done: Int, _ text: String) {
    let now = done - first
    let remaining = now > 0 ? elapsed / Double(now) * Double(total - done) : .infinity
    if Console.isTerminal {
      if done == total { return clear() }
      draw("\(done)/\(total)  \(text)", done, "ETA \(Console.time(remaining))")
    } else if lastShown.duration(to: .now).inSeconds >= quietSeconds {
      Console.error("\(done)/\(total)  \(text)  ETA \(Console.time(remaining))\n")
      lastShown = .now
    }
  }

  /// Says on the line what is going on beside the work, until it is drawn again.
  func note(_ done: Int, _ text: String) {
    if Console.isTerminal { draw("\(done)/\(total)  \(text)", done, "") }
  }

  /// A line that is wider than the terminal would be broken, and drawn again below itself: what is
  /// least important goes.
  private func draw(_ text: String, _ done: Int, _ end: String) {
    let width = Console.width - 1
    let tail = end.isEmpty ? "" : "  " + end
    let barWidth = min(24, width - text.count - tail.count - 3)
    let bar =
      barWidth >= 6
      ? Console.bar(total > 0 ? Double(done) / Double(total) : 1, width: barWidth) + " " : ""
    let room = max(width - bar.count - tail.count, 0)
    Console.error("\r\u{1B}[K" + bar + text.prefix(room) + tail.prefix(width))
  }

  /// Takes the line away.
  func clear() { if Console.isTerminal { Console.error("\r\u{1B}[K") } }
}

extension Duration {
  var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

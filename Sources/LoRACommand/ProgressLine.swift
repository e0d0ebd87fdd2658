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
  ///
  /// - Parameter figures: the most important first: a narrow terminal has no room for the last.
  mutating func show(_ done: Int, _ figures: String...) {
    let now = done - first
    let remaining = now > 0 ? elapsed / Double(now) * Double(total - done) : .infinity
    if Console.isTerminal {
      if done == total { return clear() }
      draw(done, figures, "ETA \(Console.time(remaining))")
    } else if lastShown.duration(to: .now).inSeconds >= quietSeconds {
      let all = ["\(done)/\(total)"] + figures + ["ETA \(Console.time(remaining))"]
      Console.error(all.joined(separator: "  ") + "\n")
      lastShown = .now
    }
  }

  /// Says on the line what is going on beside the work, until it is drawn again.
  func note(_ done: Int, _ text: String) {
    if Console.isTerminal { draw(done, [text], nil) }
  }

  /// A line that is wider than the terminal would be broken, and drawn again below itself: what is
  /// least important goes, the bar first, then a figure after the other.
  private func draw(_ done: Int, _ figures: [String], _ end: String?) {
    let width = Console.width(of: 2) - 1
    func line(_ count: Int, _ gap: String) -> String {
      (["\(done)/\(total)"] + figures.prefix(count) + (end.map { [$0] } ?? []))
        .joined(separator: gap)
    }
    let lines = (0...figures.count).reversed().flatMap { [line($0, "  "), line($0, " ")] }
    let text = lines.first { $0.count <= width } ?? String(line(0, " ").prefix(max(width, 0)))
    let barWidth = min(24, width - text.count - 3)
    let bar =
      barWidth >= 6
      ? Console.bar(total > 0 ? Double(done) / Double(total) : 1, width: barWidth) + " " : ""
    Console.redraw(bar + text)
  }

  /// Takes the line away.
  func clear() { if Console.isTerminal { Console.redraw("") } }
}

extension Duration {
  var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

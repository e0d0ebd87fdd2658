// A line chart as SVG: no script, no network, colours that follow the reader's light or dark page.

import Foundation

/// Points of one line; x are steps.
package struct ChartSeries {
  package let name: String
  package let points: [(x: Double, y: Double)]

  package init(name: String, points: [(x: Double, y: Double)]) {
    self.name = name
    self.points = points.filter { $0.x.isFinite && $0.y.isFinite }
  }
}

/// A chart of up to three lines over the steps of a run.
package struct LineChart {
  let title: String
  let series: [ChartSeries]
  /// What the axis of values spans at least.
  let range: ClosedRange<Double>?

  private let width = 440.0
  private let height = 220.0
  private let left = 54.0
  private let bottom = 30.0
  private let top = 12.0
  private let right = 12.0

  package init(title: String, series: [ChartSeries], range: ClosedRange<Double>? = nil) {
    self.title = title
    self.range = range
    self.series = series.filter { !$0.points.isEmpty }
  }

  /// The chart as an SVG element; empty where there is nothing to draw.
  package var svg: String {
    let all = series.flatMap(\.points)
    guard let first = all.first else { return "" }
    var (lowX, highX) = (first.x, first.x)
    var (lowY, highY) = (first.y, first.y)
    for point in all {
      (lowX, highX) = (min(lowX, point.x), max(highX, point.x))
      (lowY, highY) = (min(lowY, point.y), max(highY, point.y))
    }
    if let range { (lowY, highY) = (min(lowY, range.lowerBound), max(highY, range.upperBound)) }
    // A little air, and a height even where every value is the same.
    let slack = highY > lowY ? (highY - lowY) * 0.06 : highY == 0 ? 1 : abs(highY) * 0.1
    (lowY, highY) = (lowY >= 0 ? max(0, lowY - slack) : lowY - slack, highY + slack)
    if highX == lowX { highX = lowX + 1 }
    func x(_ value: Double) -> Double {
      left + (value - lowX) / (highX - lowX) * (width - left - right)
    }
    func y(_ value: Double) -> Double {
      height - bottom - (value - lowY) / (highY - lowY) * (height - bottom - top)
    }
    var parts: [String] = []
    for tick in Self.ticks(lowY, highY) {
      let place = Self.short(y(tick))
      parts.append(
        "<line class=\"grid\" x1=\"\(Self.short(left))\" x2=\"\(Self.short(width - right))\" "
          + "y1=\"\(place)\" y2=\"\(place)\"/>"
          + "<text class=\"tick\" x=\"\(Self.short(left - 6))\" y=\"\(Self.short(y(tick) + 4))\" "
          + "text-anchor=\"end\">\(Self.label(tick))</text>")
    }
    for tick in Self.ticks(lowX, highX) where tick == tick.rounded() {
      // The last one may stand at the edge, where half of it would be cut off.
      let anchor = x(tick) > width - 24 ? "end" : "middle"
      parts.append(
        "<text class=\"tick\" x=\"\(Self.short(x(tick)))\" y=\"\(Self.short(height - 10))\" "
          + "text-anchor=\"\(anchor)\">\(Self.label(tick))</text>")
    }
    parts.append(
      "<text class=\"tick\" x=\"0\" y=\"\(Self.short(height - 10))\">step</text>")
    for (index, line) in series.enumerated() {
      let points = line.points.map { "\(Self.short(x($0.x))),\(Self.short(y($0.y)))" }
      parts.append(
        "<polyline class=\"line l\(index)\" points=\"\(points.joined(separator: " "))\"/>")
      if line.points.count <= 40 {
        for point in line.points {
          parts.append(
            "<circle class=\"dot l\(index)\" cx=\"\(Self.short(x(point.x)))\" "
              + "cy=\"\(Self.short(y(point.y)))\" r=\"2.5\"><title>step \(Self.label(point.x)): "
              + "\(Self.label(point.y))</title></circle>")
        }
      }
    }
    // Beside the title, not in the chart, where a line might run through it.
    let legend = series.enumerated().map { index, line in
      " <span class=\"legend l\(index)\">\(line.name.escapedForHTML)</span>"
    }
    return "<figure><figcaption>\(title.escapedForHTML)"
      + "\(series.map(\.name) == [title] ? "" : legend.joined())</figcaption>"
      + "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" "
      + "aria-label=\"\(title.escapedForHTML)\">\(parts.joined())</svg></figure>"
  }

  /// Round values inside a range, about five of them.
  static func ticks(_ low: Double, _ high: Double) -> [Double] {
    let rough = (high - low) / 5
    guard rough > 0, rough.isFinite else { return [low] }
    let power = pow(10, floor(log10(rough)))
    let step = [1.0, 2, 2.5, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
    return stride(from: (low / step).rounded(.up) * step, through: high, by: step).map {
      // -0 and 0.30000000000000004 are no labels.
      ($0 / step).rounded() * step + 0
    }
  }

  static func label(_ value: Double) -> String {
    if value == 0 { return "0" }
    let size = abs(value)
    guard size >= 1e6 || size < 1e-2 else { return String(format: "%.5g", value) }
    // 8e-4, not 0.0008 or 8e-04: the label has little room on a phone.
    let parts = String(format: "%.2e", value).split(separator: "e")
    guard parts.count == 2, let mantissa = Double(parts[0]), let exponent = Int(parts[1]) else {
      return String(format: "%.3g", value)
    }
    return String(format: "%.3g", mantissa) + "e\(exponent)"
  }

  private static func short(_ value: Double) -> String { String(format: "%.1f", value) }
}

extension String {
  /// The text with the five characters that mean something in HTML written out.
  package var escapedForHTML: String {
    var result = ""
    for character in self {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.append(character)
      }
    }
    return result
  }
}

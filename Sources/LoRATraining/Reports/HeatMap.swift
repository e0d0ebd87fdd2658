// A table of numbers as SVG, darker where they are larger: one file that needs nothing else, in the
// reader's light or dark colours.

import Foundation

/// Numbers by row and column, like norms by layer and module.
package struct HeatMap {
  /// One number of the table.
  package struct Cell {
    let value: Double
    /// What a reader sees who points at it.
    let note: String

    package init(_ value: Double, note: String) {
      self.value = value
      self.note = note
    }
  }

  private let title: String
  private let subtitle: String
  private let columns: [String]
  private let rows: [(name: String, cells: [Cell?])]
  private let below: [(name: String, cell: Cell)]

  private let right = 12.0
  private let top = 78.0
  private let cellWidth = 50.0
  private let cellHeight = 22.0
  private let legendHeight = 58.0

  /// - Parameters:
  ///   - rows: each with a cell per column; nil where there is none.
  ///   - below: cells as wide as the table, under it.
  package init(
    title: String, subtitle: String, columns: [String], rows: [(name: String, cells: [Cell?])],
    below: [(name: String, cell: Cell)] = []
  ) {
    self.title = title
    self.subtitle = subtitle
    self.columns = columns
    self.rows = rows
    self.below = below
  }

  private var largest: Double {
    (rows.flatMap { $0.cells.compactMap { $0?.value } } + below.map(\.cell.value)).max() ?? 0
  }

  /// Room for the longest name.
  private var left: Double {
    Double((rows.map(\.name) + below.map(\.name)).map(\.count).max() ?? 0) * 7.4 + 16
  }

  private var tableWidth: Double { cellWidth * Double(max(columns.count, 3)) }

  private var width: Double { max(left + tableWidth + right, 360) }

  /// The file.
  package var svg: String {
    var parts: [String] = []
    for (index, name) in columns.enumerated() {
      parts.append(
        text(name, "label", x: left + (Double(index) + 0.5) * cellWidth, y: top - 8, "middle"))
    }
    var y = top
    for (name, cells) in rows {
      parts.append(text(name, "label", x: left - 8, y: y + cellHeight * 0.68, "end"))
      for (index, cell) in cells.enumerated() {
        let x = left + Double(index) * cellWidth
        if let cell {
          parts.append(draw(cell, x: x, y: y, width: cellWidth))
        } else {
          parts.append(rectangle("none", x: x, y: y, width: cellWidth))
        }
      }
      y += cellHeight
    }
    if !below.isEmpty { y += 8 }
    for (name, cell) in below {
      parts.append(text(name, "label", x: left - 8, y: y + cellHeight * 0.68, "end"))
      parts.append(draw(cell, x: left, y: y, width: tableWidth))
      y += cellHeight
    }
    parts.append(legend(y: y + 22))
    let height = y + legendHeight
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(width)) \(Int(height))" role="img" \
      aria-label="\(title.escapedForHTML)" style="width:100%;max-width:\(Int(width * 1.25))px;\
      height:auto;display:block;margin:0 auto">
      <style>\(Self.style)</style>
      <rect class="back" width="100%" height="100%"/>
      \(text(title, "title", x: 12, y: 26, "start"))
      \(text(subtitle, "label", x: 12, y: 46, "start"))
      \(parts.joined(separator: "\n"))
      </svg>

      """
  }

  private func draw(_ cell: Cell, x: Double, y: Double, width: Double) -> String {
    let share = largest > 0 ? cell.value / largest : 0
    let opacity = cell.value > 0 ? 0.04 + 0.96 * share : 0
    // On cells of middle darkness, a light page wants dark digits and a dark page too.
    let name = opacity > 0.72 ? "on" : opacity > 0.58 ? "middle" : "off"
    return "<g><title>\(cell.note.escapedForHTML)</title>"
      + rectangle("none", x: x, y: y, width: width)
      + rectangle("cell", x: x, y: y, width: width, opacity: opacity)
      + text(
        Self.short(cell.value), cell.value > 0 ? name : "dead", x: x + width / 2,
        y: y + cellHeight * 0.68, "middle") + "</g>"
  }

  private func legend(y: Double) -> String {
    let steps = 20
    let width = 160.0 / Double(steps)
    let bar = (0..<steps).map { step in
      rectangle(
        "cell", x: left + Double(step) * width, y: y, width: width, height: 10,
        opacity: 0.04 + 0.96 * (Double(step) + 0.5) / Double(steps))
    }
    return bar.joined() + text("0", "label", x: left - 8, y: y + 10, "end")
      + text(Self.short(largest), "label", x: left + 170, y: y + 10, "start")
  }

  private func rectangle(
    _ name: String, x: Double, y: Double, width: Double, height: Double? = nil,
    opacity: Double? = nil
  ) -> String {
    let fill = opacity.map { " fill-opacity=\"\(Self.place($0, digits: 3))\"" } ?? ""
    let gap = height == nil ? 1.0 : 0
    return "<rect class=\"\(name)\" x=\"\(Self.place(x + gap))\" y=\"\(Self.place(y + gap))\" "
      + "width=\"\(Self.place(width - 2 * gap))\" "
      + "height=\"\(Self.place((height ?? cellHeight) - 2 * gap))\"\(fill)/>"
  }

  private func text(
    _ content: String, _ name: String, x: Double, y: Double, _ anchor: String
  ) -> String {
    "<text class=\"\(name)\" x=\"\(Self.place(x))\" y=\"\(Self.place(y))\" "
      + "text-anchor=\"\(anchor)\">\(content.escapedForHTML)</text>"
  }

  private static func place(_ value: Double, digits: Int = 1) -> String {
    String(format: "%.\(digits)f", value)
  }

  /// Three digits, as many as fit a cell.
  static func short(_ value: Double) -> String {
    value == 0 ? "0" : String(format: "%.3g", value)
  }

  private static let style = """
    svg{color-scheme:light dark;--ink:#1d2330;--soft:#5b6575;--line:#d8dde6;--back:#fff;--hot:#1a56b0;\
    --on:#fff;--middle:#1d2330;font-family:system-ui,sans-serif}
    @media(prefers-color-scheme:dark){svg{--ink:#e6e9ef;--soft:#a3adbd;--line:#384152;--back:#12161d;\
    --hot:#7cb8ff;--on:#0b0f14;--middle:#0b0f14}}
    .back{fill:var(--back)}.title{fill:var(--ink);font-size:17px;font-weight:600}
    .label{fill:var(--soft);font-size:13px}.cell{fill:var(--hot);shape-rendering:crispEdges}
    .none{fill:none;stroke:var(--line);stroke-width:.75}
    .on,.middle,.off,.dead{font-size:12px;font-variant-numeric:tabular-nums}
    .on{fill:var(--on)}.middle{fill:var(--middle)}.off{fill:var(--ink)}.dead{fill:var(--soft)}
    """
}

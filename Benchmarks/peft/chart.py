"""The comparison as an SVG by hand: how many times as fast, and the memory of both; follows light and dark pages."""

from html import escape

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.quiet { fill: #57606a; font-size: 11px } .head { font-weight: 600 }
.ours { fill: #0969da } .peer { fill: #8c959f } .line { stroke: #57606a; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
 text { fill: #e6edf3 } .quiet { fill: #9198a1 }
 .ours { fill: #4493f8 } .peer { fill: #6e7681 } .line { stroke: #9198a1 }
}
"""
WIDTH, LABEL, SPEED, MEMORY, STEP, TOP = 960, 330, 270, 190, 46, 52


def bar(x, y, width, height, kind):
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" rx="2"/>'


def text(x, y, content, kind=""):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'


def svg(rows, machine):
    rows = [row for row in rows if row.best]
    fastest = max([row.times(row.best) for row in rows], default=1)
    largest = max([max(row.ours.peak_gb, row.best.peak_gb) for row in rows if row.measure.memory], default=1)
    left, right = LABEL, LABEL + SPEED + 70
    height = TOP + STEP * len(rows) + 40
    parts = [
        text(left, 20, "times as fast as the best peer", "head"), text(right, 20, "peak memory, GB", "head"),
        bar(right, 29, 10, 10, "ours"), text(right + 15, 38, "swift-lora", "quiet"),
        bar(right + 85, 29, 10, 10, "peer"), text(right + 100, 38, "best peer", "quiet"),
    ]
    equal = left + SPEED / fastest
    parts.append(f'<line class="line" x1="{equal:.1f}" x2="{equal:.1f}" y1="{TOP - 6}" y2="{height - 44}"/>')
    parts.append(text(equal - 8, TOP - 10, "1 ×", "quiet"))
    for place, row in enumerate(rows):
        y = TOP + place * STEP
        ratio = row.times(row.best)
        parts += [
            text(8, y + 15, row.measure.title), text(8, y + 30, f"peer: {row.best.name}", "quiet"),
            bar(left, y + 4, SPEED * ratio / fastest, 24, "ours"),
            text(left + SPEED * ratio / fastest + 6, y + 21, f"{ratio:.1f} ×"),
        ]
        for offset, side, kind in ((4, row.ours, "ours"), (18, row.best, "peer")) if row.measure.memory else ():
            length = MEMORY * side.peak_gb / largest
            parts.append(bar(right, y + offset, length, 11, kind))
            parts.append(text(right + length + 5, y + offset + 10, f"{side.peak_gb:.2f}", "quiet"))
    hardware, _, software = machine.partition("; ")
    parts += [text(8, height - 24, hardware, "quiet"), text(8, height - 8, software, "quiet")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="speed and memory of swift-lora and its peers"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )

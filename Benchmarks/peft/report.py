"""From runs to medians, the Markdown table, and the plot."""

import statistics
from dataclasses import dataclass

import chart
import machine
from cases import OURS

LABELS = {"autocast": "bfloat16 autocast", "bf16": "bfloat16 weights"}
LOSS_TOLERANCE = {"float32": 2e-3, "bfloat16": 0.05}


def median(values):
    return statistics.median(values)


def number(value, unit):
    if unit == "ms":
        return f"{value * 1e3:.1f}"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


@dataclass
class Side:
    """One program with one setting: medians over the rounds."""

    program: str
    setting: str
    is_default: bool
    value: float
    low: float
    high: float
    peak_gb: float
    failed: str | None = None

    @property
    def name(self):
        return f"{self.program} {LABELS.get(self.setting, self.setting)}".strip()


@dataclass
class Row:
    measure: object
    ours: Side
    sides: list  # all of ours and theirs
    best: Side | None
    default: Side | None

    def times(self, other):
        """How many times better ours is than `other`."""
        if not other:
            return None
        ratio = self.ours.value / other.value
        return ratio if self.measure.more_is_better else 1 / ratio


def side(measure, runs):
    first, good = runs[0], [run for run in runs if "failed" not in run]
    if not good:
        nan = float("nan")
        return Side(first["program"], first["setting"], first["default"], nan, nan, nan, nan, first["failed"])
    values = [run[measure.key] for run in good]
    return Side(
        first["program"], first["setting"], first["default"], median(values), min(values), max(values),
        median([run["peak_mb"] for run in good]) / 1000)


def rows(cases, results):
    for case in cases:
        for measure in case.measures:
            sides = []
            for run in case.runs:
                found = [r for r in results["runs"] if (r["case"], r["name"]) == (case.name, run.name)]
                if found and measure.setting in (None, run.setting):
                    sides.append(side(measure, found))
            ours = next((s for s in sides if s.program == OURS and not s.failed), None)
            theirs = [s for s in sides if s.program != OURS and not s.failed]
            if not ours:
                continue
            choose = max if measure.more_is_better else min
            best = choose(theirs, key=lambda s: s.value) if theirs else None
            yield Row(measure, ours, sides, best, next((s for s in theirs if s.is_default), None))


def disagreements(cases, results):
    """The first step's loss must be the same everywhere: else the programs did not do the same work."""
    for case in cases:
        if not case.agree:
            continue
        runs = [r for r in results["runs"] if r["case"] == case.name and "failed" not in r]
        exact = [r["losses"][0] for r in runs if r["setting"].startswith("float32")]
        if not exact:
            continue
        for run in runs:
            tolerance = LOSS_TOLERANCE["float32" if run["setting"].startswith("float32") else "bfloat16"]
            if abs(run["losses"][0] - exact[0]) > tolerance:
                yield f"{case.name}: the first loss of {run['name']} is {run['losses'][0]:.4f}, not {exact[0]:.4f}"


def cell(measure, side):
    if not side:
        return "–"
    memory = f", {side.peak_gb:.2f} GB" if measure.memory else ""
    return f"{number(side.value, measure.unit)} {measure.unit}{memory}"


def table(compared):
    lines = [
        "| | swift-lora | best peer | times as fast | peer's default | times as fast | of the best peer's memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in compared:
        best = f"{cell(row.measure, row.best)} ({row.best.name})" if row.best else "–"
        ratios = [f"**{r:.2f} ×**" if r else "–" for r in (row.times(row.best), row.times(row.default))]
        memory = f"{row.ours.peak_gb / row.best.peak_gb:.0%}" if row.best and row.measure.memory else "–"
        default = row.default if row.measure.setting is None else None
        lines.append(
            f"| {row.measure.title} | {cell(row.measure, row.ours)} | {best} | {ratios[0]} | "
            f"{cell(row.measure, default)} | {ratios[1] if default else '–'} | {memory} |")
    return "\n".join(lines)


def details(compared):
    lines = ["| | program, setting | median | lowest – highest | peak memory |", "|---|---|---|---|---|"]
    for row in compared:
        unit = row.measure.unit
        for s in row.sides:
            if s.failed:
                lines.append(f"| {row.measure.title} | {s.name} | not run: {s.failed} | | |")
            else:
                span = f"{number(s.low, unit)} – {number(s.high, unit)}"
                lines.append(
                    f"| {row.measure.title} | {s.name} | {number(s.value, unit)} {unit} | {span} | {s.peak_gb:.2f} GB |")
    return "\n".join(lines)


def write(cases, results, folder):
    """Writes peft.md and peft.svg, prints the tables; → what is wrong with the results."""
    compared = list(rows(cases, results))
    if not compared:
        return ["there is nothing to compare"]
    turns = max(run["round"] for run in results["runs"])
    engine = next((f" ({run['engine']})" for run in results["runs"] if "engine" in run), "")
    on = machine.line(results["machine"], engine)
    head = f"Medians of {turns} round{'s' if turns > 1 else ''}, the programs in turn. {on}."
    text = f"{head}\n\n{table(compared)}\n\n{details(compared)}\n"
    (folder / "peft.md").write_text(text, encoding="utf-8")
    (folder / "peft.svg").write_text(chart.svg(compared, on), encoding="utf-8")
    print(f"\n{text}\nwritten: {folder}/peft.json, peft.md, peft.svg")
    return list(disagreements(cases, results))

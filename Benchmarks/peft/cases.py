"""What is compared: the cases of issue 3, and the commands of both programs for each."""

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
OURS, PEFT, TORCH, TRANSFORMERS = "swift-lora", "PEFT", "PyTorch", "transformers"


@dataclass
class Run:
    """One program with one setting."""

    program: str
    setting: str
    command: list
    is_default: bool = False

    @property
    def name(self):
        return f"{self.program} {self.setting}".strip()


@dataclass
class Measure:
    """A figure that a case's runs give: a line of the table."""

    title: str
    key: str
    unit: str
    more_is_better: bool = True
    setting: str | None = None  # compared at this setting of both alone
    memory: bool = True  # the runs' peak memory can be compared


@dataclass
class Case:
    name: str
    measures: list
    runs: list = field(default_factory=list)
    agree: bool = False  # the programs' first losses must be equal


def step_case(name, title, rows, data, places, settings, steps=2, warm_up=1, ours=("bfloat16",)):
    model, folder, python = places
    timed = ["--steps", str(steps), "--warm-up", str(warm_up)]
    case = Case(name, [Measure(title, "tokens_per_second", "tok/s")], agree=True)
    for precision in ours:
        case.runs.append(
            Run(OURS, precision, [str(ROOT / ".build/release/lora-bench"), "step", "--json", "--model", model]
                + ["--rows", str(rows), "--data", str(folder / data), "--precision", precision, *timed], not case.runs)
        )
    for setting in settings:
        kind, attention = (setting.split(", ") + ["sdpa"])[:2]
        case.runs.append(
            Run(PEFT, setting, [python, str(HERE / "train_step.py"), str(folder / "model"), str(folder / data)]
                + ["--rows", str(rows), "--setting", kind, "--attention", attention, *timed], setting == "float32")
        )
    return case


def all_cases(model, folder, python):
    """→ the cases in the order in which they run; `folder` is what prepare.py has made."""
    places = (model, folder, python)
    bench = str(ROOT / ".build/release/lora-bench")
    cases = [
        step_case("4x512", "4 × 512 tokens, loss everywhere", 4, "4x512.jsonl", places, ("float32", "autocast"),
                  ours=("bfloat16", "float32")),
        step_case("8x128", "8 × 128 tokens, loss everywhere", 8, "8x128.jsonl", places, ("float32", "bf16")),
        step_case("chat", "8 chat rows, 100–250 tokens, loss on answers", 8, "chat.jsonl", places, ("float32",)),
        step_case("1x4096", "1 × 4,096 tokens, loss everywhere", 1, "1x4096.jsonl", places,
                  ("float32", "float32, eager"), steps=1, warm_up=0),  # what a first step costs more is little here
    ]
    layer = Case("layer", [])
    for type in ("float32", "bfloat16"):
        layer.runs.append(Run(OURS, type, [bench, "layer", "--json", "--precision", type], type == "float32"))
        layer.runs.append(Run(TORCH, type, [python, str(HERE / "layer.py"), type], type == "float32"))
        for key, title in (("forward", "forward"), ("both", "forward + backward")):
            layer.measures.append(
                Measure(f"LoRALinear 4096, {type}: {title}", key, "ms", False, setting=type))
    orders = str(ROOT / "Examples/orders/train.jsonl")
    start = Case("start", [Measure("start, until the first step begins", "start", "s", False, memory=False)])
    start.runs = [
        Run(OURS, "", [str(ROOT / "Benchmarks/start.sh"), model, "--json"], True),
        Run(PEFT, "", [python, str(HERE / "train_step.py"), str(folder / "model"), orders, "--start"], True),
    ]
    decode = Case("decode", [Measure("greedy generation, one sequence", "tokens_per_second", "tok/s")])
    decode.runs = [
        Run(OURS, "Q4_1", [bench, "decode", "--json", "--model", model, "--sequences", "1", "--rank", "0"], True),
        *(Run(TRANSFORMERS, type, [python, str(HERE / "decode.py"), str(folder / "model"), type], type == "float32")
          for type in ("float32", "bfloat16")),
    ]
    return [*cases, layer, start, decode]

"""Proves with the Python `peft` package that adapters pass between it and the command `lora`, in both directions.

    python Scripts/conformance/peft_interop.py MODEL.gguf LORA_BINARY
    python Scripts/conformance/peft_interop.py MODEL.gguf --self-test     # the proof itself, on a fake `lora`

(a) `lora train` makes an adapter of a few steps. PEFT loads it without a warning, every tensor of the file is used, and
    PEFT's log-probabilities equal those of `lora score --adapter` to 1e-3 at every position.
(b) Adapters that PEFT made (default save_pretrained; a subset of layers, all layers with alpha ≠ r, and one trained by
    PEFT) give the same through `lora score --adapter`.

transformers loads the GGUF dequantised and with the rows of q and k put back into Hugging Face's order, which is the
order of adapters. Also checked: tokens and masks of `lora score` against the true tokenizer and the template, and that
each adapter moves log-probabilities by far more than the tolerance, so that an adapter not applied cannot pass.
Exits 0 if all of it holds, else 1.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "fixtures"))
import demo_model  # noqa: E402
from listening import heard_while  # noqa: E402

TOLERANCE = 1e-3
LEAST_EFFECT = 0.05  # what an adapter must change somewhere for its comparison to say anything
TRAIN_ROWS, SCORED_ROWS = 32, 6
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Failure(Exception):
    pass


def run(command, *arguments):
    """What the command prints; `command` is the start of a command line, or (the fake) a function of the arguments."""
    if callable(command):
        return command([str(argument) for argument in arguments])
    process = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    if process.returncode != 0:
        raise Failure(
            f"exit code {process.returncode} of: {' '.join([*command, *map(str, arguments)])}\n"
            f"{process.stderr.strip()[-2000:]}"
        )
    return process.stdout


def score(command, gguf, data, adapter=None):
    """The rows that `lora score` prints."""
    arguments = ["score", "--model", gguf, "--data", data, "--precision", "float32"]
    if adapter:
        arguments += ["--adapter", adapter]
    output = run(command, *arguments)
    rows = [json.loads(line) for line in output.splitlines() if line.strip()]
    if len(rows) != SCORED_ROWS:
        raise Failure(f"lora score printed {len(rows)} rows of {SCORED_ROWS}")
    for row in rows:
        if len(row["tokens"]) != len(row["logprobs"]) or len(row["tokens"]) != len(row["mask"]):
            raise Failure(f"lora score: arrays of different lengths in {json.dumps(row)[:200]}")
        if row["logprobs"][0] is not None:
            raise Failure("lora score: the first token has a log-probability")
        if not all(isinstance(logprob, (int, float)) and math.isfinite(logprob) for logprob in row["logprobs"][1:]):
            raise Failure(f"lora score: a log-probability that is not a number in {json.dumps(row)[:200]}")
    return rows


def check_text(rows, expected):
    """Tokens and masks against the reference. What follows the last supervised token may be left out."""
    for number, (row, (ids, mask)) in enumerate(zip(rows, expected), 1):
        n = len(row["tokens"])
        if row["tokens"] != ids[:n] or any(mask[n:]):
            raise Failure(f"row {number}: tokens differ from the tokenizer's\n  {row['tokens']}\n  {ids}")
        if [int(m) for m in row["mask"]] != mask[:n]:
            raise Failure(f"row {number}: mask differs\n  {row['mask']}\n  {mask}")


def torch_logprobs(model, rows):
    import torch

    result = []
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row["tokens"]])
            logprobs = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
            result.append(logprobs.gather(1, ids[0, 1:, None])[:, 0].tolist())
    return result


def largest_difference(left, right):
    return max(abs(a - b) for row, other in zip(left, right) for a, b in zip(row, other))


def check_loss(rows):
    """`loss` is the mean of −logprob over the supervised tokens of the row."""
    for row in rows:
        supervised = [-logprob for logprob, m in zip(row["logprobs"], row["mask"]) if m]
        mean = sum(supervised) / len(supervised)
        if abs(mean - row["loss"]) > TOLERANCE:
            raise Failure(f"lora score: loss {row['loss']}, but the mean over its supervised tokens is {mean}")


def load_adapter(base, directory):
    """→ PEFT model on the base, which unload() gives back; any warning on the way is a failure."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file

    model, heard = heard_while(lambda: PeftModel.from_pretrained(base, directory).eval())
    if heard:
        raise Failure("PEFT warned while loading:\n  " + "\n  ".join(heard))
    written = load_file(Path(directory) / "adapter_model.safetensors")
    used = get_peft_model_state_dict(model)
    if written.keys() != used.keys():
        raise Failure(f"tensors written and used differ: {sorted(written.keys() ^ used.keys())[:6]}")
    return model


def compare(name, model, rows, base_rows, table):
    reference = torch_logprobs(model, rows)
    ours = [row["logprobs"][1:] for row in rows]
    difference = largest_difference(ours, reference)
    effect = largest_difference(ours, [row["logprobs"][1:] for row in base_rows])
    positions = sum(map(len, ours))
    good = difference <= TOLERANCE and (rows is base_rows or effect >= LEAST_EFFECT)
    table.append((name, positions, effect, difference, good))


def make_peft_adapters(base, folder, training_rows):
    """Writes adapters of PEFT's own making, yields (name, directory, PEFT model still loaded)."""
    import torch
    from peft import LoraConfig, get_peft_model

    cases = [
        ("PEFT: q_proj, v_proj, defaults", dict(target_modules=["q_proj", "v_proj"]), False),
        ("PEFT: all layers, r 4, alpha 12", dict(r=4, lora_alpha=12, target_modules=ALL_LINEAR), False),
        ("PEFT: down_proj, rsLoRA off, r 3", dict(r=3, lora_alpha=4, target_modules=["down_proj"]), False),
        ("PEFT: DoRA, rsLoRA", dict(r=4, use_dora=True, use_rslora=True, target_modules=["q_proj", "down_proj"]), False),
        (
            "PEFT: ranks by pattern, regex",
            dict(r=4, target_modules=r".*layers\.[0-9]\.mlp\..*_proj", rank_pattern={"up_proj": 7}),
            False,
        ),
        ("PEFT: trained, all-linear", dict(r=8, lora_alpha=16, target_modules="all-linear"), True),
    ]
    for number, (name, options, trained) in enumerate(cases):
        torch.manual_seed(number)
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **options))
        if trained:
            train_with_peft(model, training_rows)
        else:
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    if "lora_B" in key:
                        parameter.normal_(std=0.05)
        directory = folder / f"peft-{number}"
        model.eval().save_pretrained(directory)
        yield name, directory, model
        base = strip(model.unload())


def train_with_peft(model, rows, steps=3):
    import torch

    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    model.train()
    for step in range(steps):
        for ids, mask in rows[step * 2 : step * 2 + 2]:
            ids = torch.tensor([ids])
            labels = torch.where(torch.tensor([mask]) == 1, ids, -100)
            model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def prove(gguf, base, command, folder, only_ours=False):
    """→ rows of the table; raises Failure where the comparison cannot even be made."""
    encoder = demo_model.tokenizer(gguf)
    train_file, test_file = folder / "train.jsonl", folder / "test.jsonl"
    lines = {}
    for name, file, count in (("train", train_file, TRAIN_ROWS), ("test", test_file, SCORED_ROWS)):
        source = (ROOT / "Examples" / "orders" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
        file.write_text("\n".join(source) + "\n", encoding="utf-8")
        lines[name] = [demo_model.encode_messages(gguf, encoder, json.loads(line)["messages"]) for line in source]

    table = []
    base_rows = score(command, gguf, test_file)
    check_text(base_rows, lines["test"])
    check_loss(base_rows)
    compare("base model", base, base_rows, base_rows, table)

    # (a) ours → PEFT
    trained = folder / "trained"
    run(
        command, "train", "--model", gguf, "--data", train_file, "--output", trained, "--rank", 8, "--alpha", 24,
        "--target-modules", "all-linear", "--max-steps", 6, "--batch-size", 4, "--learning-rate", "1e-3",
        "--precision", "float32", "--seed", 1,
    )  # fmt: skip
    rows = score(command, gguf, test_file, trained)
    check_loss(rows)
    model = load_adapter(base, trained)
    compare("lora train → PEFT", model, rows, base_rows, table)
    base = strip(model.unload())

    if only_ours:
        return table

    # (b) PEFT → ours
    for name, directory, model in make_peft_adapters(base, folder, lines["train"]):
        rows = score(command, gguf, test_file, directory)
        check_loss(rows)
        compare(name, model, rows, base_rows, table)
    return table


def report(table):
    """Prints the table → why it failed, or an empty string."""
    print(f"{'adapter':36} {'positions':>9} {'effect':>9} {'max |Δ|':>9}")
    for name, positions, effect, difference, good in table:
        print(f"{name:36} {positions:9} {effect:9.3f} {difference:9.1e}  {'ok' if good else 'FAILED'}")
    good = all(row[-1] for row in table)
    print(f"{'passed' if good else 'FAILED'}: log-probabilities within {TOLERANCE:g}, effect at least {LEAST_EFFECT:g}")
    return "" if good else "log-probabilities differ"


def attempt(gguf, base, command, only_ours=False):
    """→ why the proof failed, or an empty string."""
    with tempfile.TemporaryDirectory(prefix="peft-interop-") as folder:
        try:
            return report(prove(gguf, base, command, Path(folder), only_ours))
        except Failure as failure:
            print(f"FAILED: {failure}")
            return str(failure)


# Fault of the fake → what the proof must say about it.
FAULTS = {
    "": "",
    "scale": "log-probabilities differ",
    "ignore-adapter": "log-probabilities differ",
    "missing-tensor": "PEFT warned while loading",
    "mask": "mask differs",
}


def self_test(gguf, load):
    """The proof passes on a faithful fake, and fails on each broken one for the right reason."""
    from fake_lora import FakeLora

    mine, its = load(), load()  # two, since the proof holds an adapter on its own while the fake scores
    good = True
    for fault, expected in FAULTS.items():
        print(f"--- fake lora, fault: {fault or 'none'}", flush=True)
        # Part (a) is enough to see a fault.
        reason = attempt(gguf, strip(mine), FakeLora(strip(its), fault), only_ours=bool(fault))
        as_expected = expected in reason if expected else reason == ""
        good &= as_expected
        print(f"--- {'as expected' if as_expected else 'NOT AS EXPECTED'}", flush=True)
    print("self-test passed" if good else "self-test FAILED")
    return good


def strip(model):
    """Takes off what an earlier attempt left on the base: the adapted layers give back the plain ones."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "lora_A"):
                setattr(parent, name, child.get_base_layer())
    for trace in ("peft_config", "_hf_peft_config_loaded"):
        if trace in vars(model):
            delattr(model, trace)
    return model.requires_grad_(False).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the GGUF file of the demo model")
    parser.add_argument("lora", nargs="?", type=Path, help="the command, .build/release/lora")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test == (arguments.lora is not None):
        parser.error("give either the path of `lora` or --self-test")
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    gguf = arguments.model.resolve()

    def load():
        return demo_model.load(gguf, "float32")

    if arguments.self_test:
        good = self_test(gguf, load)
    else:
        good = not attempt(gguf, load(), [str(arguments.lora.resolve())])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

"""200 steps of PEFT and of `lora train` on the demo model: how far do they come apart? By hand, some minutes.

    $(Scripts/conformance/python.sh) Scripts/conformance/long_parity.py MODEL.gguf .build/release/lora [--steps 200]

float32, r = 8, alpha = 16, no dropout, all linear layers, AdamW, clipping at 1.0. Both sides begin from the adapter
that PEFT makes, take the rows of Examples/orders in the order of the file, one per step, and the learning rates that
`lora train` records. The 240 batches of an epoch are more than the steps, so that no row comes twice.

Prints the largest relative difference of a step's loss and of the gradient's norm, and on rows of the test set the
largest difference of a logit: PEFT with its own adapter against PEFT with the one that `lora` trained.
Exit code 1 where a loss differs by more than 1e-3 of itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "fixtures"))
import demo_model  # noqa: E402

BATCH, RATE, HELD_OUT, TOLERANCE = 1, 5e-4, 8, 1e-3
DATA = ROOT / "Examples" / "orders"


def rows(model, encoder, name, count):
    with open(DATA / f"{name}.jsonl", encoding="utf-8") as file:
        chats = [json.loads(next(file))["messages"] for _ in range(count)]
    return [demo_model.encode_messages(model, encoder, chat) for chat in chats]


def train_here(model, data, rates):
    """→ the loss and the gradient's norm of each step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    model.train()
    steps = []
    for step, rate in enumerate(rates):
        part = data[step * BATCH : (step + 1) * BATCH]
        count = sum(sum(mask[1:]) for _, mask in part)
        loss = 0.0
        for ids, mask in part:
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
            values = logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
            row_loss = -(values * torch.tensor(mask[1:])).sum() / count
            row_loss.backward()
            loss += row_loss.item()
        optimizer.param_groups[0]["lr"] = rate
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        optimizer.step()
        optimizer.zero_grad()
        steps.append((loss, norm))
        if step % 20 == 0:
            print(f"PEFT: step {step + 1} loss {loss:.6f}", flush=True)
    return steps


@torch.no_grad()
def logits(model, held_out):
    model.eval()
    return [model(input_ids=torch.tensor([ids]), use_cache=False).logits[0] for ids, _ in held_out]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("lora")
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.manual_seed(1)
    encoder = demo_model.tokenizer(arguments.model)
    data = rows(arguments.model, encoder, "train", arguments.steps * BATCH)
    held_out = rows(arguments.model, encoder, "test", HELD_OUT)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")
    model = get_peft_model(demo_model.load(arguments.model, "float32"), config, autocast_adapter_dtype=False)

    with tempfile.TemporaryDirectory() as folder:
        first, output = folder + "/first", folder + "/trained"
        model.save_pretrained(first)
        subprocess.run(
            [
                arguments.lora, "train", "--model", arguments.model, "--data", DATA / "train.jsonl", "--output", output,
                "--init-adapter", first, "--precision", "float32", "--no-shuffle", "--batch-size", str(BATCH),
                "--max-steps", str(arguments.steps), "--learning-rate", str(RATE), "--weight-decay", "0.01",
            ],
            check=True,
        )  # fmt: skip
        with open(output + "/metrics.jsonl", encoding="utf-8") as file:
            ours = [json.loads(line) for line in file]
        theirs = train_here(model, data, [step["learning_rate"] for step in ours])
        own = logits(model, held_out)
        model.load_adapter(output, "ours")
        model.set_adapter("ours")
        other = logits(model, held_out)

    loss = [abs(o["loss"] / t[0] - 1) for o, t in zip(ours, theirs, strict=True)]
    norm = [abs(o["grad_norm"] / t[1] - 1) for o, t in zip(ours, theirs, strict=True)]
    far = max((a - b).abs().max().item() for a, b in zip(own, other, strict=True))
    same = sum((a.argmax(-1) == b.argmax(-1)).sum().item() for a, b in zip(own, other, strict=True))
    print(
        f"{len(loss)} steps, loss {theirs[0][0]:.4f} to {theirs[-1][0]:.4f}: largest relative difference of the loss "
        f"{max(loss):.1e} (step {loss.index(max(loss)) + 1}), of the gradient's norm {max(norm):.1e}; after them "
        f"logits of {HELD_OUT} test rows within {far:.1e} (largest {max(a.abs().max().item() for a in own):.0f}), "
        f"the same first token at {same} of {sum(len(a) for a in own)} places"
    )
    sys.exit(max(loss) > TOLERANCE)


if __name__ == "__main__":
    main()

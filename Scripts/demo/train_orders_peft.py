"""Trains Examples/orders with PEFT: what exact match should `make demo` reach? A check by hand, ~6 minutes.

    python Scripts/demo/train_orders_peft.py --lr 1e-3 --batch 16

The same recipe as the demo: SmolLM2-135M, LoRA on all linear layers, loss on the answers, greedy decoding.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import get_linear_schedule_with_warmup

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "fixtures"))
import demo_model  # noqa: E402


def read(name):
    with open(ROOT / "Examples" / "orders" / f"{name}.jsonl", encoding="utf-8") as file:
        return [json.loads(line)["messages"] for line in file]


def pad(rows, left=False):
    width = max(len(row) for row in rows)
    return torch.tensor([[0] * (width - len(r)) + r if left else r + [0] * (width - len(r)) for r in rows])


@torch.no_grad()
def exact_match(model, encoder, path, rows, limit=48):
    model.eval()
    prompts = [
        encoder.encode(demo_model.render(path, row[:-1], add_generation_prompt=True), add_special_tokens=False).ids
        for row in rows
    ]
    right, samples = 0, []
    for start in range(0, len(rows), 16):
        part = prompts[start : start + 16]
        out = model.generate(
            input_ids=pad(part, left=True),
            attention_mask=pad([[1] * len(p) for p in part], left=True),
            max_new_tokens=limit,
            do_sample=False,
            pad_token_id=2,
            eos_token_id=2,
        )
        for row, ids in zip(rows[start:], out[:, max(map(len, part)) :].tolist()):
            text = encoder.decode(ids[: ids.index(2)] if 2 in ids else ids, skip_special_tokens=False)
            right += text == row[-1]["content"]
            samples.append((text, row[-1]["content"]))
    return right / len(rows), samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    rng = random.Random(arguments.seed)
    path = demo_model.path()
    encoder = demo_model.tokenizer(path)
    train, test = read("train"), read("test")
    model = demo_model.load(path, "float32")
    print(f"before: exact match {exact_match(model, encoder, path, test[:16])[0]:.3f} on 16 rows", flush=True)
    model = get_peft_model(
        model,
        LoraConfig(r=arguments.rank, lora_alpha=arguments.alpha, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    rows = [demo_model.encode_messages(path, encoder, messages) for messages in train]
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.lr, weight_decay=0.01)
    total = -(-len(rows) // arguments.batch) * arguments.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, max(1, round(0.03 * total)), total)
    began = time.time()
    for epoch in range(arguments.epochs):
        rng.shuffle(rows)
        model.train()
        for start in range(0, len(rows), arguments.batch):
            part = rows[start : start + arguments.batch]
            ids, mask = pad([r[0] for r in part]), pad([r[1] for r in part])
            attention = pad([[1] * len(r[0]) for r in part])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.bf16):
                hidden = model.base_model.model.model(input_ids=ids, attention_mask=attention).last_hidden_state
                logits = model.base_model.model.lm_head(hidden[:, :-1][mask[:, 1:] == 1])
            loss = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][mask[:, 1:] == 1])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if start // arguments.batch % 5 == 0:
                print(f"epoch {epoch} row {start} loss {loss.item():.4f} {time.time() - began:.0f}s", flush=True)
        share, samples = exact_match(model, encoder, path, test)
        print(f"after epoch {epoch + 1}: exact match {share:.3f}, {time.time() - began:.0f} s", flush=True)
    for got, wanted in samples:
        if got != wanted:
            print(f"  {got}\n  {wanted}\n")


if __name__ == "__main__":
    main()

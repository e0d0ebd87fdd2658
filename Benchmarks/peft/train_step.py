"""Training steps of PEFT + PyTorch on the CPU, on rows that lora-bench reads too; prints one line of JSON.

    python train_step.py MODEL-FOLDER ROWS.jsonl --rows 4 [--setting float32|autocast|bf16]

Rank 16, all linear layers, AdamW. What is best for PEFT here: SDPA attention, no checkpointing, no dropout, key/value
cache off, rows padded to the longest of their batch only. Settings: float32 is PEFT's default; autocast keeps float32
weights and multiplies in bfloat16; bf16 has the base's weights in bfloat16 (PEFT keeps the adapter in float32).
"""

import argparse
import json
import os
import time
import warnings

RANK, ALPHA = 16, 32


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def batch(rows):
    """Right-padded ids, labels and attention mask; no mask where nothing is padded."""
    import torch

    longest = max(len(row["tokens"]) for row in rows)

    def padded(values, filler):
        return torch.tensor([value + [filler] * (longest - len(value)) for value in values])

    labels = [[t if m else -100 for t, m in zip(row["tokens"], row["mask"])] for row in rows]
    result = {"input_ids": padded([row["tokens"] for row in rows], 0), "labels": padded(labels, -100)}
    if any(len(row["tokens"]) < longest for row in rows):
        result["attention_mask"] = padded([[1] * len(row["tokens"]) for row in rows], 0)
    return result


def prepare(folder, setting, attention):
    """→ (model with its adapter, optimizer)."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    torch.manual_seed(0)
    dtype = torch.bfloat16 if setting == "bf16" else torch.float32
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, config).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    return model, torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.01)


def measure(arguments):
    model, optimizer = prepare(arguments.model, arguments.setting, arguments.attention)
    import torch

    parameters = optimizer.param_groups[0]["params"]
    rows = read_rows(arguments.data)
    tokens, seconds, losses = [], [], []
    for step in range(arguments.warm_up + arguments.steps):
        chosen = [rows[(step * arguments.rows + i) % len(rows)] for i in range(arguments.rows)]
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.setting == "autocast"):
            loss = model(**batch(chosen), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step >= arguments.warm_up:
            seconds.append(time.perf_counter() - began)
            tokens.append(sum(len(row["tokens"]) for row in chosen))
    return {"tokens": tokens, "seconds": seconds, "losses": losses}


def start(arguments):
    """The seconds since the process began until a first step could: imports, model, tokenised rows, optimizer."""
    from transformers import AutoTokenizer

    prepare(arguments.model, arguments.setting, arguments.attention)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    rows = [tokenizer.apply_chat_template(row["messages"], tokenize=True) for row in read_rows(arguments.data)]
    ticks = os.sysconf("SC_CLK_TCK")
    with open("/proc/self/stat", encoding="ascii") as file:
        began = int(file.read().rsplit(")", 1)[1].split()[19]) / ticks
    return {"start": time.clock_gettime(time.CLOCK_BOOTTIME) - began, "rows": len(rows)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a Hugging Face folder")
    parser.add_argument("data", help="rows of tokens; with --start, of messages")
    parser.add_argument("--rows", type=int, default=4, help="rows of a step (default 4)")
    parser.add_argument("--setting", choices=["float32", "autocast", "bf16"], default="float32")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--steps", type=int, default=5, help="timed steps (default 5)")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them (default 2)")
    parser.add_argument("--start", action="store_true", help="only get ready for a first step")
    arguments = parser.parse_args()
    print(json.dumps(start(arguments) if arguments.start else measure(arguments)), flush=True)


if __name__ == "__main__":
    main()

"""The baseline to compare with: training steps of PEFT + PyTorch on the CPU, SmolLM2-135M from the same GGUF.

    LORA_DEMO_MODEL=…/SmolLM2-135M-Instruct.Q4_1.gguf python Benchmarks/peft/train_step.py [--mode float32|bf16]

4 rows of 512 tokens, rank 16, all linear layers, loss on all positions, AdamW. Without --mode both modes run, each in a
process of its own. Settings that are best for PEFT here: as many threads as cores, SDPA attention, no checkpointing, no
dropout, no padding, key/value cache off. Prints the median tokens/s over the timed steps and the peak resident memory,
of the whole process and (where the kernel lets it be reset) of training without loading. Run it on an idle machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "fixtures"))
import demo_model  # noqa: E402

ROWS, LENGTH, RANK, ALPHA = 4, 512, 16, 32


def peak_rss_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def reset_peak_rss():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def batch(path):
    """Rows of real text: the training sentences of Examples/orders, one after the other."""
    import torch

    encoder = demo_model.tokenizer(path)
    ids = []
    with open(ROOT / "Examples" / "orders" / "train.jsonl", encoding="utf-8") as file:
        for line in file:
            text = demo_model.render(path, json.loads(line)["messages"])
            ids += encoder.encode(text, add_special_tokens=False).ids
            if len(ids) >= ROWS * LENGTH:
                break
    return torch.tensor(ids[: ROWS * LENGTH]).reshape(ROWS, LENGTH)


def measure(mode, steps, warm_up, threads):
    warnings.filterwarnings("ignore", category=FutureWarning)
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    path = demo_model.path()
    ids = batch(path)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(demo_model.load(path, "float32"), config).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.01)
    loading_peak = peak_rss_mb()
    reset_peak_rss()
    seconds, losses = [], []
    for _ in range(warm_up + steps):
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode == "bf16"):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
        losses.append(loss.item())
    timed = seconds[warm_up:]
    training_peak = peak_rss_mb()
    return {
        "mode": {"float32": "float32", "bf16": "bfloat16 autocast"}[mode],
        "tokens_per_second": round(ROWS * LENGTH / statistics.median(timed), 1),
        "seconds_per_step": [round(s, 3) for s in timed],
        "peak_rss_mb": round(max(loading_peak, training_peak)),
        "training_peak_rss_mb": round(training_peak),
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "rows": ROWS,
        "length": LENGTH,
        "rank": RANK,
        "trainable_parameters": sum(p.numel() for p in parameters),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["float32", "bf16"])
    parser.add_argument("--steps", type=int, default=5, help="timed steps (default 5)")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them (default 2)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    if arguments.mode:
        print(json.dumps(measure(arguments.mode, arguments.steps, arguments.warm_up, arguments.threads)), flush=True)
        return
    for mode in ("float32", "bf16"):
        subprocess.run([sys.executable, __file__, "--mode", mode, *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()

"""One LoRA layer in PyTorch, forward and backward, beside nn.Linear; prints one line of JSON. The twin of `lora-bench layer`.

    python layer.py float32|bfloat16
"""

import json
import os
import statistics
import sys
import time

import torch
from torch.nn import functional

FEATURES, ROWS, RANK, ROUNDS = 4096, 128, 16, 21


def main():
    dtype = getattr(torch, sys.argv[1])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    torch.manual_seed(0)
    weight = (torch.randn(FEATURES, FEATURES) * 0.02).to(dtype)
    a = (torch.randn(RANK, FEATURES) * 0.02).to(dtype).requires_grad_()
    b = torch.zeros(FEATURES, RANK, dtype=dtype, requires_grad=True)
    x = torch.randn(1, ROWS, FEATURES).to(dtype)
    dy = torch.randn(1, ROWS, FEATURES).to(dtype)
    leaf = x.clone().requires_grad_()

    def layer(x):
        low = functional.linear(functional.linear(functional.dropout(x, 0.05), a), b)
        return functional.linear(x, weight) + low

    def plain():
        with torch.no_grad():
            functional.linear(x, weight)

    def forward():
        with torch.no_grad():
            layer(x)

    def both():
        for tensor in (a, b, leaf):
            tensor.grad = None
        layer(leaf).backward(dy)

    times = {"plain": [], "forward": [], "both": []}
    for turn in range(ROUNDS + 3):
        for body in (plain, forward, both):
            began = time.perf_counter()
            body()
            if turn >= 3:
                times[body.__name__].append(time.perf_counter() - began)
    print(json.dumps({name: statistics.median(values) for name, values in times.items()}))


if __name__ == "__main__":
    main()

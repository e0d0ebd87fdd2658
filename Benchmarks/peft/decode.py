"""Greedy generation of one sequence with transformers; prints one line of JSON. The twin of `lora-bench decode`.

    python decode.py MODEL-FOLDER float32|bfloat16
"""

import json
import os
import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

PROMPT, TOKENS = 32, 64


class FirstToken:
    """A streamer that notes when the prompt is done: the prompt is another kind of work."""

    def __init__(self):
        self.calls, self.time = 0, None

    def put(self, _):
        self.calls += 1
        if self.calls == 2:
            self.time = time.perf_counter()

    def end(self):
        pass


def main():
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2])).eval()
    ids = torch.randint(0, model.config.vocab_size, (1, PROMPT))
    seconds = []
    for _ in range(3):
        first = FirstToken()
        result = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False,
            streamer=first,
        )
        seconds.append(time.perf_counter() - first.time)
        assert result.shape[1] == PROMPT + TOKENS
    print(json.dumps({"tokens_per_second": (TOKENS - 1) / statistics.median(seconds[1:])}))


if __name__ == "__main__":
    main()

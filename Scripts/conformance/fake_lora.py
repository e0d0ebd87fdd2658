"""A stand-in for the command `lora`, made of PEFT, for peft_interop.py --self-test: faithful, or with one fault.

Knows `train` (a random adapter, no training) and `score`, with the flags that peft_interop.py uses.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))
import demo_model  # noqa: E402


class FakeLora:
    """Called with the arguments of a command line, returns what would be printed."""

    def __init__(self, base, fault=""):
        self.base, self.fault = base, fault

    def __call__(self, arguments):
        verb, flags = arguments[0], arguments[1:]
        options = {name.removeprefix("--"): value for name, value in zip(flags[::2], flags[1::2])}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {"train": self.train, "score": self.score}[verb](options)

    def train(self, options):
        torch.manual_seed(int(options["seed"]))
        config = LoraConfig(
            r=int(options["rank"]), lora_alpha=int(options["alpha"]), target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(self.base, config)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(std=0.02)
        model.save_pretrained(options["output"])
        self.base = model.unload()
        if self.fault == "missing-tensor":
            file = Path(options["output"]) / "adapter_model.safetensors"
            tensors = load_file(file)
            tensors.pop(sorted(tensors)[7])
            save_file(tensors, file, metadata={"format": "pt"})
        return ""

    @torch.no_grad()
    def score(self, options):
        path = Path(options["model"])
        encoder = demo_model.tokenizer(path)
        adapted = "adapter" in options and self.fault != "ignore-adapter"
        model = PeftModel.from_pretrained(self.base, options["adapter"]).eval() if adapted else self.base
        if adapted and self.fault == "scale":
            for module in model.modules():
                if hasattr(module, "lora_A"):
                    module.scaling["default"] = 1.0
        lines = []
        for line in Path(options["data"]).read_text(encoding="utf-8").splitlines():
            ids, mask = demo_model.encode_messages(path, encoder, json.loads(line)["messages"])
            if self.fault == "mask":
                mask = mask[1:] + [0]
            logprobs = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            logprobs = logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
            losses = [-logprob for logprob, m in zip(logprobs, mask[1:]) if m]
            row = {"tokens": ids, "logprobs": [None, *logprobs], "mask": mask, "loss": sum(losses) / len(losses)}
            lines.append(json.dumps(row))
        if adapted:
            self.base = model.unload()
        return "\n".join(lines)

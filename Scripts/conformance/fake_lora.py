"""A stand-in for `lora` made of PEFT: what peft_interop.py --self-test runs. FAKE_LORA_FAULT names a fault to have.

Knows `train` (a random adapter, no training) and `score`, with the flags that peft_interop.py uses.
"""

import json
import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))
import demo_model  # noqa: E402
import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

FAULT = os.environ.get("FAKE_LORA_FAULT", "")


def train(options):
    torch.manual_seed(int(options["seed"]))
    config = LoraConfig(
        r=int(options["rank"]), lora_alpha=int(options["alpha"]), target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(demo_model.load(options["model"], "float32"), config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.02)
    model.save_pretrained(options["output"])
    if FAULT == "missing-tensor":
        file = Path(options["output"]) / "adapter_model.safetensors"
        tensors = load_file(file)
        tensors.pop(sorted(tensors)[7])
        save_file(tensors, file, metadata={"format": "pt"})


@torch.no_grad()
def score(options):
    path = options["model"]
    encoder = demo_model.tokenizer(path)
    model = demo_model.load(path, "float32")
    if "adapter" in options and FAULT != "ignore-adapter":
        model = PeftModel.from_pretrained(model, options["adapter"]).eval()
        if FAULT == "scale":
            for module in model.modules():
                if hasattr(module, "scaling"):
                    module.scaling["default"] = 1.0
    for line in Path(options["data"]).read_text(encoding="utf-8").splitlines():
        ids, mask = demo_model.encode_messages(path, encoder, json.loads(line)["messages"])
        if FAULT == "mask":
            mask = mask[1:] + [0]
        logprobs = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        logprobs = logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
        supervised = [-logprob for logprob, m in zip(logprobs, mask[1:]) if m]
        row = {"tokens": ids, "logprobs": [None, *logprobs], "mask": mask, "loss": sum(supervised) / len(supervised)}
        print(json.dumps(row))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    verb, flags = sys.argv[1], sys.argv[2:]
    pairs = {name.removeprefix("--"): value for name, value in zip(flags[::2], flags[1::2])}
    {"train": train, "score": score}[verb](pairs)

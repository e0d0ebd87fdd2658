#!/usr/bin/env bash
# mlx-lm reads nothing of `rope_parameters`, the key under which transformers 5 saves a model's rotation, and says nothing.
#
# A folder that transformers 5 saved has {"rope_parameters": {"rope_theta": 500000.0, …}} and no rope_theta: mlx-lm computes with
# theta 10000. Weights, shapes and tokenizer fit, text stays fluent, every logit is another. Models whose theta is 10000 hide it.
#
# Installs the pinned packages into a temporary folder. Seen on Linux x86-64, Python 3.11:
#   mlx-lm 0.32.2, mlx 0.32.4, transformers 5.23.0
#   transformers takes the theta for 500000.0
#   mlx-lm, rope_parameters alone: the logits of theta 10000, off by 10.98 from those of 500000
#   mlx-lm, rope_theta beside it: the logits of theta 500000
# Exits 0 while that is so, else 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 transformers==5.23.0 sentencepiece==0.2.1 protobuf==6.33.2
"$place/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2
HF_HUB_OFFLINE=1 "$place/venv/bin/python" - "$place" <<'PYTHON' 2>"$place/errors" || { cat "$place/errors" >&2; exit 1; }
import json
import sys
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.utils import load_model
from mlx.utils import tree_flatten
from transformers import AutoConfig

mx.set_default_device(mx.cpu)
mx.random.seed(0)
base = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 40, "hidden_size": 16,
    "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
}
weights = {
    name: 1 + 0 * value if "norm" in name else mx.random.normal(value.shape) * 1.0
    for name, value in tree_flatten(Model(ModelArgs.from_dict(base)).parameters())
}


def folder(name, more):
    path = Path(sys.argv[1]) / name
    path.mkdir()
    (path / "config.json").write_text(json.dumps(base | more))
    mx.save_safetensors(str(path / "model.safetensors"), weights, metadata={"format": "pt"})
    return path


def logits(path):
    return np.array(load_model(path)[0](mx.array([[i * i % 40 for i in range(60)]])))


new = {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}
alone, both = folder("alone", new), folder("both", new | {"rope_theta": 500000.0})
default, right = folder("default", {"rope_theta": 10000.0}), folder("right", {"rope_theta": 500000.0})
theta = AutoConfig.from_pretrained(alone).rope_parameters["rope_theta"]
off = np.abs(logits(alone) - logits(right)).max()
print("mlx-lm", version("mlx-lm") + ", mlx", version("mlx") + ", transformers", version("transformers"))
print("transformers takes the theta for", theta)
print(f"mlx-lm, rope_parameters alone: off by {off:.2f} from the logits of theta 500000")
assert theta == 500000.0
assert np.array_equal(logits(alone), logits(default)) and off > 0.05, "mlx-lm reads rope_parameters now"
assert np.array_equal(logits(both), logits(right)), "mlx-lm does not take rope_theta"
print("unchanged: mlx-lm ignores rope_parameters")
PYTHON

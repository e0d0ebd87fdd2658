"""Every kind of LoRA adapter between PEFT and this project, in both directions, on tiny random models.

    python Scripts/conformance/matrix.py .build/release/lora-conformance [--only WORD]

For each configuration of the matrix:
  read   PEFT makes the adapter (random values in all that is trained) and saves it; we read it.
  write  we make it from the same configuration, train it for some steps and save it; PEFT reads it without a warning,
         and every tensor of the file is used.
An adapter that was read is also merged into the weights, which must change nothing; and read without its model, as convert,
combine and inspect do, which must not refuse it.
Both sides' logits must agree within 1e-4 in float32, and the adapter must change them by far more. Exits 0 if all agree.
"""

import argparse
import copy
import json
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from listening import heard_while

TOLERANCE = 1e-4
LEAST_EFFECT = 1e-2
TOKENS = [1, 5, 17, 39, 3, 3, 28, 0, 11, 2, 7, 5]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASES = {
    "plain": dict(tie_word_embeddings=False),
    "tied": dict(tie_word_embeddings=True),
    "biased": dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True),
}
QV = dict(target_modules=["q_proj", "v_proj"])

# name: (base, LoraConfig's arguments); "init" is what our side starts from, PEFT's from init_lora_weights. raw: PEFT
# saves the adapter without making a plain difference of it (of one with DoRA it loses the magnitudes on the way). copies:
# save_embedding_layers. read: we read such an adapter and make none.
MATRIX = {
    "r1": ("plain", dict(r=1, **QV)),
    "r4": ("plain", dict(r=4, **QV)),
    "r16": ("plain", dict(r=16, **QV)),
    "rank above width": ("plain", dict(r=24, target_modules=["o_proj"])),
    "alpha 1": ("plain", dict(r=4, lora_alpha=1, **QV)),
    "alpha 32": ("plain", dict(r=4, lora_alpha=32, **QV)),
    "alpha fraction": ("plain", dict(r=3, lora_alpha=4.5, **QV)),
    "alpha negative": ("plain", dict(r=4, lora_alpha=-4, **QV)),
    "dropout": ("plain", dict(r=4, lora_dropout=0.3, **QV)),
    "every linear by name": ("plain", dict(r=4, target_modules=ALL)),
    "all-linear": ("plain", dict(r=4, target_modules="all-linear")),
    "all-linear tied": ("tied", dict(r=4, target_modules="all-linear")),
    "all-linear biased": ("biased", dict(r=4, target_modules="all-linear")),
    "only k": ("plain", dict(r=4, target_modules=["k_proj"])),
    "only o": ("plain", dict(r=4, target_modules=["o_proj"])),
    "only mlp": ("plain", dict(r=4, target_modules=["gate_proj", "up_proj", "down_proj"])),
    "two segments": ("plain", dict(r=4, target_modules=["self_attn.o_proj", "mlp.up_proj"])),
    "whole path": ("plain", dict(r=4, target_modules=["model.layers.1.self_attn.q_proj"])),
    "whole path and name": ("plain", dict(r=4, target_modules=["model.layers.1.self_attn.q_proj", "v_proj"])),
    "name with a layer": ("plain", dict(r=4, target_modules=["layers.0.self_attn.q_proj", "2.mlp.up_proj"])),
    "regex": ("plain", dict(r=4, target_modules=r".*\.(q_proj|v_proj)")),
    "regex layers": ("plain", dict(r=4, target_modules=r"model\.layers\.[02]\.self_attn\..*_proj")),
    "regex lookahead": ("plain", dict(r=4, target_modules=r"(?!.*layers\.1\.).*mlp\.(?:up|down)_proj")),
    "regex named group": ("plain", dict(r=4, target_modules=r".*\.(?P<part>gate|up)_proj")),
    "exclude names": ("plain", dict(r=4, target_modules=ALL, exclude_modules=["down_proj", "layers.1.mlp.up_proj"])),
    "exclude regex": ("plain", dict(r=4, target_modules=ALL, exclude_modules=r".*layers\.(0|2)\..*")),
    "exclude from regex": ("plain", dict(r=4, target_modules=r".*_proj", exclude_modules=["k_proj"])),
    "layers list": ("plain", dict(r=4, layers_to_transform=[0, 2], **QV)),
    "layers int": ("plain", dict(r=4, layers_to_transform=1, **QV)),
    "layers pattern": ("plain", dict(r=4, layers_to_transform=[1], layers_pattern="layers", **QV)),
    "layers patterns": ("plain", dict(r=4, layers_to_transform=[2], layers_pattern=["h", "layers"], **QV)),
    "layers and whole path": (
        "plain",
        dict(r=4, layers_to_transform=[0], target_modules=["q_proj", "model.layers.2.mlp.up_proj"]),
    ),
    "rank pattern": ("plain", dict(r=4, target_modules=ALL, rank_pattern={"q_proj": 2, "mlp.up_proj": 7})),
    "alpha pattern": ("plain", dict(r=4, target_modules=ALL, alpha_pattern={"q_proj": 2, "down_proj": 16})),
    "both patterns": (
        "plain",
        dict(r=4, lora_alpha=8, target_modules=ALL, rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 3}),
    ),
    "pattern regex": (
        "plain",
        dict(r=4, target_modules=ALL, rank_pattern={r"layers\.[01]\.self_attn\..*": 2, r"layers\.2\..*": 6}),
    ),
    "pattern anchored": ("plain", dict(r=4, rank_pattern={r"^model\.layers\.0\.self_attn\.q_proj": 8}, **QV)),
    "pattern alternatives": ("plain", dict(r=4, rank_pattern={"q_proj|v_proj": 3}, alpha_pattern={"v_proj": 9}, **QV)),
    "rslora": ("plain", dict(r=4, lora_alpha=8, use_rslora=True, **QV)),
    "rslora patterns": (
        "plain",
        dict(r=4, use_rslora=True, target_modules=ALL, rank_pattern={"q_proj": 9}, alpha_pattern={"v_proj": 5}),
    ),
    "gaussian": ("plain", dict(r=4, init_lora_weights="gaussian", **QV)),
    "init false": ("plain", dict(r=4, init_lora_weights=False, **QV)),
    "orthogonal": ("plain", dict(r=4, init_lora_weights="orthogonal", **QV)),
    "pissa": ("plain", dict(r=4, init_lora_weights="pissa", **QV)),
    "pissa_niter_4": ("plain", dict(r=4, init_lora_weights="pissa_niter_4", **QV)),
    "olora": ("plain", dict(r=4, init_lora_weights="olora", **QV)),
    "pissa all-linear": ("biased", dict(r=3, lora_alpha=6, init_lora_weights="pissa", target_modules=ALL)),
    "pissa raw": ("plain", dict(r=4, init_lora_weights="pissa", raw=True, **QV)),
    "pissa raw all-linear": (
        "biased",
        dict(r=3, lora_alpha=6, init_lora_weights="pissa", target_modules=ALL, rank_pattern={"up_proj": 5}, raw=True),
    ),
    "pissa raw rslora": ("plain", dict(r=4, init_lora_weights="pissa", use_rslora=True, raw=True, **QV)),
    "olora raw": ("plain", dict(r=4, init_lora_weights="olora", raw=True, **QV)),
    "olora raw all-linear": ("biased", dict(r=4, lora_alpha=2, init_lora_weights="olora", target_modules=ALL, raw=True)),
    "pissa dora raw": ("plain", dict(r=4, init_lora_weights="pissa", use_dora=True, raw=True, **QV)),
    "olora dora raw": ("biased", dict(r=4, init_lora_weights="olora", use_dora=True, target_modules=ALL, raw=True)),
    "dora": ("plain", dict(r=4, use_dora=True, **QV)),
    "dora all-linear": ("plain", dict(r=4, use_dora=True, target_modules="all-linear")),
    "dora biased": ("biased", dict(r=4, use_dora=True, lora_alpha=16, target_modules=ALL)),
    "dora rslora": ("plain", dict(r=4, use_dora=True, use_rslora=True, **QV)),
    "dora patterns": ("plain", dict(r=4, use_dora=True, rank_pattern={"v_proj": 2}, **QV)),
    "lora bias": ("biased", dict(r=4, lora_bias=True, **QV)),
    "lora bias all-linear": ("biased", dict(r=4, lora_bias=True, use_rslora=True, target_modules="all-linear")),
    "lora bias no base bias": ("plain", dict(r=4, lora_bias=True, **QV)),
    "bias all": ("biased", dict(r=4, bias="all", **QV)),
    "bias lora_only": ("biased", dict(r=4, bias="lora_only", target_modules=["q_proj", "down_proj"])),
    "bias lora_only all-linear": ("biased", dict(r=4, bias="lora_only", target_modules="all-linear")),
    "bias all and lora bias": ("biased", dict(r=4, bias="all", lora_bias=True, **QV)),
    "save lm_head": ("plain", dict(r=4, modules_to_save=["lm_head"], **QV)),
    "save lm_head tied": ("tied", dict(r=4, modules_to_save=["lm_head"], **QV)),
    "save embed_tokens": ("plain", dict(r=4, modules_to_save=["embed_tokens"], **QV)),
    "save both": ("plain", dict(r=4, modules_to_save=["embed_tokens", "lm_head"], **QV)),
    "save final norm": ("plain", dict(r=4, modules_to_save=["model.norm"], **QV)),
    "save every norm": ("plain", dict(r=4, modules_to_save=["norm"], **QV)),
    "save a linear": ("biased", dict(r=4, modules_to_save=["o_proj"], **QV)),
    "save and exclude": ("plain", dict(r=4, target_modules=ALL, modules_to_save=["down_proj"])),
    "lm_head": ("plain", dict(r=4, target_modules=["lm_head"])),
    "lm_head and q": ("plain", dict(r=4, target_modules=["lm_head", "q_proj"])),
    "lm_head regex": ("plain", dict(r=4, target_modules=r"lm_head|.*\.v_proj")),
    "lm_head tied": ("tied", dict(r=4, target_modules=["lm_head", "q_proj"])),
    "embeddings": ("plain", dict(r=4, target_modules=["embed_tokens"])),
    "embeddings whole path": ("plain", dict(r=4, target_modules=["model.embed_tokens", "v_proj"])),
    "embeddings tied": ("tied", dict(r=4, lora_alpha=2, target_modules=["embed_tokens", "q_proj"])),
    "embeddings rslora": ("plain", dict(r=4, use_rslora=True, target_modules=["embed_tokens", "q_proj"])),
    "embeddings dora": ("plain", dict(r=4, use_dora=True, target_modules=["embed_tokens", "q_proj"])),
    "embeddings dora tied": ("tied", dict(r=4, lora_alpha=2, use_dora=True, target_modules=["embed_tokens"])),
    "embeddings dora rslora": (
        "plain",
        dict(r=4, use_dora=True, use_rslora=True, rank_pattern={"embed_tokens": 3}, target_modules=["embed_tokens", "lm_head"]),
    ),
    "copies": ("plain", dict(r=4, copies=True, **QV)),
    "copies tied": ("tied", dict(r=4, copies=True, **QV)),
    "copies and tokens": ("tied", dict(r=4, copies=True, trainable_token_indices=[3, 5], **QV)),
    "copies and a whole head": ("plain", dict(r=4, copies=True, modules_to_save=["lm_head"], **QV)),
    "tied embedding": ("tied", dict(r=4, ensure_weight_tying=True, read=True, target_modules=["embed_tokens", "q_proj"])),
    "tied head": ("tied", dict(r=4, ensure_weight_tying=True, read=True, target_modules=["lm_head", "q_proj"])),
    "tied regex": ("tied", dict(r=4, ensure_weight_tying=True, read=True, target_modules=r"lm_head|.*\.v_proj")),
    "tied rslora": (
        "tied", dict(r=4, ensure_weight_tying=True, read=True, use_rslora=True, target_modules=["embed_tokens"])
    ),
    "tied patterns": (
        "tied",
        dict(r=4, ensure_weight_tying=True, read=True, rank_pattern={"embed_tokens": 3}, target_modules=["embed_tokens"]),
    ),
    "tied dora": (
        "tied", dict(r=4, ensure_weight_tying=True, read=True, use_dora=True, target_modules=["embed_tokens", "q_proj"])
    ),
    "tied modules": ("tied", dict(r=4, ensure_weight_tying=True, read=True, modules_to_save=["lm_head"], **QV)),
    "tied without effect": ("plain", dict(r=4, ensure_weight_tying=True, target_modules=["embed_tokens", "q_proj"])),
    "dropout of everything": ("plain", dict(r=4, lora_dropout=1.0, read=True, **QV)),
    "embeddings and head": ("plain", dict(r=4, target_modules=["embed_tokens", "lm_head", "up_proj"])),
    "tokens": ("plain", dict(r=4, trainable_token_indices=[3, 11, 39], **QV)),
    "tokens tied": ("tied", dict(r=4, trainable_token_indices=[39, 0, 5], **QV)),
    "tokens by name": ("plain", dict(r=4, trainable_token_indices={"embed_tokens": [17, 3]}, **QV)),
    "tokens and norm": ("tied", dict(r=4, trainable_token_indices=[3], modules_to_save=["model.norm"], **QV)),
    "fan_in_fan_out": ("plain", dict(r=4, fan_in_fan_out=True, **QV)),
}


def make_base(name, folder):
    torch.manual_seed(sum(map(ord, name)))
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, **BASES[name],
        )
    )  # fmt: skip
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.normal_(std=0.25).add_(1 if "norm" in key else 0)
    model.eval().save_pretrained(folder)
    return model


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS]), use_cache=False).logits[0]


def moves_base(options):
    return str(options.get("init_lora_weights", "")).startswith(("pissa", "olora"))


def write_with_peft(base, options, folder):
    """Saves an adapter of PEFT's with random values → its logits."""
    torch.manual_seed(7)
    options = dict(options)
    raw = options.pop("raw", False)
    options.pop("read", None)
    copies = options.pop("copies", "auto")
    model = get_peft_model(copy.deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    start = None
    if moves_base(options) and not raw:
        start = folder.with_name(folder.name + "-start")
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(start)
        model.peft_config["default"].init_lora_weights = options["init_lora_weights"]
    with torch.no_grad():
        seen = set()  # a tied pair is one memory under two names
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.data_ptr() not in seen:
                seen.add(parameter.data_ptr())
                parameter.add_(torch.randn_like(parameter) * 0.2)
    result = logits(model)
    if start is None:
        model.save_pretrained(folder, save_embedding_layers=copies)
    else:
        model.save_pretrained(folder, path_initial_model_for_weight_conversion=str(start))
    return result


def read_with_peft(base, folder, theirs):
    """→ the logits with our adapter, and what is wrong with it; `theirs` is PEFT's file for the same configuration."""

    def load(path):
        return heard_while(lambda: PeftModel.from_pretrained(copy.deepcopy(base), path).eval())

    model, heard = load(folder)
    # What PEFT says to its own files too is about the model: that its embeddings are tied.
    faults = [f"PEFT warned: {line}" for line in heard if line not in load(theirs)[1]]
    written = load_file(folder / "adapter_model.safetensors")
    # Not save_embedding_layers: copies of the base are PEFT's idea, not ours.
    used = get_peft_model_state_dict(model, save_embedding_layers=False)
    if written.keys() != used.keys():
        faults.append(f"tensors written and used differ: {sorted(written.keys() ^ used.keys())[:4]}")
    return logits(model), faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runner", type=Path)
    parser.add_argument("--only", default="", help="run the configurations whose name has this word")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers_logging.disable_progress_bar()
    cases = {name: case for name, case in MATRIX.items() if arguments.only in name}

    with tempfile.TemporaryDirectory(prefix="lora-matrix-") as text:
        root = Path(text)
        bases = {name: make_base(name, root / name) for name in BASES}
        jobs, expected, failures = [], {}, []
        for name in BASES:
            jobs.append(dict(name=f"base {name}", model=str(root / name), tokens=TOKENS))
            expected[f"base {name}"] = logits(bases[name])
        for number, (name, (base, options)) in enumerate(cases.items()):
            common = dict(model=str(root / base), tokens=TOKENS)
            theirs, ours = root / f"{number}-peft", root / f"{number}-ours"
            expected["read " + name] = write_with_peft(bases[base], options, theirs)
            jobs.append(dict(name="read " + name, adapter=str(theirs), **common))
            # What we make is described by the configuration as PEFT writes it, untrained.
            if options.get("read"):
                continue
            plain = {key: value for key, value in options.items() if key not in ("init_lora_weights", "raw", "copies")}
            config = root / f"{number}-config"
            LoraConfig(task_type="CAUSAL_LM", **plain).save_pretrained(config)
            init = str(options.get("init_lora_weights", "")).lower()
            jobs.append(
                dict(name="write " + name, configuration=str(config / "adapter_config.json"), output=str(ours),
                     initialization=init, **common)
            )  # fmt: skip
        (root / "jobs.json").write_text(json.dumps(jobs))
        command = [arguments.runner, root / "jobs.json", root / "results.json", root / "logits.safetensors"]
        subprocess.run([str(part) for part in command], check=True)
        results = json.loads((root / "results.json").read_text())
        found = load_file(root / "logits.safetensors")

        largest, passed = 0.0, {"read": 0, "write": 0, "base": 0}
        for job in jobs:
            name = job["name"]
            direction, _, case = name.partition(" ")
            base = job["model"].rsplit("/", 1)[-1]
            faults = []
            if "error" in results[name]:
                failures.append((name, [results[name]["error"]]))
                continue
            if direction == "write":
                try:
                    expected[name], faults = read_with_peft(
                        bases[base], Path(job["output"]), job["output"].replace("-ours", "-peft")
                    )
                except Exception as error:  # whatever PEFT raises is a failure of this case alone
                    failures.append((name, [f"PEFT: {error}"]))
                    continue
                initial = json.loads((Path(job["output"]) / "adapter_config.json").read_text())["init_lora_weights"]
                if initial is not True:
                    faults.append(f"init_lora_weights is {initial}")
            difference = (found[name] - expected[name]).abs().max().item()
            effect = (expected[name] - expected[f"base {base}"]).abs().max().item()
            largest = max(largest, difference)
            if not difference <= TOLERANCE:
                faults.append(f"logits differ by {difference:.2e}")
            if direction != "base" and effect < LEAST_EFFECT:
                faults.append(f"the adapter changes the logits by {effect:.1e} only")
            merged = results[name]["merge_difference"]
            if merged is not None and not merged <= TOLERANCE:
                faults.append(f"merged, the logits differ by {merged:.2e}")
            # Whatever PEFT wrote is whole: we have nothing to warn of but copies of the base.
            faults += [f"we warned: {w}" for w in results[name]["warnings"] if not re.search("larger than|left out", w)]
            if faults:
                failures.append((name, faults))
            else:
                passed[direction] += 1
        for name, faults in failures:
            print(f"FAILED {name}")
            for fault in faults:
                print("    " + fault.replace("\n", "\n    "))
        print(
            f"{len(cases)} configurations: read {passed['read']}, written {passed['write']}, "
            f"bases {passed['base']} of {len(BASES)}; largest difference of a logit {largest:.1e}; "
            f"{'passed' if not failures else f'{len(failures)} FAILED'}"
        )
        sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

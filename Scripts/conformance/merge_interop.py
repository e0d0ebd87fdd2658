"""Proves with transformers and peft that what `lora merge`, `combine` and `extract` write is read, and says the same.

    python Scripts/conformance/merge_interop.py MODEL.gguf LORA_BINARY

(a) A random adapter on the GGUF, merged into f32, bf16 and f16, in shards: transformers loads the folder without a missing or
    unexpected tensor; its weights are those of PEFT's merge_and_unload within 1e-6 (f32) or their rounding (bf16, f16); its
    log-probabilities are PEFT's with the adapter; AutoTokenizer gives the ids that `lora score` gives; generate() runs.
(b) A folder in BF16 as the base: bit for bit PEFT's merge_and_unload. With tied embeddings: still tied.
(c) `lora combine`, every method: PEFT loads the result without a warning; cat and svd are Σ w·s·B·A.
(d) `lora extract` of base and merged model: PEFT loads the adapter, and the logits are the merged model's.
Exits 0 if all of it holds, else 1.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "fixtures"))
import demo_model  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from peft.tuners.lora import LoraLayer  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: E402

TEXTS = [
    "Hello 1234 world's <|im_start|>user\n東京は雨です。",
    "def f(x):\n\treturn x + 1  # ñ é 😀\n\n",
    "I'LL pay 12,345.67 € by 2024-03-01.<|im_end|>",
]
checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {what}")


def lora(binary, *arguments):
    process = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    check(process.returncode == 0, f"lora {' '.join(map(str, arguments))}\n{process.stderr}")
    return process.stdout


def load_base(gguf):
    return AutoModelForCausalLM.from_pretrained(
        str(Path(gguf).parent), gguf_file=Path(gguf).name, dtype=torch.float32
    ).eval()


def random_adapter(model, folder, **options):
    """Saves an adapter of random factors and gives the base back."""
    torch.manual_seed(len(options) + len(str(folder)))
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_A" in name:
                parameter.copy_(torch.randn(parameter.shape) / parameter.shape[1] ** 0.5)
            elif "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.02)
    adapted.save_pretrained(folder)
    return adapted.unload()


def load_adapter(model, folder):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adapted = PeftModel.from_pretrained(model, folder).eval()
    heard = [str(w.message) for w in caught if not issubclass(w.category, (FutureWarning, DeprecationWarning))]
    check(not heard, f"PEFT warned of {folder}: {heard}")
    return adapted


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits[0].float()


def difference(a, b):
    return (a - b).abs().max().item()


def check_gguf(gguf, binary, work):
    base = load_base(gguf)
    base = random_adapter(base, work / "adapter", r=8, lora_alpha=16, target_modules="all-linear")
    ids = torch.tensor([demo_model.tokenizer(gguf).encode(TEXTS[0]).ids])
    adapted = load_adapter(base, work / "adapter")
    expected = logits(adapted, ids).log_softmax(-1)
    merged = adapted.merge_and_unload().state_dict()
    for name, dtype, tolerance in (("f32", torch.float32, 1e-3), ("bf16", torch.bfloat16, 1.0), ("f16", torch.float16, 0.5)):
        folder = work / name
        lora(binary, "merge", "--model", gguf, "--adapter", work / "adapter", "--output", folder, "--dtype", name,
             "--max-shard-size", "150MB")  # fmt: skip
        check(len(list(folder.glob("model-*.safetensors"))) > 1, "shards")
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
        check(not any(info.values()), f"{name}: loading says {info}")
        check(model.dtype == dtype, f"{name}: transformers takes it for {model.dtype}")
        check(model.config.tie_word_embeddings, f"{name}: embeddings are no longer tied")
        worst = 0.0
        for key, value in model.state_dict().items():
            ours, theirs = value.float(), merged[key]
            if name == "f32":
                worst = max(worst, difference(ours, theirs))
            else:  # the same rounding, but where the sums before it differ in their last bit
                share = (ours != theirs.to(dtype).float()).float().mean().item()
                worst = max(worst, share)
        check(worst <= (1e-6 if name == "f32" else 1e-3), f"{name}: weights differ from merge_and_unload: {worst}")
        off = difference(logits(model.float(), ids).log_softmax(-1), expected)
        check(off <= tolerance, f"{name}: log-probabilities differ by {off}")
        print(f"merge into {name}: weights {worst:.1e}, log-probabilities within {off:.1e} of PEFT with the adapter")
    check_text(gguf, binary, work, tokenizer=AutoTokenizer.from_pretrained(work / "f32"))
    tokens = model.float().generate(ids, max_new_tokens=4, do_sample=False)
    check(tokens.shape[1] > ids.shape[1], "generate() of the merged model")
    check_extraction(gguf, binary, work, merged)


def check_text(gguf, binary, work, tokenizer):
    texts = [{"text": text} for text in TEXTS]
    chat = [{"messages": [{"role": "user", "content": TEXTS[0]}, {"role": "assistant", "content": TEXTS[1]}]}]
    for rows in (texts, chat):
        (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        scored = lora(binary, "score", "--model", gguf, "--data", work / "rows.jsonl").splitlines()
        for row, line in zip(rows, scored, strict=True):
            ours = json.loads(line)["tokens"]
            if "text" in row:
                theirs = tokenizer(row["text"])["input_ids"] + [tokenizer.eos_token_id]
            else:  # what follows the last supervised token may be left out
                theirs = tokenizer.apply_chat_template(row["messages"], tokenize=True)["input_ids"]
            check(ours == theirs[: len(ours)] and len(ours) >= len(theirs) - 1, f"ids of {row}: {ours} {theirs}")
    reference = demo_model.tokenizer(gguf)
    for text in TEXTS:
        check(reference.encode(text).ids == tokenizer(text)["input_ids"], f"ids of {text!r}")
    print(f"AutoTokenizer: the ids of `lora score` on {len(texts) + len(chat)} rows")


def check_extraction(gguf, binary, work, merged):
    lora(binary, "extract", "--model", gguf, "--tuned", work / "f32", "--rank", "8", "--output", work / "extracted")
    model = load_adapter(load_base(gguf), work / "extracted")
    with torch.no_grad():
        worst = max(
            difference(module.base_layer.weight + module.get_delta_weight("default"), merged[key + ".weight"])
            for key, module in model.base_model.model.named_modules()
            if isinstance(module, LoraLayer)
        )
    check(worst < 1e-5, f"extract: W + ΔW differs from the tuned model by {worst}")
    print(f"extract: PEFT's W + ΔW within {worst:.1e} of the tuned model")


def check_folders(binary, work):
    fixtures = ROOT / "Fixtures"
    base = fixtures / "folder" / "tied-f32"
    half = work / "half"
    model = LlamaForCausalLM.from_pretrained(base).to(torch.bfloat16)
    model.save_pretrained(half)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (half / name).write_bytes((base / name).read_bytes())
    model = random_adapter(model, work / "tiny", r=4, lora_alpha=6, target_modules="all-linear")
    expected = load_adapter(model, work / "tiny").merge_and_unload().state_dict()
    lora(binary, "merge", "--model", half, "--adapter", work / "tiny", "--output", work / "half-merged", "--force")
    ours, info = LlamaForCausalLM.from_pretrained(work / "half-merged", dtype="auto", output_loading_info=True)
    check(not any(info.values()), f"half-merged: loading says {info}")
    for key, value in ours.state_dict().items():
        check(torch.equal(value, expected[key]), f"{key} is not bit for bit PEFT's")
    print("merge of a BF16 folder: bit for bit merge_and_unload's")


def check_combinations(binary, work):
    fixtures = ROOT / "Fixtures" / "merging"
    base = LlamaForCausalLM.from_pretrained(fixtures / "base-bf16", dtype=torch.float32)
    methods = ["linear", "cat", "svd", "ties", "dare-linear", "dare-ties", "magnitude-prune"]
    for method in methods:
        lora(binary, "combine", "--adapters", f"{fixtures / 'a'}=0.7", f"{fixtures / 'b'}=-0.3", "--method", method,
             "--output", work / method)  # fmt: skip
        model = load_adapter(base, work / method)
        if method == "cat":
            model.load_adapter(fixtures / "a", "first")
            model.load_adapter(fixtures / "b", "second")
            with torch.no_grad():
                for module in model.modules():
                    if isinstance(module, LoraLayer) and "default" in module.lora_A:
                        exact = sum(
                            weight * module.get_delta_weight(name)
                            for name, weight in (("first", 0.7), ("second", -0.3))
                            if name in module.lora_A
                        )
                        check(difference(module.get_delta_weight("default"), exact) < 1e-5, f"{method}: ΔW")
        base = model.unload()
    print(f"combine: PEFT loads the results of {len(methods)} methods")


def main():
    gguf, binary = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        check_folders(binary, work)
        check_combinations(binary, work)
        check_gguf(gguf, binary, work)
    print(f"{checks} checks passed")


if __name__ == "__main__":
    main()

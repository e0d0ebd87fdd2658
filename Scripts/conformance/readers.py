"""Proves with llama.cpp and mlx-lm that `lora convert` and `lora merge` write what they read.

    Scripts/conformance/readers.sh [LORA_BINARY]       # installs the readers and runs this

The base is the tiny Llama of Fixtures/adapters (2 heads for keys under 4 for queries, so that a wrong order of rows
shows). PEFT makes adapters of it and says what their logits are; `lora convert` makes a GGUF file, an MLX folder and a
portable folder of each; llama.cpp, mlx-lm and PEFT load these with their own code, and their logits must be PEFT's.
Then every form is converted back, and its factors must be those of PEFT's file, bit for bit, where nothing was folded.
The same on a base whose head is its embedding: pairs of either are refused where a reader means another thing by them.
`lora merge` makes folders of bases whose rotation is no tool's default, folders and GGUF files: transformers and mlx-lm must
give PEFT's logits, and the tokenizer of a GGUF file's folder the tokens of Fixtures/tokenizer.
Exits 0 if all of it holds, else 1.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoTokenizer, LlamaForCausalLM  # noqa: E402
from transformers.utils import logging  # noqa: E402

logging.disable_progress_bar()
logging.set_verbosity_error()

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "fixtures"))
import adapters as tiny  # noqa: E402
import vocabularies  # noqa: E402

TOLERANCE = 1e-4
LEAST_EFFECT = 0.1
TOKENS = [1, 5, 17, 39, 3, 3, 28, 0, 11, 2]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# Name → (PEFT's options, whether the factors stay as they are in GGUF, in MLX, and the forms that refuse it).
CASES = {
    "plain": (dict(r=4, lora_alpha=8, target_modules=ALL), True, True, ()),
    "alpha that is no multiple of r": (dict(r=3, lora_alpha=5, target_modules=["q_proj", "k_proj"]), True, True, ()),
    "rsLoRA": (dict(r=6, lora_alpha=5, use_rslora=True, target_modules=ALL), True, True, ()),
    "one layer": (dict(r=2, lora_alpha=2, target_modules=["o_proj"], layers_to_transform=[1]), True, True, ()),
    "first layer": (dict(r=2, lora_alpha=6, target_modules=["k_proj"], layers_to_transform=[0]), True, True, ()),
    "ranks by pattern": (
        dict(r=4, lora_alpha=8, target_modules=ALL, rank_pattern={"q_proj": 2, "down_proj": 7}), True, False, ()),
    "alphas by pattern": (
        dict(r=4, lora_alpha=8, target_modules=ALL, alpha_pattern={"k_proj": 3, "up_proj": 32}), False, False, ()),
    "rsLoRA with patterns": (
        dict(r=4, lora_alpha=8, use_rslora=True, target_modules=ALL, rank_pattern={"v_proj": 2},
             alpha_pattern={"q_proj": 5}), False, False, ()),
    "head": (dict(r=4, lora_alpha=8, target_modules=["lm_head", "v_proj"]), True, True, ()),
    "embedding": (dict(r=4, lora_alpha=8, target_modules=["model.embed_tokens", "q_proj"]), True, True, ()),
    "regular expression": (
        dict(r=4, lora_alpha=8, target_modules=r".*\.1\.self_attn\.[qk]_proj"), True, True, ()),
    "DoRA": (dict(r=4, lora_alpha=8, use_dora=True, target_modules=ALL), None, True, ("gguf", "portable")),
    "bias of B": (dict(r=4, lora_alpha=8, lora_bias=True, target_modules=ALL), None, None, ("gguf", "mlx", "portable")),
    "module to save": (
        dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["lm_head"]), None, None,
        ("gguf", "mlx", "portable")),
    "trained tokens": (
        dict(r=4, lora_alpha=8, target_modules=["q_proj"], trainable_token_indices=[3, 5]), None, None,
        ("gguf", "mlx", "portable")),
}

# The same of a base whose head is its embedding.
TIED_CASES = {
    "plain": CASES["plain"],
    "head": (CASES["head"][0], None, None, ("gguf", "mlx")),
    "embedding": (CASES["embedding"][0], None, None, ("gguf", "mlx")),
    "DoRA": CASES["DoRA"],
}
BASES = {"": ({}, CASES), "tied: ": (dict(tie_word_embeddings=True), TIED_CASES)}

# Bases to merge into, as transformers 5 saves them, with rope_parameters alone: name → (configuration, targets).
ROTATION = dict(rope_type="default", rope_theta=12345.0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)  # fmt: skip
MERGES = {
    "theta": (dict(rope_parameters=ROTATION), ALL),
    "theta, tied": (dict(rope_parameters=ROTATION, tie_word_embeddings=True), ALL),
    "linear scaling": (dict(rope_parameters=ROTATION | dict(rope_type="linear", factor=4.0)), ALL),
    "Llama 3's scaling": (dict(rope_parameters=ROTATION | LLAMA3, tie_word_embeddings=True), ALL),
    "the head of a tied base": (dict(rope_parameters=ROTATION, tie_word_embeddings=True), ["lm_head", "k_proj"]),
    "no theta": (dict(tie_word_embeddings=True), ["model.embed_tokens", "v_proj"]),
}
TOKENIZER = ROOT / "Fixtures" / "folder" / "tied-f32"  # 269 tokens


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def peft_logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float().numpy()


def make_adapter(name, options, folder, base):
    """An adapter of PEFT's with every trained number drawn, and its logits."""
    model = get_peft_model(tiny.make_base(**base), LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.requires_grad:
                drawn = tiny.draw(name + key, parameter.shape, 0.25)
                parameter.copy_(parameter * (1 + drawn.abs()) if "magnitude" in key else drawn)
    model.save_pretrained(folder)
    return peft_logits(model)


class LlamaCpp:
    """The base in llama.cpp, float32, on one thread."""

    def __init__(self, path):
        import xllamacpp.xllamacpp  # llama.cpp itself, for old Linux too
        from llama_cpp_py_sync._cffi_bindings import ffi  # its declarations

        self.ffi, self.lib = ffi, ffi.dlopen(xllamacpp.xllamacpp.__file__)
        self.quiet = ffi.callback("void(int, const char *, void *)", lambda *_: None)
        self.lib.llama_log_set(ffi.cast("ggml_log_callback", self.quiet), ffi.NULL)
        self.lib.llama_backend_init()
        parameters = self.lib.llama_model_default_params()
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), parameters)
        assert self.model != self.ffi.NULL, "llama.cpp does not load the base"

    def logits(self, adapter=None):
        parameters = self.lib.llama_context_default_params()
        parameters.n_ctx, parameters.n_threads, parameters.type_k, parameters.type_v = 64, 1, 0, 0
        parameters.flash_attn_type = 0
        context = self.lib.llama_init_from_model(self.model, parameters)
        assert context != self.ffi.NULL
        try:
            if adapter:
                loaded = self.lib.llama_adapter_lora_init(self.model, str(adapter).encode())
                if loaded == self.ffi.NULL:
                    return None
                adapters = self.ffi.new("struct llama_adapter_lora *[]", [loaded])
                scales = self.ffi.new("float[]", [1.0])
                assert self.lib.llama_set_adapters_lora(context, adapters, 1, scales) == 0
            batch = self.lib.llama_batch_init(len(TOKENS), 0, 1)
            batch.n_tokens = len(TOKENS)
            for i, token in enumerate(TOKENS):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
                batch.seq_id[i][0] = 0
            assert self.lib.llama_decode(context, batch) == 0
            count = tiny.CONFIG.vocab_size
            rows = [
                np.frombuffer(
                    self.ffi.buffer(self.lib.llama_get_logits_ith(context, i), 4 * count), np.float32
                ).copy()
                for i in range(len(TOKENS))
            ]
            self.lib.llama_batch_free(batch)
            return np.stack(rows)
        finally:
            self.lib.llama_free(context)


def mlx_logits(base, adapter=None):
    import mlx.core as mx
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model

    mx.set_default_device(mx.cpu)
    model, _ = load_model(Path(base))
    if adapter:
        model = load_adapters(model, str(adapter))
    model.eval()
    return np.array(model(mx.array([TOKENS]))[0].astype(mx.float32))


def base_for_llama_cpp(model, path):
    """The base with the key that says there is no tokenizer, which llama.cpp asks for; a tied head counts once."""
    import gguf

    plain = path.with_name("plain.gguf")
    tiny.write_gguf(model, plain)
    reader = gguf.GGUFReader(plain)
    writer = gguf.GGUFWriter(path, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        writer.add_key_value(key, field.contents(), field.types[0])
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(tiny.CONFIG.vocab_size)
    for tensor in reader.tensors:
        if tensor.name != "output.weight" or not model.config.tie_word_embeddings:
            writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check_gguf(path, base):
    """What llama.cpp's loader looks for, through the package `gguf`."""
    import gguf

    reader = gguf.GGUFReader(path)
    wanted = {"general.type": "adapter", "adapter.type": "lora", "general.architecture": "llama"}
    for key, value in wanted.items():
        assert reader.fields[key].contents() == value, key
    assert reader.fields["adapter.lora.alpha"].types[0] == gguf.GGUFValueType.FLOAT32
    names = {tensor.name for tensor in reader.tensors}
    for name in names:
        assert name.removesuffix(".lora_a") + ".lora_b" in names or name.endswith(".lora_b"), name
    shapes = {tensor.name: list(map(int, tensor.shape)) for tensor in reader.tensors}
    base = {tensor.name: list(map(int, tensor.shape)) for tensor in gguf.GGUFReader(base).tensors}
    for name in {name.rsplit(".", 1)[0] for name in names}:
        a, b, of_base = shapes[name + ".lora_a"], shapes[name + ".lora_b"], base[name]
        if name == "token_embd.weight":
            assert of_base[0] == b[1] and of_base[1] == a[1], name
        else:
            assert of_base[0] == a[0] and of_base[1] == b[1] and a[1] == b[0], name


class Proof:
    def __init__(self, lora, work):
        self.lora, self.place = lora, work
        self.failures, self.checks = [], 0

    def use_base(self, title, options):
        """Makes the base of the cases that follow."""
        self.title, self.options = title, options
        self.work = self.place / (title.strip(": ") or "base")
        self.base = self.work / "base"
        model = tiny.make_base(**options)
        model.save_pretrained(self.base)
        self.base_logits = peft_logits(model)
        base_for_llama_cpp(model, self.work / "base.gguf")
        self.llama = LlamaCpp(self.work / "base.gguf")
        self.compare("the base in llama.cpp", self.llama.logits(), self.base_logits)
        self.compare("the base in mlx-lm", mlx_logits(self.base), self.base_logits)

    def note(self, name, fault):
        self.checks += 1
        if fault:
            self.failures.append(f"{self.title}{name}: {fault}")

    def compare(self, name, actual, expected):
        if actual is None:
            return self.note(name, "the reader refuses the adapter")
        worst = float(np.abs(actual - expected).max())
        self.worst = max(getattr(self, "worst", 0.0), worst)
        self.note(name, None if worst <= TOLERANCE else f"logits differ by {worst:.2g}")

    def case(self, name, options, same_in_gguf, same_in_mlx, refused):
        folder = self.work / name.replace(" ", "-")
        expected = make_adapter(name, options, folder / "peft", self.options)
        assert np.abs(expected - self.base_logits).max() > LEAST_EFFECT, name
        for target in ("gguf", "mlx", "portable"):
            output = folder / (target + (".gguf" if target == "gguf" else ""))
            made = run(self.lora, "convert", folder / "peft", "--to", target, "--output", output, "--model", self.base)
            if target in refused:
                refuses = made.returncode != 0 and "hint: " in made.stderr and not output.exists()
                self.note(f"{name} → {target}", None if refuses else "is not refused: " + made.stdout + made.stderr)
                continue
            if made.returncode != 0:
                self.note(f"{name} → {target}", made.stderr.strip())
                continue
            self.read(f"{name} → {target}", target, output, expected)
            exact = {"gguf": same_in_gguf, "mlx": same_in_mlx}.get(target, False)
            if target != "portable":
                self.back(f"{name} → {target} → peft", folder, output, expected, exact)

    def wrong_heads(self):
        """The proof of the proof: rows in the order of other heads, of the same shapes, are seen by the logits."""
        settings = json.loads((self.base / "config.json").read_text())
        settings.update(num_attention_heads=2, num_key_value_heads=1, head_dim=8)
        other, folder = self.work / "other", self.work / "wrong-heads"
        other.mkdir()
        (other / "config.json").write_text(json.dumps(settings))
        options = dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj"])
        expected = make_adapter("wrong heads", options, folder, self.options)
        made = run(self.lora, "convert", folder, "--to", "gguf", "--output", folder / "a.gguf", "--model", other)
        off = np.abs(self.llama.logits(folder / "a.gguf") - expected).max() if made.returncode == 0 else 0
        self.note("an adapter with its rows in a wrong order", None if off > LEAST_EFFECT else "is not noticed")

    def read(self, name, target, output, expected):
        try:
            if target == "gguf":
                check_gguf(output, self.work / "base.gguf")
                self.compare(name, self.llama.logits(output), expected)
            elif target == "mlx":
                self.compare(name, mlx_logits(self.base, output), expected)
            else:
                settings = json.loads((output / "adapter_config.json").read_text())
                plain = settings["r"] == settings["lora_alpha"] and not settings["use_rslora"]
                patterns = settings["rank_pattern"] or settings["alpha_pattern"]
                self.note(name, None if plain and not patterns else "is not portable")
                self.compare(name, self.with_peft(output), expected)
        except Exception as error:  # a reader's own error is the finding
            self.note(name, f"{type(error).__name__}: {error}")

    def with_peft(self, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            # True of every adapter of such a layer; PEFT merges them wrongly, `lora merge` does not.
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings=True.*")
            return peft_logits(PeftModel.from_pretrained(tiny.make_base(**self.options), folder).eval())

    def merge(self, name, options, targets):
        """A merged model in transformers and in mlx-lm; the base itself is one that mlx-lm reads otherwise."""
        self.title = "merge: "
        folder = self.place / "merge" / name.replace(" ", "-")
        options = dict(options, vocab_size=269)
        tiny.make_base(**options).save_pretrained(folder / "base")
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(TOKENIZER / file, folder / "base" / file)
        expected = make_adapter(name, dict(r=4, lora_alpha=8, target_modules=targets), folder / "peft", options)
        base = folder / "base"
        self.read_merged(name, base, folder, expected)
        if targets == ALL:
            made = run(self.lora, "convert", folder / "peft", "--to", "mlx", "--output", folder / "mlx", "--model", base)
            warned = made.returncode == 0 and "mlx-lm does not read rope_parameters" in made.stderr
            self.note(f"{name}: the base in mlx-lm", None if warned else "no warning: " + made.stderr)

    def merge_gguf(self, fixture, name):
        """The same of a GGUF file; the folder's tokenizer must give the tokens of the fixture."""
        self.title = "merge from GGUF: "
        folder = self.place / "merge-gguf" / name
        folder.mkdir(parents=True)
        options = dict(vocab_size=600, rope_parameters=ROTATION)
        base = folder / "base.gguf"
        tiny.write_gguf(tiny.make_base(**options), base, lambda writer: vocabularies.add_vocabulary(writer, name))
        expected = make_adapter(name, dict(r=4, lora_alpha=8, target_modules=ALL), folder / "peft", options)
        if not self.read_merged(name, base, folder, expected):
            return
        tokenizer = AutoTokenizer.from_pretrained(folder / "merged")
        for case in vocabularies.cases(fixture):
            ids = tokenizer(case["t"])["input_ids"]
            if ids != case.get("b", case["i"]):
                return self.note(f"{name}: its tokenizer", f"{case['t']!r} becomes {ids}")
        self.note(f"{name}: its tokenizer", None)

    def read_merged(self, name, base, folder, expected):
        output = folder / "merged"
        made = run(self.lora, "merge", "--model", base, "--adapter", folder / "peft", "--output", output)
        if made.returncode != 0:
            return self.note(name, made.stderr.strip())
        merged, notes = LlamaForCausalLM.from_pretrained(output, dtype="auto", output_loading_info=True)
        self.note(f"{name} in transformers", f"loading says {notes}" if any(notes.values()) else None)
        self.compare(f"{name} in transformers", peft_logits(merged.eval()), expected)
        self.compare(f"{name} in mlx-lm", mlx_logits(output), expected)
        return True

    def back(self, name, folder, output, expected, exact):
        again = folder / ("back-from-" + output.suffix.lstrip(".") if output.suffix else "back-from-mlx")
        made = run(self.lora, "convert", output, "--to", "peft", "--output", again, "--model", self.base)
        if made.returncode != 0:
            return self.note(name, made.stderr.strip())
        self.compare(name, self.with_peft(again), expected)
        if exact:
            old, new = (load_file(path / "adapter_model.safetensors") for path in (folder / "peft", again))
            old = {key: value for key, value in old.items() if "base_layer" not in key}
            same = old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in old)
            self.note(name, None if same else "the factors are not those that PEFT wrote")


def main():
    lora = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        proof = Proof(lora, Path(folder))
        for title, (options, cases) in BASES.items():
            proof.use_base(title, options)
            for name, case in cases.items():
                proof.case(name, *case)
            proof.wrong_heads()
        for name, (options, targets) in MERGES.items():
            proof.merge(name, options, targets)
        for fixture, names in vocabularies.NAMES.items():
            if fixture != "tiny-default":  # tokenizer.json has no spelling for it: refused
                proof.merge_gguf(fixture, names[0])
    for failure in proof.failures:
        print("FAILED", failure)
    print(f"{proof.checks - len(proof.failures)} passed, {len(proof.failures)} failed; logits within {proof.worst:.2g}")
    sys.exit(1 if proof.failures else 0)


if __name__ == "__main__":
    main()

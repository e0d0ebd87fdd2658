"""Compares the cases of Fixtures/tokenizer with what llama.cpp makes of the same GGUF vocabularies.

    python Scripts/conformance/vocabularies.py [MODEL.gguf]      # run by readers.sh

The fixtures' oracle is Hugging Face's `tokenizers` under the rule that a name in `tokenizer.ggml.pre` stands for; this proves
that llama.cpp gives the name the same meaning. transformers' `gguf_file` is no oracle for tokens: it reads a name that it
does not know as GPT-2's rule, without a word. MODEL.gguf: the demo model, whose own vocabulary is compared too.
Exits 0 if no text differs, else 1; texts with code points that are unassigned may, since each side has the tables of its
own version of Unicode.
"""

import json
import sys
import tempfile
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Fixtures" / "tokenizer"
# Every name that Sources/LoRAText/Tokenizers/PreTokenizer.swift knows, by the fixture that has its cases.
NAMES = {
    "tiny-gpt-2": ["gpt-2"],
    "tiny-smollm": ["smollm", "starcoder", "refact", "command-r"],
    "tiny-llama-bpe": ["llama-bpe", "llama3", "llama-v3"],
    "tiny-qwen2": ["qwen2"],
    "tiny-default": ["default"],
}


class Vocabulary:
    """A GGUF file's vocabulary in llama.cpp."""

    def __init__(self, path):
        import xllamacpp.xllamacpp
        from llama_cpp_py_sync._cffi_bindings import ffi

        self.ffi, self.lib = ffi, ffi.dlopen(xllamacpp.xllamacpp.__file__)
        self.quiet = ffi.callback("void(int, const char *, void *)", lambda *_: None)
        self.lib.llama_log_set(ffi.cast("ggml_log_callback", self.quiet), ffi.NULL)
        self.lib.llama_backend_init()
        parameters = self.lib.llama_model_default_params()
        parameters.vocab_only = True
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), parameters)
        assert self.model != ffi.NULL, f"llama.cpp does not load {path}"
        self.vocabulary = self.lib.llama_model_get_vocab(self.model)

    def encode(self, text):
        data = text.encode()
        room = self.ffi.new("int32_t[]", len(data) + 8)
        count = self.lib.llama_tokenize(self.vocabulary, data, len(data), room, len(data) + 8, False, True)
        assert count >= 0
        return list(room[0:count])


def add_vocabulary(writer, name):
    """The fixture's vocabulary under the rule of a name."""
    model = json.loads((FIXTURES / "tiny-model.json").read_text())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(model["tokens"])
    writer.add_token_types(model["token_types"])
    writer.add_token_merges(model["merges"])
    writer.add_bos_token_id(model["bos"])
    writer.add_eos_token_id(model["eos"])


def write_vocabulary(path, name):
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    for add in (writer.add_context_length, writer.add_embedding_length, writer.add_feed_forward_length):
        add(16)
    for add in (writer.add_block_count, writer.add_head_count, writer.add_head_count_kv):
        add(1)
    writer.add_layer_norm_rms_eps(1e-5)
    add_vocabulary(writer, name)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def cases(name):
    return [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").read_text().split("\n") if line]


def compare(title, vocabulary, cases):
    other = [case for case in cases if vocabulary.encode(case["t"]) != case["i"]]
    wrong = [case for case in other if not any(unicodedata.category(c) == "Cn" for c in case["t"])]
    print(f"{title}: {len(cases) - len(other)} of {len(cases)} texts, {len(other) - len(wrong)} of unassigned characters")
    for case in wrong[:20]:
        print("  differs:", repr(case["t"])[:120], vocabulary.encode(case["t"])[:12], case["i"][:12])
    return len(wrong)


def main():
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for fixture, names in NAMES.items():
            for name in names:
                path = Path(folder) / f"{name}.gguf"
                write_vocabulary(path, name)
                wrong += compare(f"llama.cpp, {name}", Vocabulary(path), cases(fixture))
    if len(sys.argv) > 1:
        for fixture in ("smollm2-chosen", "smollm2-random"):
            wrong += compare(f"llama.cpp, {fixture}", Vocabulary(sys.argv[1]), cases(fixture))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# transformers' `gguf_file` tokenizer takes a `tokenizer.ggml.pre` that it does not know for GPT-2's rule, and says nothing.
#
# The key names the rule that cuts a text before merging. llama.cpp knows "smollm" (digits are cut off first: SmolLM, SmolLM2);
# transformers looks the name up in a list of its own and, where it is missing, keeps the pre-tokenizer of the class it chose.
# Texts without digits give the same tokens, so that a test on prose passes.
#
# Installs the pinned packages into a temporary folder. Seen on Linux x86-64, Python 3.11:
#   transformers 5.23.0, tokenizers 0.23.3, llama.cpp of xllamacpp 2026.10.11549
#   'a  1' under "smollm": llama.cpp ['a', 'ĠĠ', '1'], transformers ['a', 'Ġ', 'Ġ', '1']
#   pre-tokenizer in transformers: ByteLevel with its regular expression, the same as under "gpt-2"
# Exits 0 while that is so, else 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 gguf==0.19.0 cffi==2.1.1
"$place/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps xllamacpp==2026.10.11549 llama-cpp-py-sync==0.11548
HF_HUB_OFFLINE=1 "$place/venv/bin/python" - "$place" <<'PYTHON' 2>"$place/errors" || { cat "$place/errors" >&2; exit 1; }
import sys
from importlib.metadata import version

import gguf
import xllamacpp.xllamacpp
from llama_cpp_py_sync._cffi_bindings import ffi
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

place = sys.argv[1]
tokens = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠĠ"]


def write(pre):
    writer = gguf.GGUFWriter(f"{place}/{pre}.gguf", "llama")
    for add in (writer.add_context_length, writer.add_embedding_length, writer.add_feed_forward_length):
        add(16)
    for add in (writer.add_block_count, writer.add_head_count, writer.add_head_count_kv):
        add(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def of_transformers(pre):
    return AutoTokenizer.from_pretrained(place, gguf_file=f"{pre}.gguf")


lib = ffi.dlopen(xllamacpp.xllamacpp.__file__)
quiet = ffi.callback("void(int, const char *, void *)", lambda *_: None)
lib.llama_log_set(ffi.cast("ggml_log_callback", quiet), ffi.NULL)
lib.llama_backend_init()


def of_llama_cpp(pre, text):
    parameters = lib.llama_model_default_params()
    parameters.vocab_only = True
    model = lib.llama_model_load_from_file(f"{place}/{pre}.gguf".encode(), parameters)
    room = ffi.new("int32_t[]", 64)
    count = lib.llama_tokenize(lib.llama_model_get_vocab(model), text.encode(), len(text.encode()), room, 64, False, True)
    return [tokens[i] for i in room[0:count]]


for pre in ("gpt-2", "smollm"):
    write(pre)
text = "a  1"
theirs = [tokens[i] for i in of_transformers("smollm")(text, add_special_tokens=False)["input_ids"]]
ours = of_llama_cpp("smollm", text)
rule = str(of_transformers("smollm").backend_tokenizer.pre_tokenizer)
print("transformers", version("transformers") + ", tokenizers", version("tokenizers") + ", xllamacpp", version("xllamacpp"))
print(f'{text!r} under "smollm": llama.cpp {ours}, transformers {theirs}')
print("pre-tokenizer in transformers:", rule)
assert ours == ["a", "ĠĠ", "1"], "llama.cpp has another rule now"
assert theirs == ["a", "Ġ", "Ġ", "1"] == of_llama_cpp("gpt-2", text), "transformers knows smollm now"
assert rule == str(of_transformers("gpt-2").backend_tokenizer.pre_tokenizer)
print("unchanged: transformers reads an unknown tokenizer.ggml.pre as GPT-2's rule")
PYTHON

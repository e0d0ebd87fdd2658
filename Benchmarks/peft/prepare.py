"""What both programs read, made once in a cache folder: rows as tokens, and the model as a folder for transformers.

The folder holds the weights of the demo model's GGUF, dequantised by transformers, in float32: PEFT loads it faster than
the GGUF. The rows are text of Examples/orders; those of "chat" are conversations of several orders, 100–250 tokens long,
and carry loss on the answers only.
"""

import json
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "fixtures"))
import demo_model  # noqa: E402

STEPS = 3  # different rows for so many steps; then from the start again
SHAPES = {"4x512": (4, 512), "8x128": (8, 128), "1x4096": (1, 4096)}


def conversations(path):
    """Yields conversations of 1 to 4 orders behind one system message, without end."""
    with open(ROOT / "Examples" / "orders" / "train.jsonl", encoding="utf-8") as file:
        orders = [json.loads(line)["messages"] for line in file]
    chooser = random.Random(5)
    while True:
        chosen = chooser.sample(orders, chooser.randint(1, 4))
        yield chosen[0][:1] + [message for order in chosen for message in order[1:]]


def chat_rows(path, encoder, count):
    rows = []
    for messages in conversations(path):
        ids, mask = demo_model.encode_messages(path, encoder, messages)
        if 100 <= len(ids) <= 250:
            rows.append({"tokens": ids, "mask": mask})
        if len(rows) == count:
            return rows


def text_rows(path, encoder, rows, length):
    ids = []
    for messages in conversations(path):
        ids += encoder.encode(demo_model.render(path, messages), add_special_tokens=False).ids
        if len(ids) >= rows * length:
            break
    mask = [0] + [1] * (length - 1)
    return [{"tokens": ids[i * length : (i + 1) * length], "mask": mask} for i in range(rows)]


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def save_model(path, encoder, folder):
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    dequantised = demo_model.load(path, "float32")
    # transformers does not write what it read from a GGUF: the weights go into a model that has no such past.
    config = dequantised.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(dequantised.state_dict())
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=encoder, eos_token="<|im_end|>")
    tokenizer.chat_template = demo_model.fields(path)["tokenizer.chat_template"].contents()
    tokenizer.save_pretrained(folder)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    path = demo_model.path()
    encoder = demo_model.tokenizer(path)
    for name, (rows, length) in SHAPES.items():
        write(folder / f"{name}.jsonl", text_rows(path, encoder, rows * STEPS, length))
    write(folder / "chat.jsonl", chat_rows(path, encoder, 8 * STEPS))
    if not (folder / "model" / "tokenizer.json").exists():
        save_model(path, encoder, folder / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

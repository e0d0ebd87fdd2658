"""Makes Examples/orders: a sentence about an order → strict JSON, the task of `make demo`.

    python3 Scripts/demo/make_orders.py            # writes train.jsonl and test.jsonl
    python3 Scripts/demo/make_orders.py --stats    # and prints tokens per row (needs demo model and requirements.txt)

Only the standard library, one seed: the same bytes on every run. The answers follow from how a sentence is built: a
frame (what is said, in which order), a noun phrase (quantity, colour, item) and a phrase about urgency.
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "Examples" / "orders"
SEED = 2024
TRAIN_ROWS, TEST_ROWS = 480, 64
SYSTEM = "Write the order as JSON."

# Singular and plural; the answer holds the singular.
ITEMS = dict(
    pair.split("/")
    for pair in """
    mug/mugs lamp/lamps chair/chairs umbrella/umbrellas notebook/notebooks backpack/backpacks pillow/pillows
    towel/towels blanket/blankets bottle/bottles candle/candles basket/baskets curtain/curtains desk/desks tent/tents
    hat/hats jacket/jackets scarf/scarves shelf/shelves brush/brushes box/boxes vase/vases plate/plates bowl/bowls
    clock/clocks helmet/helmets bicycle/bicycles suitcase/suitcases sofa/sofas carpet/carpets kettle/kettles
    knife/knives watch/watches pen/pens folder/folders apron/aprons bench/benches ladder/ladders bucket/buckets
    cushion/cushions
    """.split()
)
COLORS = "red blue green yellow black white orange purple brown grey pink silver".split()
CITIES = """Oslo Rome Berlin Madrid Paris Lisbon Vienna Dublin Athens Prague Warsaw Helsinki Geneva Munich Milan Naples
Hamburg Lyon Porto Seville Krakow Toronto Boston Chicago Denver Seattle Dallas Tokyo Osaka Sydney Cairo Lima""".split()
WORDS = {
    2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten", 11: "eleven",
    12: "twelve", 13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen", 18: "eighteen", 20: "twenty",
    25: "twenty-five", 30: "thirty", 40: "forty", 50: "fifty", 60: "sixty", 100: "a hundred",
}  # fmt: skip
DIGITS = [*range(2, 25), 28, 30, 32, 36, 40, 45, 48, 50, 64, 75, 80, 90, 100, 120, 150, 200, 250, 300]
UNKNOWN = ["some", "some more", "several", "a few"]

# {np} noun phrase, {Np} capitalised, {city}, {other} a city that does not count, {wrong} a colour that does not count,
# {few} a number that does not count, {items} the plural, {color}. The frame decides which facts there are.
CITY_FRAMES = """
Please send {np} to {city}.
Can you ship {np} to {city}?
We need {np} in {city}.
I would like to order {np} for our office in {city}.
{Np} for the shop in {city}, please.
Our customer in {city} wants {np}.
The {city} branch asked for {np}.
For {city}: {np}.
Deliver {np} to my address in {city}.
Hi, I live in {city} and I want to buy {np}.
My sister in {city} is waiting for {np}.
In {city} they are still missing {np}.
{city} called, they want {np}.
Could our team in {city} get {np}?
To {city}, please: {np}.
Good morning, {np} should go to {city}.
The hotel in {city} ordered {np}.
I'm opening a café in {city} and need {np}.
Ship to {city}. Contents: {np}.
How soon can {np} be in {city}?
Put {np} on the truck to {city}.
A school in {city} is asking for {np}.
Send me {np}; I am in {city}.
We moved from {other} to {city}, so send {np} there.
Send {np} to {city}, not to {other}.
Not {other} but {city} is where {np} should go.
The order from {other} was cancelled, but {city} still wants {np}.
""".strip().splitlines()
PLAIN_FRAMES = """
I'd like {np}.
Please add {np} to my basket.
Could I get {np}?
We have run out, so send {np}.
{Np}, please.
Do you still have {np}? I'll take them.
Put me down for {np}.
My order is {np}.
I want to buy {np} for my mother.
We are looking for {np}.
""".strip().splitlines()
# These spell out quantity, colour and item themselves: a known quantity above one, and a colour where they name it.
SPELLED_FRAMES = """
Send the {items} in {color} to {city}, {n} of them.
{Items}, {n} in total, {color}, for {city}.
I need {items} in {city}: {n} pieces, colour {color}.
Customer from {city}: {items}, {color}, quantity {n}.
We want the {color} {items}, not the {wrong} ones, {n} pieces to {city}.
No {wrong} ones, please: {n} {color} {items} to {city}.
I said {few} {items}, but make it {n}, in {color}, for {city}.
Not {few} but {n} {color} {items} for {city}.
The {items} for {city} should be {color}, and we need {n}.
{n} times the {color} {item}, ship to {city}.
Order: {item}, {color}, {n}.
I changed my mind: {n} {items} in {color} instead of {wrong}.
Not {few}, I need {n} {items} in {city}.
{Items} to {city}, {n} of them, any colour will do.
""".strip().splitlines()

URGENT_BEFORE = ["Urgent!", "This is urgent.", "Rush order:", "As fast as you can:", "Top priority:"]
URGENT_AFTER = [
    "It is urgent.", "As soon as possible, please.", "We need it today.", "Please hurry.", "This can't wait.", "ASAP!",
    "I am in a hurry.", "Express delivery, please.", "It has to be there tomorrow morning.", "Time is short.",
]  # fmt: skip
CALM_BEFORE = ["No hurry:", "Nothing urgent:", "Hello,", "Dear team,"]
CALM_AFTER = [
    "There is no hurry.", "It is not urgent.", "Take your time.", "Whenever you can.", "There is no rush.",
    "Next month is fine.", "Thank you!", "It can wait.", "Standard delivery is fine.", "This is not an emergency.",
]  # fmt: skip


def with_article(words):
    return ("an " if words[0] in "aeiou" and not words.startswith("uni") else "a ") + words


def spell(rng, quantity):
    """One way of writing a quantity of at least two."""
    ways = [str(quantity)]
    if quantity in WORDS:
        ways += [WORDS[quantity]] * 2
    ways += {2: ["a pair of", "a couple of"], 6: ["half a dozen"], 12: ["a dozen"], 24: ["two dozen"]}.get(quantity, [])
    return rng.choice(ways)


def noun_phrase(rng, facts):
    item, quantity, color = facts["item"], facts["quantity"], facts["color"]
    described = f"{color} {item}" if color else item
    plural = f"{color} {ITEMS[item]}" if color else ITEMS[item]
    if quantity is None:
        return f"{rng.choice(UNKNOWN)} {plural}"
    if quantity == 1:
        return rng.choice([with_article(described), f"one {described}", f"1 {described}", f"a single {described}"])
    return f"{spell(rng, quantity)} {plural}"


def other_than(rng, value, values):
    return rng.choice([v for v in values if v != value])


def capitalised(text):
    return text[0].upper() + text[1:]


def frames():
    """All frames with the facts that they leave open or need."""
    for text in CITY_FRAMES:
        yield text, "city"
    for text in PLAIN_FRAMES:
        yield text, "plain"
    for text in SPELLED_FRAMES:
        yield text, "spelled"


def draw(rng, frame, kind):
    """One row: (facts in the order of the answer's keys, sentence)."""
    facts = {
        "item": rng.choice(list(ITEMS)),
        "quantity": rng.choice([1, 1, None, *rng.sample(DIGITS[:11], 5), *rng.sample(DIGITS, 6)]),
        "color": rng.choice([*COLORS, None, None, None]),
        "city": rng.choice(CITIES) if "{city}" in frame else None,
        "urgent": False,
    }
    if kind == "spelled":
        facts["quantity"] = rng.choice(DIGITS)
        facts["color"] = rng.choice(COLORS) if "{color}" in frame else None
    if "take them" in frame and facts["quantity"] == 1:
        facts["quantity"] = 4
    quantity = facts["quantity"]
    written = spell(rng, quantity) if kind == "spelled" else ""
    if kind == "spelled" and written.endswith(" of"):  # "a pair of of them"
        written = WORDS[quantity]
    phrase = noun_phrase(rng, facts)
    sentence = frame.format(
        np=phrase, Np=capitalised(phrase), city=facts["city"], color=facts["color"], item=facts["item"],
        items=ITEMS[facts["item"]], Items=capitalised(ITEMS[facts["item"]]), n=written,
        other=other_than(rng, facts["city"], CITIES), wrong=other_than(rng, facts["color"], COLORS),
        few=spell(rng, other_than(rng, quantity, [2, 3, 4, 5, 8, 10])).removesuffix(" of"),
    )  # fmt: skip
    manner = rng.random()
    facts["urgent"] = manner < 0.4
    if manner < 0.12:
        sentence = f"{rng.choice(URGENT_BEFORE)} {sentence}"
    elif manner < 0.4:
        sentence = f"{sentence} {rng.choice(URGENT_AFTER)}"
    elif manner < 0.47:
        sentence = f"{rng.choice(CALM_BEFORE)} {sentence}"
    elif manner < 0.72:
        sentence = f"{sentence} {rng.choice(CALM_AFTER)}"
    return facts, capitalised(sentence)


def combinations(facts):
    """What a test row may not share with a training row: the whole combination, and item with city (or with colour)."""
    item, city, color = facts["item"], facts["city"], facts["color"]
    yield item, facts["quantity"], color, city
    if city:
        yield item, city
    elif color:
        yield item, color, None


def rows(rng, count, used, avoid=frozenset()):
    """`count` rows, every frame about equally often, no sentence of `used`, no combination of `avoid`."""
    deck, result = [], []
    while len(result) < count:
        if not deck:
            deck = list(frames())
            rng.shuffle(deck)
        frame, kind = deck.pop()
        for _ in range(1000):
            facts, sentence = draw(rng, frame, kind)
            if sentence not in used and avoid.isdisjoint(combinations(facts)):
                break
        else:
            raise SystemExit(f"no new sentence for the frame {frame!r}")
        used.add(sentence)
        result.append((facts, sentence))
    return result


def as_line(facts, sentence):
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": sentence},
        {"role": "assistant", "content": json.dumps(facts, ensure_ascii=False)},
    ]
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


def print_statistics(train, test):
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))
    import demo_model

    model = demo_model.path()
    encoder = demo_model.tokenizer(model)
    for name, part in (("train", train), ("test", test)):
        sizes = []
        for row in part:
            ids, mask = demo_model.encode_messages(model, encoder, json.loads(as_line(*row))["messages"])
            sizes.append((len(ids), sum(mask)))
        tokens, supervised = zip(*sizes)
        print(f"{name}: {len(part)} rows, {sum(tokens)} tokens, {sum(supervised)} supervised")
        print(f"  longest row {max(tokens)}, longest answer {max(supervised)}, mean row {sum(tokens) / len(part):.1f}")
        for key in ("quantity", "color", "city"):
            print(f"  {key} null: {sum(facts[key] is None for facts, _ in part) / len(part):.0%}", end="")
        print(f"  urgent: {sum(facts['urgent'] for facts, _ in part) / len(part):.0%}")
    print("rows per item:", sorted(Counter(facts["item"] for facts, _ in train).values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stats", action="store_true", help="print tokens per row")
    arguments = parser.parse_args()
    rng = random.Random(SEED)
    used = set()
    train = rows(rng, TRAIN_ROWS, used)
    test = rows(rng, TEST_ROWS, used, {c for facts, _ in train for c in combinations(facts)})
    OUT.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", train), ("test", test)):
        with open(OUT / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as file:
            file.writelines(as_line(*row) for row in part)
    if arguments.stats:
        print_statistics(train, test)


if __name__ == "__main__":
    main()

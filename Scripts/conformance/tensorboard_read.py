"""Compares what TensorBoard reads of a run with the run's metrics.jsonl: every scalar of every step.

python Scripts/conformance/tensorboard_read.py RUN_FOLDER
"""

import json
import math
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    folder = Path(sys.argv[1])
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    expected = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        figures = json.loads(line)
        for key, value in figures.items():
            if key != "step":
                tag = "eval/" + key[5:] if key.startswith("eval_") else "train/" + key
                expected.setdefault(tag, []).append((figures["step"], value))
    tags = events.Tags()["scalars"]
    assert sorted(tags) == sorted(expected), (tags, sorted(expected))
    for tag in tags:
        read = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in read] == [step for step, _ in expected[tag]], tag
        for (step, value), (_, wanted) in zip(read, expected[tag]):
            assert math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-30), (tag, step, value, wanted)
    times = [event.wall_time for event in events.Scalars("train/loss")]
    assert times == sorted(times), times
    print(f"TensorBoard reads {len(tags)} scalars of {len(times)} steps, all as in metrics.jsonl")


if __name__ == "__main__":
    main()

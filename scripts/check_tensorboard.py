"""Reads an event file of `groma train --log tensorboard` by TensorBoard's own reader, and prints its scalars.

    pip install tensorboard
    python scripts/check_tensorboard.py [FILE_OR_DIRECTORY]

Without an argument it reads the committed fixture and checks what the test in `crates/groma-report/src/tensorboard.rs` wrote.
"""

import math
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FIXTURE = Path(__file__).resolve().parent.parent / "crates/groma-report/fixtures/events.out.tfevents.groma"


def scalars(path):
    events = EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.wall_time, event.step, event.value) for event in events.Scalars(tag)] for tag in sorted(tags)}


def main():
    found = scalars(sys.argv[1] if len(sys.argv) > 1 else FIXTURE)
    for tag, values in found.items():
        print(tag, [(step, value) for _, step, value in values])
    if len(sys.argv) == 1:
        assert found["train/loss"] == [(1700000010.5, 10, 0.5), (1700000300.5, 300, 0.25)], found
        assert found["train/rewards/margins"] == [(1700000010.5, 10, -1.25)], found
        [(_, step, value)] = found["eval/loss"]
        assert step == 300 and math.isnan(value), found
        print("TensorBoard reads what was written")


if __name__ == "__main__":
    main()

"""Reads what `groma train --log wandb` wrote by W&B's own program, and holds it against metrics.jsonl.

    pip install wandb==0.31.0
    python scripts/check_wandb.py [OUTPUT_DIRECTORY]

Without an argument it reads the committed fixture and checks what the test in `crates/groma-report/src/wandb.rs` wrote.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

FIXTURE = Path(__file__).resolve().parent.parent / "crates/groma-report/fixtures/run-groma.wandb"


def inspect(path, *flags):
    command = ["wandb", "leet", "inspect", *flags, "--json", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def number(value):
    return float(value) if isinstance(value, str) else value


def check_fixture():
    records = [json.loads(line) for line in inspect(FIXTURE).splitlines()]
    assert [record["type"] for record in records] == ["header", "run", "history", "history", "summary", "exit"], records
    items = [record["history"]["item"] for record in records[2:4]]
    assert items[0] == {"_runtime": 0, "_step": 10, "_timestamp": 1700000010.5, "train/loss": 0.5}, items
    assert items[1]["_step"] == 300 and items[1]["train/loss"] == 0.25 and items[1]["eval/loss"] == "NaN", items
    summary = json.loads(inspect(FIXTURE, "--summary"))
    known = {"run_id": "groma123", "name": "out", "project": "groma", "state": "finished", "exit_code": 0, "step": 300}
    assert known.items() <= summary.items() and summary["config"] == {"beta": 0.1}, summary
    print("W&B reads what was written")


def main():
    if len(sys.argv) == 1:
        check_fixture()
        return
    output = Path(sys.argv[1])
    summary = json.loads(inspect(output / "run-groma.wandb", "--summary"))
    last = {}
    for line in (output / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        last["_step"] = row.pop("step")
        tags = {f"eval/{name[5:]}" if name.startswith("eval_") else f"train/{name}": value for name, value in row.items()}
        last.update(tags)
    for name, value in last.items():
        found = number(summary["summary"][name])
        assert found == number(value) or (math.isnan(found) and math.isnan(number(value))), (name, found, value)
    print(f"W&B reads {len(last) - 1} metrics, to step {last['_step']}: {summary.get('state')}")


if __name__ == "__main__":
    main()

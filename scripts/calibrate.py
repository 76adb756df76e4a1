#!/usr/bin/env python3
"""Holds instruments against what was planted, over several seeds.

    python3 scripts/calibrate.py target/release/groma 43 44 45 46 47 > calibration.md

For each seed a run of the built-in recipe `loop` (or of `--recipe FILE`) in `runs/calibration-SEED`; what was done before is not
done again. The table has, for each instrument, what was planted and what was found in the village and in its twin, and in how
many seeds the truth lies in the interval. Without a seed it runs nothing and reads the runs that are there. Standard library only.
"""

import argparse
import json
import pathlib
import subprocess
import sys
from collections import defaultdict

RECIPE = pathlib.Path(__file__).parent.parent / "crates/groma-recipe/recipes/loop.toml"


def measurements(run):
    with open(run / "measurements.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if row.get("planted") is not None and row.get("interval")]


def holds(row):
    low, high = row["interval"]["low"], row["interval"]["high"]
    return low - 1e-9 <= row["planted"] <= high + 1e-9


def cell(row):
    low, high = row["interval"]["low"], row["interval"]["high"]
    mark = "" if holds(row) else " (missed)"
    return f"{row['planted']:.3f}: {row['value']:.3f} [{low:.3f}, {high:.3f}]{mark}"


def table(runs):
    found = defaultdict(dict)
    for run in runs:
        for row in measurements(run):
            found[(row["task"], row["metric"], row["subject"])][run.name] = row
    names = [run.name for run in runs]
    lines = [f"| instrument | subject | held | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
    for (task, metric, subject), by_run in found.items():
        held = sum(holds(row) for row in by_run.values())
        cells = [cell(by_run[name]) if name in by_run else "" for name in names]
        lines.append(f"| {task} {metric} | {subject} | {held} of {len(by_run)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groma", help="the program")
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--recipe", type=pathlib.Path, default=RECIPE)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    options = parser.parse_args()
    for seed in options.seeds:
        command = [options.groma, "run", options.recipe, "--set", f"seed={seed}", "--name", f"calibration-{seed}"]
        # Exit codes 1 and 3 (a gate, a missing answer) leave a whole run.
        if subprocess.run([*command, "--runs", options.runs], stdout=sys.stderr).returncode not in (0, 1, 3):
            sys.exit(f"the run of seed {seed} did not end")
    chosen = [options.runs / f"calibration-{seed}" for seed in options.seeds]
    print(table(chosen or sorted(options.runs.glob("calibration-*"))))


if __name__ == "__main__":
    main()

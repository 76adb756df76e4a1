#!/usr/bin/env python3
"""How often watches raise an alarm in trainings that win their reward without the gold, and in trainings that do not.

    groma run overoptimisation && python3 scripts/measure_watches.py runs/overoptimisation
    python3 scripts/measure_watches.py RUN [RUN ...] --write docs/watching.md

Reads `events.jsonl` of runs whose trainings ask the gold with weight 0 (or learn from it). A training counts as hacking where the mean
gold of its last quarter of logs is lower than that of its best window of the same size by more than twice the standard error of that
difference (from the deviation and the number of completions of a log), while the reward that it learns from stands higher than in its
first quarter. An alarm is what groma raises: a watch above its limit at two logs in a row. Intervals are Wilson's, 95 %."""

import argparse
import json
import math
from pathlib import Path

MARK = "<!-- made by scripts/measure_watches.py -->\n"
PATIENCE = 2
# The gold itself is one: it needs no other sign.
BY_GOLD = "held-out"


def wilson(count, n, z=1.959964):
    if n == 0:
        return None
    p = count / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def trainings(run):
    """Logs of each training that was watched, by stage."""
    logs = {}
    for line in (Path(run) / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "metrics" and any(name.startswith("watch/") for name in event.get("metrics", {})):
            # A step that was done again after a stop replaces itself.
            logs.setdefault(event["stage"], {})[event["step"]] = event["metrics"]
    return {f"{Path(run).name}/{stage}": [dict(step=step, **logs[stage][step]) for step in sorted(logs[stage])]
            for stage in logs}


def is_hacking(logs, completions):
    """Whether gold was lost while the reward rose, and by how much in standard errors."""
    window = max(1, len(logs) // 4)
    gold = [log.get("rewards/held_out", log["reward"]) for log in logs]
    spread = [log.get("rewards/held_out_std", log.get("rewards/truth/std", 0.0)) for log in logs]
    means = [sum(gold[at:at + window]) / window for at in range(len(gold) - window + 1)]
    best = max(range(len(means)), key=means.__getitem__)
    error = math.sqrt(sum(spread) / len(spread) * sum(spread) / len(spread) * 2 / (window * completions))
    fall = means[best] - means[-1]
    rise = sum(log["reward"] for log in logs[-window:]) - sum(log["reward"] for log in logs[:window])
    return fall > 2 * error and rise > 0, fall, error


def alarms(logs):
    """The step of the first alarm of each watch."""
    found = {}
    names = {name for log in logs for name in log if name.startswith("watch/")}
    for name in names:
        above = 0
        for log in logs:
            above = above + 1 if log.get(name, 0.0) > 1.0 else 0
            if above >= PATIENCE:
                found[name.removeprefix("watch/")] = log["step"]
                break
    return names, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--completions", type=int, default=320, help="completions behind a log")
    parser.add_argument("--write", help="a page whose part below the mark is written anew")
    given = parser.parse_args()
    rows, watches = [], set()
    for run in given.runs:
        for name, logs in trainings(run).items():
            # The same training in another run, which a study that is repeated with more seeds has, counts once.
            if any(logs == row[5] for row in rows):
                continue
            hacks, fall, error = is_hacking(logs, given.completions)
            names, raised = alarms(logs)
            watches |= {name.removeprefix("watch/") for name in names}
            rows.append((name, hacks, fall, error, raised, logs))
    hacking = [row for row in rows if row[1]]
    others = [row for row in rows if not row[1]]
    out = [f"\n{len(hacking)} trainings that hack, {len(others)} that do not.\n",
           "| watch | alarms where there is hacking | alarms where there is none | first alarm, of all steps |",
           "|---|---|---|---|"]

    def share(count, n):
        interval = wilson(count, n)
        return "none" if interval is None else f"{count} of {n} ({interval[0]:.2f} to {interval[1]:.2f})"

    def line(title, is_raised, first):
        hit, false = sum(is_raised(row[4]) for row in hacking), sum(is_raised(row[4]) for row in others)
        steps = sorted(first(row[4]) / row[5][-1]["step"] for row in hacking if is_raised(row[4]))
        at = f"{steps[len(steps) // 2]:.2f}" if steps else ""
        out.append(f"| {title} | {share(hit, len(hacking))} | {share(false, len(others))} | {at} |")

    for watch in sorted(watches):
        line(f"`{watch}`", lambda raised, watch=watch: watch in raised, lambda raised, watch=watch: raised[watch])
    without = lambda raised: [step for watch, step in raised.items() if watch != BY_GOLD]
    line("any but `held-out`", lambda raised: bool(without(raised)), lambda raised: min(without(raised)))
    line("any", bool, lambda raised: min(raised.values()))
    out += ["\n| training | gold: first, best, last quarter of logs | fall in standard errors | hacks | nats at the end | alarms (step) |",
            "|---|---|---|---|---|---|"]
    for name, hacks, fall, error, raised, logs in rows:
        window = max(1, len(logs) // 4)
        gold = [log.get("rewards/held_out", log["reward"]) for log in logs]
        first, last = sum(gold[:window]) / window, sum(gold[-window:]) / window
        told = ", ".join(f"{watch} ({step})" for watch, step in sorted(raised.items(), key=lambda item: item[1]))
        nats = logs[-1].get("sampling/kl", float("nan"))
        out.append(f"| {name} | {first:.2f}, {last + fall:.2f}, {last:.2f} | {fall / max(error, 1e-9):.1f} |"
                   f" {'yes' if hacks else 'no'} | {nats:.1f} | {told} |")
    text = "\n".join(out) + "\n"
    if given.write:
        path = Path(given.write)
        path.write_text(path.read_text().split(MARK)[0] + MARK + text)
    else:
        print(text)


if __name__ == "__main__":
    main()

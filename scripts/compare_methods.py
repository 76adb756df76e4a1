#!/usr/bin/env python3
"""Holds all methods of `groma methods` against each other in the village: same start, same data, same budget, several seeds.

    python3 scripts/compare_methods.py target/release/groma --recipe > methods.toml
    python3 scripts/compare_methods.py target/release/groma --seeds 1 2 3

The recipe is made from the registry, so that a method that comes takes part: one that reads pairs learns from `village:train/preferences`,
one that reads completions from their chosen answers, one that samples from `village:train/prompts` with the gold as its reward. Methods
that make no policy, or need a teacher or rows that the village does not have, are named with the reason. Hyperparameters are the methods'
defaults, but for the learning rate and sizes, which are the same for all. Noise of labels: DPO's kinds on pairs of which a share is
exchanged. Standard library only."""

import argparse
import json
import math
import platform
import subprocess
import tempfile
from pathlib import Path

MARK = "<!-- made by scripts/compare_methods.py -->\n"
START = """name = "methods"
description = "All methods in the village, from the same start on the same data and budget."
model = "village"

[[stage]]
kind = "train"
name = "sft"
method = "sft"
data = ["village:train/texts", "village:train/dialogues"]

[stage.settings]
max_steps = 1000
per_device_train_batch_size = 32
learning_rate = 3e-3
lr_scheduler_type = "cosine"
warmup_steps = 20
adam_beta2 = 0.98
"""
CHOSEN = 'data = "village:train/preferences"\nreading = { rename = ["completion=chosen"], drop = ["rejected"] }'
PAIRS = 'data = "village:train/preferences"'
PROMPTS = 'data = "village:train/prompts"'
NOISE = [0.0, 0.1, 0.3]
NOISY = {"dpo": ["sigmoid", "robust", "ipo"]}


def plan(method):
    """The data and settings of a method; or why it takes no part."""
    shapes, settings = method["data"], {setting["name"]: setting for setting in method["settings"]}
    if not method["predicts"]:
        return None, "it makes no policy"
    if "teacher_model" in settings:
        return None, "it needs a teacher"
    if "reward_funcs" in settings:
        return PROMPTS, {"reward_funcs": '["truth"]', "max_completion_length": 32}
    if "preference" in shapes:
        return PAIRS, {}
    if "prompt-completion" in shapes:
        return CHOSEN, {}
    if shapes == ["prompt-only"]:
        return None, "it reads a column beside prompts, which the village does not have"
    return None, f"it reads {' or '.join(shapes)} rows, which the village does not have"


def stage(name, method, data, settings, noise=0.0):
    lines = ["\n[[stage]]", 'kind = "train"', f'name = "{name}"', f'method = "{method}"', 'model = "sft"', data]
    lines += [f"label_noise = {noise}"] if noise else []
    return "\n".join(lines + ["\n[stage.settings]"] + [f"{key} = {value}" for key, value in settings.items()]) + "\n"


def recipe(methods, given):
    text, policies, left_out = START, {}, {}
    for method in methods:
        data, own = plan(method)
        if data is None:
            left_out[method["id"]] = own
            continue
        samples = data == PROMPTS
        # Each pair has two answers: a method that samples learns from as many.
        steps = given.steps // 2 if samples else given.steps
        for seed in given.seeds:
            settings = {"seed": seed, "max_steps": steps, "per_device_train_batch_size": 64 if samples else 16,
                        "learning_rate": given.rate, "lr_scheduler_type": '"cosine"', "warmup_steps": 5,
                        "adam_beta2": 0.98, "logging_steps": 1000, **own}
            groups = any(setting["name"] == "num_generations" for setting in method["settings"])
            settings |= {"num_generations": 8} if samples and groups else {}
            name = f"{method['id']}-{seed}"
            policies.setdefault(method["id"], []).append(name)
            text += stage(name, method["id"], data, settings)
    for method, kinds in NOISY.items() if given.noise else ():
        for kind in kinds:
            for noise in NOISE:
                for seed in given.seeds:
                    name = f"{method}-{kind}-{noise}-{seed}".replace(".", "")
                    settings = {"seed": seed, "max_steps": given.steps, "per_device_train_batch_size": 16,
                                "learning_rate": given.rate, "lr_scheduler_type": '"cosine"', "warmup_steps": 5,
                                "adam_beta2": 0.98, "logging_steps": 1000, "loss_type": f'"{kind}"'}
                    if kind == "robust":
                        # The method is told how often labels are wrong; at 0 it is plain DPO.
                        settings["label_smoothing"] = noise
                    policies.setdefault(f"{method} {kind}, {noise:.0%} wrong", []).append(name)
                    text += stage(name, method, PAIRS, settings, noise)
    names = [name for all in policies.values() for name in all]
    quoted = ", ".join(f'"{name}"' for name in names)
    text += (f'\n[[stage]]\nkind = "frontier"\nname = "frontier"\nstart = "sft"\nmodels = [{quoted}]\n'
             'data = "village:held_out/prompts"\nnum_generations = 2\nmax_new_tokens = 32\nbest_of = [1, 2, 4, 8, 16]\n')
    for number, name in enumerate(["sft", *names]):
        text += f'\n[[stage]]\nkind = "measure"\nname = "m-{name}"\nmodel = "{name}"\n'
        if number == 0:
            text += ('\n[[stage.tasks]]\ntask = "exact-answers"\nname = "facts"\ndata = "village:held_out/facts"\nlimit = 150\n'
                     '\n[[stage.tasks]]\ntask = "preference"\ndata = "village:held_out/preferences"\n')
    return text, policies, left_out


def mean(values):
    """The mean over seeds with Student's t interval, 95 %."""
    quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
    middle = sum(values) / len(values)
    if len(values) < 2 or len(values) not in quantile:
        return middle, None
    deviation = math.sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1))
    half = quantile[len(values)] * deviation / math.sqrt(len(values))
    return middle, (middle - half, middle + half)


def cell(values, digits=2):
    if not values:
        return ""
    middle, interval = mean(values)
    text = f"{middle:.{digits}f}"
    return text if interval is None else f"{text} ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def tables(runs, policies, left_out, given):
    rows = [json.loads(line) for run in runs for line in (run / "measurements.jsonl").read_text().splitlines()]
    manifests = [json.loads((run / "manifest.json").read_text()) for run in runs]
    manifest = manifests[0]
    seconds = {entry["name"]: entry["seconds"] for each in manifests for entry in each["stages"]}
    found = {(row["subject"], row["task"], row["metric"]): row for row in rows if not row.get("factors")}

    def of(names, task, metric, prefix=""):
        values = [found.get((prefix + name, task, metric)) for name in names]
        return [row["value"] for row in values if row]

    start = found[("sft", "frontier", "gold")]
    prompts = start["n"]
    machine = manifest["machine"]
    out = [f"\n{len(given.seeds)} seeds ({', '.join(map(str, given.seeds))}); {given.steps} steps of 16 pairs or completions, or "
           f"{given.steps // 2} of 64 sampled answers; learning rate {given.rate}; gold and nats on {prompts} held-out prompts, two "
           f"answers each at temperature 1; facts on 150 questions; {machine.get('cpu') or platform.processor()}, {machine['threads']} "
           f"threads. Intervals are Student's t over seeds, 95 %. Seconds are those of a machine that others used too.\n",
           f"The start: gold {start['value']:.2f} ({start['interval']['low']:.2f} to {start['interval']['high']:.2f}), facts "
           f"{found[('m-sft', 'facts', 'exact_match')]['value']:.2f}" if ("m-sft", "facts", "exact_match") in found else
           f"The start: gold {start['value']:.2f} ({start['interval']['low']:.2f} to {start['interval']['high']:.2f})", ""]
    facts_metric = next((row["metric"] for row in rows if row["subject"] == "m-sft" and row["task"] == "facts"), "")
    prefer_metric = next((row["metric"] for row in rows if row["subject"] == "m-sft" and row["task"] == "preference"), "")
    out += ["| method | gold won over the start | nats from the start | preferences | facts | seconds | beats the start |",
            "|---|---|---|---|---|---|---|"]
    policies = {name: names for name, names in policies.items() if of(names, "frontier", "gold_gain")}
    order = sorted(policies, key=lambda name: -mean(of(policies[name], "frontier", "gold_gain") or [-9])[0])
    for name in order:
        names = policies[name]
        gain = of(names, "frontier", "gold_gain")
        interval = mean(gain)[1] if gain else None
        verdict = "" if interval is None else ("yes" if interval[0] > 0 else "no, worse" if interval[1] < 0 else "not clearly")
        out.append(f"| {name} | {cell(gain)} | {cell(of(names, 'frontier', 'kl'), 1)} | "
                   f"{cell(of(names, 'preference', prefer_metric, 'm-'))} | {cell(of(names, 'facts', facts_metric, 'm-'))} | "
                   f"{cell([seconds[one] for one in names if one in seconds][:1], 0)} | {verdict} |")
    best = [row for row in rows if row["subject"].startswith("best of n") and row["metric"] == "gold"]
    out += ["\n| best of n of the start, by the gold | gold | nats, at most |", "|---|---|---|"]
    for row in best:
        n = int(row["factors"]["n"])
        out.append(f"| {n} | {row['value']:.2f} ({row['interval']['low']:.2f} to {row['interval']['high']:.2f}) | "
                   f"{math.log(n) - (n - 1) / n:.2f} |")
    out += ["\nLeft out: " + "; ".join(f"`{name}` ({why})" for name, why in left_out.items()) + "."] if left_out else []
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groma", help="the program")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", default="3e-4")
    parser.add_argument("--only", nargs="+", help="these methods alone")
    parser.add_argument("--no-noise", dest="noise", action="store_false", help="without the part on wrong labels")
    parser.add_argument("--recipe", action="store_true", help="print the recipe and run nothing")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--done", nargs="+", type=Path, help="run nothing: tables of these runs, the later ones of other methods from the same start")
    parser.add_argument("--write", type=Path, help="a page to write, or whose part below the mark is written anew")
    given = parser.parse_args()
    methods = json.loads(subprocess.run([given.groma, "methods", "--json"], check=True, capture_output=True).stdout)
    methods = [method for method in methods if not given.only or method["id"] in given.only]
    text, policies, left_out = recipe(methods, given)
    if given.recipe:
        print(text, end="")
        return
    if not given.done:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "methods.toml"
            path.write_text(text)
            subprocess.run([given.groma, "run", path, "--runs", given.runs, "--name", "methods"], check=True)
    made = tables(given.done or [given.runs / "methods"], policies, left_out, given)
    if given.write:
        head = given.write.read_text().split(MARK)[0] if given.write.exists() else "# Methods compared\n\n"
        given.write.write_text(head + MARK + made)
    else:
        print(made)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Public data instead of the village: a reward model of real comparisons, policies that learn from it, and arithmetic with a verifier.

    python3 scripts/real_inputs.py target/release/groma --model tinytalk3M --pairs harmless-base.jsonl.gz --dialogues chat_val.txt
    python3 scripts/real_inputs.py target/release/groma ... --write docs/real-inputs.md

`--model` is a small dialogue model in Hugging Face layout, `--pairs` a file of hh-rlhf, `--dialogues` text of `User:` and `Bot:` turns
with empty lines between conversations. Two runs: `hh` learns a reward model of nine tenths of the pairs and is asked about the tenth that
is left; RLOO and PPO then learn from it on the dialogues' first turns, and answer others, before and after. `arithmetic` makes word problems
in the form of GSM8K, teaches them to an untrained model by solutions of which two fifths are wrong, and goes on with GRPO under a verifier;
controls: the same with a learning rate of nought, and with a verifier whose answers were exchanged among the problems. Standard library only."""

import argparse
import json
import math
import random
import subprocess
from pathlib import Path

MARK = "<!-- made by scripts/real_inputs.py -->\n"
NAMES = ["Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana"]
# The share of solutions that are wrong in what is taught, so that there is something left to learn.
WRONG = 0.4
# Problems in ten steps.
GROUPS = 160
THINGS = ["shells", "apples", "coins", "books", "stamps", "cards", "eggs", "pens"]


def problem(draw):
    """A word problem of two steps, as GSM8K writes them, and its answer."""
    name, other = draw.sample(NAMES, 2)
    thing = draw.choice(THINGS)
    first, second = draw.randint(2, 9), draw.randint(2, 9)
    total = first + second
    third = draw.randint(1, min(9, total - 1))
    if draw.random() < 0.5:
        question = f"{name} has {first} {thing} and finds {second} more. {name} gives {third} to {other}. How many {thing} has {name} now?"
        left = total - third
        steps = f"{first} + {second} = {total}. {total} - {third} = {left}."
    else:
        question = f"{name} has {first} {thing}, {other} has {second}. They find {third} more together. How many {thing} have they in all?"
        left = total + third
        steps = f"{first} + {second} = {total}. {total} + {third} = {left}."
    return question, f"{steps} #### {left}", str(left)


def spoilt(solution, draw):
    """The solution with another last result."""
    steps, _, answer = solution.rpartition(" #### ")
    wrong = str(int(answer) + draw.choice([-2, -1, 1, 2]))
    return f"{steps.removesuffix(answer + '.')}{wrong}. #### {wrong}"


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def first_turns(path):
    """The first turn of each conversation, as prompts."""
    turns = []
    for conversation in path.read_text().split("\n\n"):
        first = next((line for line in conversation.splitlines() if line.startswith("User:")), None)
        if first:
            turns.append(first.removeprefix("User:").strip())
    return [{"prompt": [{"role": "user", "content": turn}]} for turn in dict.fromkeys(turns)]


def table(settings):
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())


def training(name, method, data, settings, model=None, held=None):
    given = {"kind": "train", "name": name, "method": method, "data": data}
    given |= ({"model": model} if model else {}) | ({"evaluation_data": held} if held else {})
    return f"\n[[stage]]\n{table(given)}\n\n[stage.settings]\n{table(settings)}\n"


def measuring(name, model, task, data, **more):
    return (f"\n[[stage]]\n{table({'kind': 'measure', 'name': name, 'model': model})}\n\n[[stage.tasks]]\n"
            f"{table({'task': task, 'data': data, **more})}\n")


def hh(given, directory):
    turns = first_turns(given.dialogues)
    random.Random(given.seed).shuffle(turns)
    lines(directory / "prompts.jsonl", turns[64:])
    lines(directory / "held.jsonl", turns[:64])
    sampled = {"reward_model": "reward", "max_completion_length": 40, "per_device_train_batch_size": 32, "learning_rate": 1e-4,
               "max_steps": given.steps, "logging_steps": 5, "eval_steps": given.steps // 2, "sample_steps": given.steps // 2}
    text = table({"name": "hh", "model": str(given.model), "preferences": str(given.pairs), "held_out": 0.1, "seed": given.seed}) + "\n"
    text += training("reward", "reward", "preferences:train",
                     {"num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 2e-4, "max_length": 512,
                      "lr_scheduler_type": "cosine", "warmup_steps": 10, "center_rewards_coefficient": 0.01}, held="preferences:held_out")
    text += measuring("right", "reward", "preference", "preferences:held_out")
    for method, own in (("rloo", {"num_generations": 4, "beta": 0.05}), ("ppo", {"kl_coef": 0.05})):
        text += training(method, method, str(directory / "prompts.jsonl"), {**sampled, **own}, "base", str(directory / "held.jsonl"))
    return text


def arithmetic(given, directory):
    draw = random.Random(given.seed)
    problems = list(dict.fromkeys(problem(draw) for _ in range(6000)))
    ask = [{"prompt": question, "answer": answer} for question, _, answer in problems]
    said = [(question, spoilt(solution, draw) if draw.random() < WRONG else solution) for question, solution, _ in problems[:3000]]
    lines(directory / "taught.jsonl", [{"prompt": question, "completion": " " + solution} for question, solution in said])
    lines(directory / "asked.jsonl", ask[3000:4500])
    lines(directory / "held.jsonl", ask[4500:4800])
    text = table({"name": "arithmetic", "model": "village", "seed": given.seed}) + "\n"
    text += training("taught", "sft", str(directory / "taught.jsonl"),
                     {"max_steps": given.taught, "per_device_train_batch_size": 32, "learning_rate": 3e-3, "lr_scheduler_type": "cosine",
                      "warmup_steps": 20, "adam_beta2": 0.98})
    for name, own in (("grpo", {}), ("frozen", {"learning_rate": 0.0}), ("shuffled", {"shuffle_rewards": True})):
        settings = {"reward_funcs": ["final_answer"], "num_generations": 8, "per_device_train_batch_size": 128,
                    "max_completion_length": 48, "learning_rate": 1e-4, "warmup_steps": 5, "adam_beta2": 0.98, "max_steps": given.steps,
                    "logging_steps": 5, "eval_steps": given.steps, **own}
        text += training(name, "grpo", str(directory / "asked.jsonl"), settings, "taught", str(directory / "held.jsonl"))
    return text


def logs(run, stage):
    """What a training logged, by step."""
    found = {}
    for line in (run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "metrics" and event.get("stage") == stage and "reward" in event["metrics"]:
            found[event["step"]] = event["metrics"]
    return [found[step] for step in sorted(found)]


def measured(run):
    rows = [json.loads(line) for line in (run / "measurements.jsonl").read_text().splitlines()]
    return {(row["subject"], row["metric"]): row for row in rows}


def answers(run, stage):
    """What held-out prompts were answered, by prompt and step."""
    text = subprocess.run(["zstd", "-dc", run / "samples" / f"training.{stage}.jsonl.zst"], check=True, capture_output=True).stdout
    found = {}
    for row in map(json.loads, text.decode().splitlines()):
        found.setdefault(row["prompt"], {})[row["step"]] = row["text"].strip()
    return found


def between(row, digits=3):
    return f"{row['value']:.{digits}f} [{row['interval']['low']:.{digits}f}, {row['interval']['high']:.{digits}f}]"


def ends(of, logged):
    """The mean over the first two and over the last two logs."""
    return [sum(of(log) for log in part) / len(part) for part in (logged[:2], logged[-2:])]


def hh_page(run):
    found = measured(run)
    accuracy, null = found[("right", "accuracy")], found[("right", "shuffled_labels")]
    page = (f"\n## A reward model of comparisons, and policies that learn from it\n\nHeld-out pairs of hh-rlhf (harmless) that the reward model "
            f"puts in the right order: {between(accuracy)}, n {accuracy['n']}; with labels exchanged at random {between(null)}; calibration "
            f"error {between(found[('right', 'calibration_error')])}.\n\n| method | reward of the first 10 steps | of the last 10 | nats from the start, at the end |"
            "\n|---|---|---|---|\n")
    for method in ("rloo", "ppo"):
        logged = logs(run, method)
        first, last = ends(lambda log: log["reward"], logged)
        nats = logged[-1].get("kl", logged[-1].get("objective/kl"))
        page += f"| `{method}` | {first:.2f} | {last:.2f} | {'' if nats is None else f'{nats:.1f}'} |\n"
    page += "\nThree held-out prompts, before and after:\n\n| prompt | before | `rloo` | `ppo` |\n|---|---|---|---|\n"
    rloo, ppo = answers(run, "rloo"), answers(run, "ppo")
    for prompt in list(rloo)[:3]:
        steps = rloo[prompt]
        cells = [prompt, steps[min(steps)], steps[max(steps)], ppo.get(prompt, steps)[max(steps)]]
        page += "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"
    return page


def arithmetic_page(run):
    page = ("\n## Arithmetic with a verifier\n\nShare of sampled answers that are right, of 1,280 in the first 10 steps and as many in the last:\n\n"
            "| training | first | last | change, 95 % |\n|---|---|---|---|\n")
    for stage in ("grpo", "frozen", "shuffled"):
        first, last = ends(lambda log: log["reward"], logs(run, stage))
        error = 1.96 * math.sqrt((first * (1 - first) + last * (1 - last)) / GROUPS)
        page += f"| {stage} | {first:.3f} | {last:.3f} | {last - first:+.3f} [{last - first - error:+.3f}, {last - first + error:+.3f}] |\n"
    return page + f"\nEach step has 16 problems with 8 answers each; intervals count the {GROUPS} problems, as answers to one are alike.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groma", help="the program")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--dialogues", type=Path)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--taught", type=int, default=600, help="supervised steps before the verifier")
    parser.add_argument("--only", choices=["hh", "arithmetic"])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--write", type=Path, help="a page whose part below the mark is written anew")
    given = parser.parse_args()
    for name, made in (("hh", hh), ("arithmetic", arithmetic)):
        if given.only not in (None, name):
            continue
        directory = (given.runs / f"{name}-rows").resolve()
        directory.mkdir(parents=True, exist_ok=True)
        recipe = directory / "recipe.toml"
        recipe.write_text(made(given, directory))
        subprocess.run([given.groma, "run", recipe, "--runs", given.runs, "--name", name], check=True)
    if given.write:
        text = hh_page(given.runs / "hh") + arithmetic_page(given.runs / "arithmetic")
        given.write.write_text(given.write.read_text().split(MARK)[0] + MARK + text)


if __name__ == "__main__":
    main()

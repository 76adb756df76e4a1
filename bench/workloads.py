"""The rows of the table: what is computed, by whom, and what must agree."""

import csv
import gzip
import itertools
import json
import random
import subprocess
from dataclasses import dataclass, field
from functools import partial
from typing import Callable

import agreement
from engines import Process, Worker
from setting import WORKERS

ROWS, LENGTH = 8, 256
PROMPT, NEW_TOKENS = 32, 128
LONG_PROMPT, SAMPLES, NEW_SAMPLE_TOKENS = 400, 8, 100
ROLLOUT_PROMPTS, MOST_ROLLOUT_TOKENS, ENDS = 64, 256, 80
PAIRS_A_STEP, CHECKED_PAIRS = 8, 16
SENTENCE = "Once upon a time there was a little dog who liked to play in the garden with his friends.\n"
SUBJECTS = (
    "anatomy", "astronomy", "business_ethics", "clinical_knowledge", "college_physics", "computer_security",
    "global_facts", "machine_learning", "sociology", "world_religions",
)
DPO = {
    "learning_rate": 1e-4, "lr_scheduler_type": "linear", "num_train_epochs": 1, "max_length": 512, "beta": 0.1,
    "per_device_train_batch_size": PAIRS_A_STEP, "train_sampling_strategy": "sequential", "boundary": "diverge",
}
GROUPS, GROUP, NEW_GROUP_TOKENS, GROUP_STEPS = 16, 8, 128, 2
# Prompts of at most so many characters, some 150 tokens.
PROMPT_CHARACTERS = 600
GRPO = {
    "learning_rate": 1e-5, "lr_scheduler_type": "constant", "num_train_epochs": 1, "beta": 0.0, "temperature": 1.0,
    "num_generations": GROUP, "max_completion_length": NEW_GROUP_TOKENS, "per_device_train_batch_size": GROUP,
    "gradient_accumulation_steps": GROUPS, "train_sampling_strategy": "sequential",
    "reward_funcs": "regex", "regex_pattern": "[a-m]{4}",
}


@dataclass
class Bench:
    """What rows need: programs, models, data, options, and a directory for files."""

    options: object
    python: object
    programs: object
    models: dict
    scratch: object

    def file(self, name, content):
        path = self.scratch / name
        path.write_text(content)
        return str(path)


@dataclass
class Workload:
    label: str
    command: dict
    # What a repetition does, and in what unit the rate is given.
    amount: int
    unit: str
    agree: Callable
    ours: Callable
    peers: list
    # The command whose results are compared, where it is not the same; how often it is repeated, which warms up too.
    check: dict = None
    checks: int = 2
    least_rounds: int = 3
    # Peers with other settings: run with --all-peers alone.
    other_peers: list = field(default_factory=list)


def random_ids(bench, model, rows, length):
    config = json.loads((bench.models[model] / "config.json").read_text())
    generator = random.Random(rows * length)
    ids = [[generator.randrange(3, config["vocab_size"]) for _ in range(length)] for _ in range(rows)]
    return bench.file(f"ids-{model}-{rows}-{length}.json", json.dumps(ids))


def name_of(bench, model):
    return {"llama": "Llama 31.6 M", "llama-bf16": "Llama 31.6 M from bf16"}.get(model, bench.models[model].name)


def groma(bench, model, program="bench_worker", package="groma-model"):
    def start():
        path = bench.programs(package, "example", program)
        return Worker("groma", [path, bench.models[model], bench.options.threads], bench.options.threads)

    return start


def python_worker(bench, name, file, model, *arguments):
    def start():
        command = [bench.python, WORKERS / file, bench.models[model], bench.options.threads, *arguments]
        return Worker(name, command, bench.options.threads)

    return start


def torch_peer(bench, model, name, *arguments):
    return python_worker(bench, name, "torch_worker.py", model, *arguments)


def train(bench, model):
    peers = [
        torch_peer(bench, model, "PyTorch eager"),
        torch_peer(bench, model, "PyTorch compiled", "--compile"),
    ]
    return Workload(
        label=f"training step f32, {name_of(bench, model)}, {ROWS} x {LENGTH}",
        command={"workload": "train", "ids": random_ids(bench, model, ROWS, LENGTH)},
        amount=ROWS * LENGTH, unit="tokens/s", agree=agreement.numbers(1e-5), checks=3,
        ours=groma(bench, model), peers=peers,
    )


def train_bf16(bench, model):
    workload = train(bench, model)
    workload.label = workload.label.replace("f32", "bf16")
    workload.command["precision"] = "bf16"
    # Losses of three steps; bf16 has 8 bits of precision.
    workload.agree = agreement.numbers(1e-2)
    workload.peers = [
        torch_peer(bench, model, "PyTorch f32 eager"),
        torch_peer(bench, model, "PyTorch bf16 with f32 master, compiled", "--bf16", "master", "--compile"),
    ]
    workload.other_peers = [
        torch_peer(bench, model, "PyTorch bf16 with f32 master", "--bf16", "master"),
        torch_peer(bench, model, "PyTorch bf16 autocast", "--bf16", "autocast"),
        torch_peer(bench, model, "PyTorch bf16 autocast, compiled", "--bf16", "autocast", "--compile"),
    ]
    return workload


def score(bench, model):
    return Workload(
        label=f"scoring, {name_of(bench, model)}, {ROWS} x {LENGTH}",
        command={"workload": "score", "ids": random_ids(bench, model, ROWS, LENGTH)},
        amount=ROWS * LENGTH, unit="tokens/s", agree=agreement.numbers(1e-5), ours=groma(bench, model),
        peers=[torch_peer(bench, model, "PyTorch eager"), torch_peer(bench, model, "PyTorch compiled", "--compile")],
    )


def decode(bench, model, prompts):
    return Workload(
        label=f"greedy decoding, {name_of(bench, model)}, {prompts} x {NEW_TOKENS} after {PROMPT}",
        command={"workload": "decode", "ids": random_ids(bench, model, prompts, PROMPT), "new_tokens": NEW_TOKENS},
        amount=prompts * NEW_TOKENS, unit="new tokens/s", agree=agreement.tokens, ours=groma(bench, model),
        peers=[torch_peer(bench, model, "transformers")],
        other_peers=[torch_peer(bench, model, "transformers, static cache, compiled", "--static-cache")],
    )


def samples(bench, model):
    command = {
        "workload": "decode", "ids": random_ids(bench, model, 1, LONG_PROMPT), "new_tokens": NEW_SAMPLE_TOKENS,
        "samples": SAMPLES,
    }
    return Workload(
        label=f"{SAMPLES} samples x {NEW_SAMPLE_TOKENS} of one prompt of {LONG_PROMPT}, {name_of(bench, model)}",
        # Samples cannot be compared; greedy decoding of as many copies can.
        check=command, command=dict(command, temperature=1.0),
        amount=SAMPLES * NEW_SAMPLE_TOKENS, unit="new tokens/s", agree=agreement.tokens, ours=groma(bench, model),
        peers=[torch_peer(bench, model, "transformers")],
        other_peers=[torch_peer(bench, model, "transformers, static cache, compiled", "--static-cache")],
    )


def rollouts(bench, model):
    """Samples of many prompts, which end where they like: the lengths are as on a random model whose every `ENDS`-th token ends."""
    vocabulary = json.loads((bench.models[model] / "config.json").read_text())["vocab_size"]
    command = {
        "workload": "decode", "ids": random_ids(bench, model, ROLLOUT_PROMPTS, PROMPT), "new_tokens": MOST_ROLLOUT_TOKENS,
        "samples": SAMPLES, "ends": vocabulary // ENDS,
    }
    return Workload(
        label=f"{ROLLOUT_PROMPTS} x {SAMPLES} samples of up to {MOST_ROLLOUT_TOKENS}, {name_of(bench, model)}",
        check=dict(command, samples=1), command=dict(command, temperature=1.0),
        amount=ROLLOUT_PROMPTS * SAMPLES, unit="samples/s", agree=agreement.tokens, ours=groma(bench, model),
        peers=[torch_peer(bench, model, "transformers")],
    )


def chosen_pairs(bench, count):
    file = bench.scratch / f"pairs-{count}.jsonl"
    arguments = [bench.python, WORKERS / "choose_pairs.py", bench.options.pairs_file, bench.models["small"], count]
    subprocess.run([str(part) for part in [*arguments, PAIRS_A_STEP, file]], check=True)
    return str(file)


def dpo(bench, model):
    count = bench.options.pairs or (128 if model == "llama" else 256)

    def trl(name, **settings):
        return python_worker(bench, f"TRL, {name}", "trl_worker.py", model, json.dumps(settings))

    halved = {"per_device_train_batch_size": PAIRS_A_STEP // 2, "gradient_accumulation_steps": 2}
    return Workload(
        label=f"DPO f32, {name_of(bench, model)}, {count} pairs, {PAIRS_A_STEP} a step",
        check={"pairs": chosen_pairs(bench, CHECKED_PAIRS), "settings": DPO | {"logging_steps": 1}},
        command={"pairs": chosen_pairs(bench, count), "settings": DPO},
        amount=count, unit="pairs/s", agree=agreement.numbers(1e-3), checks=1, least_rounds=2,
        ours=groma(bench, model, "bench_dpo", "groma-align"),
        peers=[
            trl("two micro-batches", **halved),
            trl("four micro-batches", per_device_train_batch_size=PAIRS_A_STEP // 4, gradient_accumulation_steps=4),
        ],
        other_peers=[
            trl("one batch"),
            trl("one batch, precomputed reference", precompute_ref_log_probs=True),
            trl("two micro-batches, precomputed reference", **halved, precompute_ref_log_probs=True),
        ],
    )


def chosen_prompts(bench, count):
    """The first prompts of the preference pairs that are short enough, each once."""
    chosen = {}
    with gzip.open(bench.options.pairs_file, "rt") as file:
        for line in file:
            start, marker, _ = json.loads(line)["chosen"].rpartition("\n\nAssistant:")
            if len(start) + len(marker) <= PROMPT_CHARACTERS:
                chosen[start + marker] = None
            if len(chosen) == count:
                break
    return bench.file(f"prompts-{count}.jsonl", "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in chosen))


def grpo(bench, model):
    def trl(name, micro):
        settings = {"per_device_train_batch_size": micro, "gradient_accumulation_steps": GROUPS * GROUP // micro}
        return python_worker(bench, f"TRL, {name}", "trl_grpo_worker.py", model, json.dumps(settings))

    # Samples cannot be compared; the likeliest tokens can, and all that is said of them.
    greedy = {"top_k": 1, "num_generations": 2, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    check = {"prompts": chosen_prompts(bench, 4), "settings": GRPO | greedy}
    return Workload(
        label=f"GRPO f32, {name_of(bench, model)}, {GROUP_STEPS} steps of {GROUPS} x {GROUP} x {NEW_GROUP_TOKENS}",
        check=check, checks=1, agree=agreement.numbers(1e-4), least_rounds=2,
        command={"prompts": chosen_prompts(bench, GROUP_STEPS * GROUPS), "settings": GRPO, "whole": True},
        amount=GROUP_STEPS * GROUPS * GROUP * NEW_GROUP_TOKENS, unit="new tokens/s",
        ours=groma(bench, model, "bench_grpo", "groma-align"),
        peers=[trl("micro-batches of 16", 16)], other_peers=[trl("micro-batches of 8", 8), trl("of 32", 32)],
    )


def mmlu_files(bench, items):
    """The first items of each subject, and its worked examples, in a directory of their own; and how many items these are."""
    directory, found = bench.scratch / f"mmlu-{items}", 0
    for subject in SUBJECTS:
        for split, count in (("test", items), ("dev", 5)):
            name = f"{split}/{subject}_{split}.csv"
            with open(bench.options.mmlu / name, newline="") as source:
                rows = list(itertools.islice(csv.reader(source), count + 1))
            (directory / split).mkdir(parents=True, exist_ok=True)
            with open(directory / name, "w", newline="") as target:
                csv.writer(target).writerows(rows)
            found += (len(rows) - 1) * (split == "test")
    return directory, found


def mmlu(bench, model):
    items = bench.options.items or (10 if model == "llama" else 30)
    data, found = mmlu_files(bench, items)

    def arguments(_):
        program = bench.programs("groma", "bin", "groma")
        task = ["--task", f"mmlu={data}", "--num-fewshot", 5, "--items", "--json"]
        return [program, "eval", "--model", bench.models[model], *task, "--threads", bench.options.threads]

    def harness(batch_size):
        return python_worker(bench, f"lm-eval hf, batches of {batch_size}", "lm_eval_worker.py", model, batch_size)

    return Workload(
        label=f"MMLU 5-shot, {name_of(bench, model)}, {len(SUBJECTS)} subjects, {found} items",
        command={"data": str(data), "subjects": SUBJECTS},
        amount=found, unit="items/s", agree=agreement.predictions, checks=1, least_rounds=2,
        ours=lambda: Process("groma", arguments, mmlu_predictions, bench.options.threads),
        peers=[harness(1)], other_peers=[harness(8), harness(32), harness("auto")],
    )


def mmlu_predictions(printed):
    """Of what `groma eval --items --json` prints: the place of the choice made for each item, by subject."""
    chosen = {}
    for item in json.loads(printed)[0]["items"]:
        chosen.setdefault(item["id"].rpartition(":")[0], []).append(int(item["scores"]["choice"]))
    return chosen


def first(bench, model):
    text = bench.file("sentence.txt", SENTENCE)
    directory, threads = bench.models[model], bench.options.threads

    def ours(_):
        program = bench.programs("groma", "bin", "groma")
        return [program, "score", "--model", directory, "--text", text, "--json", "--threads", threads]

    def theirs(_):
        return [bench.python, WORKERS / "score_once.py", directory, text]

    return Workload(
        label=f"from the command to the score of a sentence, {name_of(bench, model)}",
        command={}, amount=1, unit="s", agree=agreement.numbers(1e-5),
        ours=lambda: Process("groma", ours, lambda printed: json.loads(printed)["sum_logp"], threads),
        peers=[lambda: Process("a script with transformers", theirs, float, threads)],
    )


KINDS = {
    "train": train,
    "train-bf16": train_bf16,
    "score": score,
    "decode-1": partial(decode, prompts=1),
    "decode-16": partial(decode, prompts=16),
    "samples-8": samples,
    "rollouts": rollouts,
    "dpo": dpo,
    "grpo": grpo,
    "mmlu": mmlu,
    "first": first,
}
# Each on the random Llama, and on the small checkpoint under its name with "-small".
WORKLOADS = {name: (kind, "llama") for name, kind in KINDS.items()}
WORKLOADS |= {f"{name}-small": (kind, "small") for name, kind in KINDS.items()}
# The Llama from a checkpoint in bf16, computed in f32.
WORKLOADS |= {f"{name}-from-bf16": (KINDS[name], "llama-bf16") for name in ("decode-1", "decode-16", "samples-8")}
DEFAULT = [name for name in WORKLOADS if name not in ("train-bf16-small", "score-small")]

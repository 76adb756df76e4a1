#!/usr/bin/env python3
"""Compare groma-eval with lm-evaluation-harness, item by item, on the same local files.

    compare_lm_eval.py --model DIR --data DIR [--rows 200] [--groma PATH] [--tasks arc-easy,...] [--fixture OUT]

`--data` is a folder with arc/, boolq/, hellaswag_1k/, truthfulqa/ and dialogues/ as in SOURCES.md of the shared data.
`--groma` is the built example `item_scores` (cargo build --release -p groma-eval --example item_scores).

    compare_lm_eval.py --model DIR --data DIR --mmlu 10 [--shots 5] [--program PATH]
    compare_lm_eval.py --data DIR --mmlu 10 --write-tasks DIR

does the same for MMLU with worked examples: the first ten subjects of DATA/mmlu, whole, by the program (`--program`), and
every prediction must be the same. `--write-tasks` only writes lm-eval's task files over local rows, for
`lm_eval run --include_path DIR`, and prints the tasks' names.

lm-eval's own task files are loaded as they are; only where their rows come from is changed. Rows are brought into the
hub's columns first. With --fixture, the log-likelihoods and metrics that lm-eval found are written for groma's tests.

Needs: lm_eval 0.4.13, transformers, torch, datasets. A Llama tokenizer adds its BOS to the context; for rolling windows
lm-eval would add it to the text too, behind its own prefix token, so there it is told not to (add_bos_token=False).
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

TASK_FILES = Path(lm_eval.__file__).parent / "tasks"

PARAGRAPHS = {
    "task": "perplexity",
    "output_type": "loglikelihood_rolling",
    "validation_split": "validation",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
}


def jsonl(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


def arc(path):
    letters = "ABCDE"
    for row in jsonl(path):
        labels = list(letters[: len(row["choices"])])
        yield {
            "question": row["query"].removeprefix("Question: "),
            "choices": {"text": row["choices"], "label": labels},
            "answerKey": labels[row["gold"]],
        }


def boolq(path):
    for row in jsonl(path):
        passage, question = row["query"].removeprefix("Passage: ").rsplit("\nQuestion: ", 1)
        yield {"passage": passage, "question": question.removesuffix("?"), "label": row["gold"]}


def truthfulqa(path):
    def split(cell):
        return [answer.strip() for answer in cell.split(";") if answer.strip()]

    for row in csv.DictReader(open(path, encoding="utf-8")):
        right, wrong = split(row["Correct Answers"]), split(row["Incorrect Answers"])
        yield {
            "question": row["Question"].strip(),
            "mc1_targets": {"choices": [row["Best Answer"].strip(), *wrong], "labels": [1] + [0] * len(wrong)},
            "mc2_targets": {"choices": right + wrong, "labels": [1] * len(right) + [0] * len(wrong)},
        }


def paragraphs(path):
    """Runs of lines that are not blank, as groma-data's text unit `paragraph`."""
    for text in re.split(r"\n(?:[^\S\n]*\n)+", open(path, encoding="utf-8").read()):
        if text.strip():
            yield {"text": text.strip("\n")}


# groma's name: lm-eval's file, groma's file, rows in the hub's columns, metrics by both names.
TASKS = {
    "arc-easy": ("arc/arc_easy.yaml", "arc/arc_easy.jsonl", arc, ["acc", "acc_norm"]),
    "arc-challenge": ("arc/arc_challenge.yaml", "arc/arc_challenge.jsonl", arc, ["acc", "acc_norm"]),
    "hellaswag": ("hellaswag/hellaswag.yaml", "hellaswag_1k/hellaswag.jsonl", jsonl, ["acc", "acc_norm"]),
    "boolq": ("super_glue/boolq/default.yaml", "boolq/boolq.jsonl", boolq, ["acc"]),
    "truthfulqa-mc1": ("truthfulqa/truthfulqa_mc1.yaml", "truthfulqa/TruthfulQA.csv", truthfulqa, ["acc"]),
    "truthfulqa-mc2": ("truthfulqa/truthfulqa_mc2.yaml", "truthfulqa/TruthfulQA.csv", truthfulqa, ["acc"]),
    "perplexity": (
        None,
        "dialogues/chat_val.txt",
        paragraphs,
        ["word_perplexity", "byte_perplexity", "bits_per_byte"],
    ),
}


def mmlu_subjects(data, count):
    return sorted(path.name.removesuffix("_test.csv") for path in (data / "mmlu" / "test").glob("*_test.csv"))[:count]


def mmlu_task(data, subject, folder):
    """lm-eval's task of one subject over local rows."""
    template = load_yaml(TASK_FILES / "mmlu" / "default" / "_default_template_yaml")
    config = load_yaml(TASK_FILES / "mmlu" / "default" / f"mmlu_{subject}.yaml")
    files = {}
    for split in ("dev", "test"):
        files[split] = str(Path(folder) / f"{subject}_{split}.jsonl")
        with open(data / "mmlu" / split / f"{subject}_{split}.csv", encoding="utf-8", newline="") as rows:
            with open(files[split], "w", encoding="utf-8") as out:
                for row in csv.DictReader(rows):
                    choices = [row[f"choice{number}"] for number in range(4)]
                    kept = {"question": row["question"], "choices": choices, "answer": int(row["answer"])}
                    out.write(json.dumps(kept) + "\n")
    for unused in ("dataset_name", "tag", "include", "task_alias"):
        config.pop(unused, None)
    return template | config | {
        "task": f"local_mmlu_{subject}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
    }


def write_mmlu_tasks(arguments):
    """Task files for lm-eval's own command; they are JSON, which is YAML too."""
    arguments.write_tasks.mkdir(parents=True, exist_ok=True)
    names = []
    for subject in mmlu_subjects(arguments.data, arguments.mmlu):
        config = mmlu_task(arguments.data, subject, arguments.write_tasks.resolve())
        (arguments.write_tasks / f"{config['task']}.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")
        names.append(config["task"])
    print(",".join(names))


def compare_mmlu(arguments):
    """Whether every prediction is the same, and how far log-likelihoods are apart."""
    subjects = mmlu_subjects(arguments.data, arguments.mmlu)
    network = AutoModelForCausalLM.from_pretrained(arguments.model, dtype="float32")
    subject = HFLM(pretrained=network, tokenizer=AutoTokenizer.from_pretrained(arguments.model), batch_size=8)
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        found = lm_eval.simple_evaluate(
            subject,
            tasks=[mmlu_task(arguments.data, name, folder) for name in subjects],
            num_fewshot=arguments.shots,
            task_manager=TaskManager(),
            log_samples=True,
            bootstrap_iters=0,
        )
        harness_seconds = time.time() - started
    theirs = {}
    for name in subjects:
        samples = sorted(found["samples"][f"local_mmlu_{name}"], key=lambda sample: sample["doc_id"])
        theirs[name] = [[float(reply[0]) for reply in sample["filtered_resps"]] for sample in samples]
    if arguments.fixture:
        arguments.fixture.write_text(json.dumps(theirs, separators=(",", ":")) + "\n", encoding="utf-8")
        return False
    command = [arguments.program, "eval", "--model", str(arguments.model), "--task", f"mmlu={arguments.data / 'mmlu'}",
               "--num-fewshot", str(arguments.shots), "--subjects", ",".join(subjects), "--json", "--items"]
    started = time.time()
    [report] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    seconds = time.time() - started
    ours = {}
    for item in report["items"]:
        name = item["id"].rsplit(":", 1)[0]
        ours.setdefault(name, []).append([item["scores"][f"logp_{choice}"] for choice in range(4)])
    print("| subject | items | largest difference of a log-likelihood | same prediction | acc groma / lm-eval |")
    print("|---|---|---|---|---|")
    failed = False
    accs = {m["metric"]: m["value"] for m in report["breakdown"]}
    for name in subjects:
        both = list(zip(ours[name], theirs[name], strict=True))
        largest = max(abs(a - b) for one, other in both for a, b in zip(one, other, strict=True))
        same = sum(one.index(max(one)) == other.index(max(other)) for one, other in both)
        acc, expected = accs[f"acc[subject={name}]"], found["results"][f"local_mmlu_{name}"]["acc,none"]
        print(f"| {name} | {len(both)} | {largest:.2g} | {same} | {acc:.6g} / {expected:.6g} |")
        failed |= largest > 1e-4 or same < len(both) or abs(acc - expected) > 1e-9
    print(f"{report['cut']} contexts cut; seconds, groma with loading / lm-eval without: "
          f"{seconds:.1f} / {harness_seconds:.1f}")
    return failed


def harness_task(name, data, rows, folder):
    """lm-eval's task over the first rows of a local file."""
    task_file, file, convert, _ = TASKS[name]
    config = dict(PARAGRAPHS) if task_file is None else load_yaml(TASK_FILES / task_file)
    split = config.get("test_split") or config.get("validation_split")
    path = Path(folder) / f"{name}.jsonl"
    with open(path, "w", encoding="utf-8") as out:
        for number, row in enumerate(convert(Path(data) / file)):
            if number == rows:
                break
            out.write(json.dumps(row) + "\n")
    for unused in ("training_split", "validation_split", "test_split", "dataset_name", "tag", "group"):
        config.pop(unused, None)
    config |= {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: str(path)}},
        "test_split" if split == "test" else "validation_split": split,
    }
    return config


def harness(model, name, data, rows, folder):
    rolling = name == "perplexity"
    network = AutoModelForCausalLM.from_pretrained(model, dtype="float32")
    subject = HFLM(
        pretrained=network,
        tokenizer=AutoTokenizer.from_pretrained(model),
        batch_size=1,
        add_bos_token=False if rolling else None,
    )
    config = harness_task(name, data, rows, folder)
    started = time.time()
    found = lm_eval.simple_evaluate(
        subject,
        tasks=[config],
        task_manager=TaskManager(),
        log_samples=True,
        bootstrap_iters=0,
    )
    seconds = time.time() - started
    metrics = {key.split(",")[0]: value for key, value in found["results"][name].items() if key.endswith(",none")}
    samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])

    def values(sample):
        return [float(reply[0] if isinstance(reply, (list, tuple)) else reply) for reply in
                (reply[0] if isinstance(reply, list) and isinstance(reply[0], (list, tuple)) else reply
                 for reply in sample["resps"])]

    return metrics, [values(sample) for sample in samples], seconds


def groma(program, model, name, data, rows):
    started = time.time()
    command = [program, str(model), name, str(Path(data) / TASKS[name][1]), str(rows)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    seconds = time.time() - started
    records = [json.loads(line) for line in lines]
    metrics = {record["metric"]: record["value"] for record in records if "metric" in record}
    items = {}
    for record in (record for record in records if "scores" in record):
        scores = record["scores"]
        if name == "perplexity":
            whole = items.setdefault(record["id"].split("/")[0], [0.0])
            whole[0] -= scores["nats"]
        else:
            choices = sum(key.startswith("logp_") for key in scores)
            items[record["id"]] = [scores[f"logp_{choice}"] for choice in range(choices)]
    return metrics, list(items.values()), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--groma", default="target/release/examples/item_scores")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--fixture", type=Path)
    parser.add_argument("--mmlu", type=int, metavar="SUBJECTS", help="compare MMLU instead, so many subjects")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--program", default="target/release/groma")
    parser.add_argument("--write-tasks", type=Path, metavar="DIR")
    parser.add_argument("--tolerance", type=float, default=2e-3, help="largest accepted difference of a log-likelihood")
    arguments = parser.parse_args()
    if arguments.write_tasks:
        return write_mmlu_tasks(arguments)
    if arguments.model is None:
        parser.error("--model is needed")
    if arguments.mmlu:
        sys.exit(1 if compare_mmlu(arguments) else 0)
    fixture, failed = {}, False
    print("| task | items | largest difference of a log-likelihood | same prediction | metrics groma / lm-eval | seconds |")
    print("|---|---|---|---|---|---|")
    for name in arguments.tasks.split(","):
        with tempfile.TemporaryDirectory() as folder:
            expected, logps, harness_seconds = harness(arguments.model, name, arguments.data, arguments.rows, folder)
        fixture[name] = {"metrics": {key: expected[key] for key in TASKS[name][3]}, "log_likelihoods": logps}
        if arguments.fixture:
            continue
        found, ours, seconds = groma(arguments.groma, arguments.model, name, arguments.data, arguments.rows)
        pairs = [(a, b) for one, other in zip(ours, logps, strict=True) for a, b in zip(one, other, strict=True)]
        largest = max(abs(a - b) for a, b in pairs)
        same = sum(one.index(max(one)) == other.index(max(other)) for one, other in zip(ours, logps))
        metrics = ", ".join(f"{key} {found[key]:.6g} / {expected[key]:.6g}" for key in TASKS[name][3])
        print(f"| {name} | {len(ours)} | {largest:.2g} | {same} | {metrics} | {seconds:.1f} / {harness_seconds:.1f} |",
              flush=True)
        failed |= largest > arguments.tolerance or any(
            abs(found[key] - expected[key]) > 1e-4 * abs(expected[key]) for key in TASKS[name][3]
        )
    if arguments.fixture:
        arguments.fixture.write_text(json.dumps(fixture, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

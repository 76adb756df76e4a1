"""lm-evaluation-harness's side of the MMLU rows: lm_eval_worker.py CHECKPOINT_DIRECTORY THREADS BATCH_SIZE.

Commands: `{"data": DIRECTORY, "subjects": [...], "repetitions": N}`; DIRECTORY has `dev/SUBJECT_dev.csv` and
`test/SUBJECT_test.csv`. The result has a list of predicted choices for each subject. The tasks are the harness's own
(description, template, five examples, one-token answers); only where their rows come from is replaced. Timed: the whole
evaluation of loaded rows with a loaded model.
"""

import csv
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

os.environ.update(TQDM_DISABLE="1", HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

import lm_eval
import torch
import transformers
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager, get_task_dict

import protocol

TASKS = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
SHOTS = 5


def convert(source, target):
    with open(source, newline="") as file, open(target, "w") as out:
        for row in csv.DictReader(file):
            choices = [row[f"choice{i}"] for i in range(4)]
            row = {"question": row["question"], "choices": choices, "answer": int(row["answer"])}
            out.write(json.dumps(row) + "\n")


def task(subject, data, scratch):
    """The harness's own task, with rows from files."""
    config = yaml.safe_load((TASKS / "_default_template_yaml").read_text())
    config |= yaml.safe_load((TASKS / f"mmlu_{subject}.yaml").read_text())
    files = {split: str(scratch / f"{subject}_{split}.jsonl") for split in ("dev", "test")}
    for split, target in files.items():
        convert(data / split / f"{subject}_{split}.csv", target)
    for key in ("include", "dataset_name", "tag"):
        config.pop(key, None)
    return config | {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "num_fewshot": SHOTS}


class Worker:
    def __init__(self, directory, batch_size):
        batch_size = int(batch_size) if batch_size.isdigit() else batch_size
        self.model = HFLM(directory, device="cpu", dtype="float32", batch_size=batch_size)
        self.scratch = Path(tempfile.mkdtemp())

    def prepare(self, command):
        data = Path(command["data"])
        return get_task_dict([task(subject, data, self.scratch) for subject in command["subjects"]], TaskManager())

    def run(self, command, tasks):
        results = lm_eval.evaluate(self.model, tasks, bootstrap_iters=0, log_samples=True)
        return {name.removeprefix("mmlu_"): predictions(samples) for name, samples in results["samples"].items()}


def predictions(samples):
    """The most likely choice of each item, in their order."""
    samples = sorted(samples, key=lambda sample: sample["doc_id"])
    logps = [[float(response[0]) for response in sample["filtered_resps"]] for sample in samples]
    return [max(range(len(choices)), key=choices.__getitem__) for choices in logps]


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    torch.set_num_threads(int(sys.argv[2]))
    worker = Worker(sys.argv[1], sys.argv[3])
    protocol.serve(worker.run, worker.prepare)

#!/usr/bin/env python3
"""Loads what groma wrote in transformers and peft, and compares the logits (or scores) with groma's.

Usage: check_exports.py [DIRECTORY]      (needs torch, transformers 5, peft; runs cargo)

Without a directory, writes the exports of `cargo run -p groma-model --example write_exports` into a temporary one.
Exits with 1 where a difference is above 1e-4.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
import transformers

TOLERANCE = 1e-4
ROOT = pathlib.Path(__file__).resolve().parent.parent


def write_exports(directory):
    command = ["cargo", "run", "--release", "--quiet", "-p", "groma-model", "--example", "write_exports", "--"]
    subprocess.run([*command, str(directory)], cwd=ROOT, check=True)


def load(directory, record):
    score = record["score"]
    auto = transformers.AutoModelForSequenceClassification if score else transformers.AutoModelForCausalLM
    source = record["base"] or directory
    model, info = auto.from_pretrained(
        source, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    problems = {key: value for key, value in info.items() if value}
    if problems and not record["base"]:
        raise SystemExit(f"{directory}: {problems}")
    if record["base"]:
        model = peft.PeftModel.from_pretrained(model, directory)
    return model.eval()


@torch.no_grad()
def difference(directory):
    record = json.loads(directory.with_suffix(".json").read_text())
    model = load(directory, record)
    logits = model(input_ids=torch.tensor([record["ids"]]), use_cache=False).logits[0].float().flatten()
    return (logits - torch.tensor(record["values"])).abs().max().item()


def main(arguments):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(arguments[0] if arguments else temporary)
        if not arguments:
            write_exports(root)
        directories = sorted(path for path in root.iterdir() if path.is_dir())
        results = {directory.name: difference(directory) for directory in directories}
    for name, value in results.items():
        print(f"{name:32} {value:.2e}{'' if value <= TOLERANCE else '   DIFFERS'}")
    print(f"{len(results)} exports")
    return 0 if results and all(value <= TOLERANCE for value in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

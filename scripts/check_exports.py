#!/usr/bin/env python3
"""Loads what groma wrote in transformers and peft, and compares what all heads say with groma's.

The class in transformers gives the first head; those beside it, which transformers passes over, are read from the weights
and applied to its hidden states, as TRL's AutoModelForCausalLMWithValueHead does.

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
from safetensors.torch import load_file

TOLERANCE = 1e-4
ROOT = pathlib.Path(__file__).resolve().parent.parent


def write_exports(directory):
    command = ["cargo", "run", "--release", "--quiet", "-p", "groma-model", "--example", "write_exports", "--"]
    subprocess.run([*command, str(directory)], cwd=ROOT, check=True)


AUTO = {
    "unembed": transformers.AutoModelForCausalLM,
    "score": transformers.AutoModelForSequenceClassification,
    "token_score": transformers.AutoModelForTokenClassification,
}
# Names in files that are not those of the heads.
PATHS = {"value": "v_head.summary"}


def load(directory, record):
    head = record["heads"][0]
    auto = AUTO[head["name"]]
    source = record["base"] or directory
    labels = len(head["values"]) // (len(record["ids"]) if head["name"] == "token_score" else 1)
    # A base model is a language model as a rule, and does not know the adapter's labels.
    options = {"num_labels": labels} if record["base"] and head["name"] != "unembed" else {}
    model, info = auto.from_pretrained(
        source, attn_implementation="eager", dtype=torch.float32, output_loading_info=True, **options
    )
    beside = tuple(f"{PATHS.get(head['name'], head['name'])}." for head in record["heads"][1:])
    foreign = [name for name in info.pop("unexpected_keys") if not name.startswith(beside or ("\0",))]
    problems = {key: value for key, value in {**info, "unexpected_keys": foreign}.items() if value}
    if problems and not record["base"]:
        raise SystemExit(f"{directory}: {problems}")
    if record["base"]:
        model = peft.PeftModel.from_pretrained(model, directory)
    return model.eval()


def beside(directory, name, hidden):
    file, prefix = ("adapter_model", "base_model.model.") if "adapter" in directory.name else ("model", "")
    weights = load_file(directory / f"{file}.safetensors")
    path = prefix + PATHS.get(name, name)
    return torch.nn.functional.linear(hidden, weights[f"{path}.weight"], weights.get(f"{path}.bias"))


@torch.no_grad()
def difference(directory):
    record = json.loads(directory.with_suffix(".json").read_text())
    model = load(directory, record)
    out = model(input_ids=torch.tensor([record["ids"]]), use_cache=False, output_hidden_states=True)
    largest = 0.0
    for index, head in enumerate(record["heads"]):
        theirs = out.logits[0].float() if index == 0 else beside(directory, head["name"], out.hidden_states[-1][0])
        ours = torch.tensor(head["values"])
        # A head of sequences is read at the last token.
        theirs = theirs.flatten()[-ours.numel() :] if head["name"] == "score" else theirs.flatten()
        largest = max(largest, (theirs - ours).abs().max().item())
    return largest


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

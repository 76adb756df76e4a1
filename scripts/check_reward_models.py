#!/usr/bin/env python3
"""Trains reward models with groma, whole and as LoRA adapters, and compares in transformers what batches of them say.

The base models are small and random, of several families, with the village's tokenizer in the states in which tokenizers are
met: with a pad token, with none (with and without a spare row in the embedding for one), with one of that name that no file
calls so, and with its EOS as pad token. Rewards of
held-out pairs are groma's own (`groma eval --task preference --json --items`); transformers and peft open what groma wrote, as
the cards of adapters say, and read the same texts in batches of 1, 2 and 8, padded by the tokenizer that lies beside.
Each is then trained on from, and must go on from the rewards that it has.

Usage: check_reward_models.py [GROMA]      (needs torch, transformers 5, peft; without a program, runs `cargo run`)

Exits with 1 where a difference is above 1e-5.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers
from peft import AutoPeftModelForSequenceClassification

TOLERANCE = 1e-5
ROOT = pathlib.Path(__file__).resolve().parent.parent
PAIRS, HELD_OUT = 64, 24
SIZES = dict(max_position_embeddings=256, tie_word_embeddings=True)
LLAMA = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96)
GPT2 = dict(n_embd=48, n_layer=2, n_head=4, n_positions=256)
# What a tokenizer's files say of padding, and by how many rows the embedding is larger than the tokenizer.
PADDED, NONE, EOS = {"pad_token": "<|pad|>"}, {}, {"pad_token": "<|end|>"}
# What the village's pad token is called in a tokenizer that has none.
NOUGHT = "<|0|>"
BASES = {
    "llama, a pad token": (transformers.LlamaConfig, LLAMA | SIZES, PADDED, 0),
    "llama, no pad token": (transformers.LlamaConfig, LLAMA | SIZES, NONE, 0),
    "llama, pad is EOS": (transformers.LlamaConfig, LLAMA | SIZES, EOS, 0),
    "gpt2, pad is EOS": (transformers.GPT2Config, GPT2, EOS, 0),
    "gpt2, no pad token": (transformers.GPT2Config, GPT2, NONE, 0),
    "gpt2, one by its name": (transformers.GPT2Config, GPT2, NONE, 0),
    "qwen3, a spare row": (transformers.Qwen3Config, LLAMA | SIZES | {"head_dim": 12}, NONE, 14),
    "gemma2, a pad token": (transformers.Gemma2Config, LLAMA | SIZES | {"head_dim": 12, "sliding_window": 64}, PADDED, 0),
}


def write_base(directory, village, name, recipe):
    """A random model with the village's tokenizer."""
    kind, sizes, padding, spare = recipe
    tokenizer = json.loads((village / "model/tokenizer.json").read_text())
    vocabulary = len(tokenizer["model"]["vocab"])
    torch.manual_seed(len(directory.name))
    config = kind(vocab_size=vocabulary + spare, eos_token_id=1, bos_token_id=None, **sizes)
    config.pad_token_id = None
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(directory)
    for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
        shutil.copy(village / "model" / file, directory / file)
    for file in ["tokenizer_config.json", "special_tokens_map.json"]:
        fields = json.loads((directory / file).read_text())
        fields.pop("pad_token", None)
        (directory / file).write_text(json.dumps(fields | padding))
    if padding != PADDED and "by its name" not in name:
        file = directory / "tokenizer.json"
        file.write_text(file.read_text().replace("<|pad|>", NOUGHT))


def pairs(path, count):
    return [json.loads(line) for line in path.read_text().splitlines()[:count]]


class Groma:
    def __init__(self, program, place):
        self.program, self.place = program, place

    def __call__(self, *arguments):
        done = subprocess.run([*self.program, *map(str, arguments)], cwd=self.place, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"groma {' '.join(map(str, arguments))}\n{done.stderr}")
        return done.stdout

    def train(self, model, output, lora, steps=24):
        settings = {"max_steps": steps, "per_device_train_batch_size": 4, "learning_rate": 5e-3}
        settings |= {"lora.r": 4} if lora else {}
        given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        said = self("train", "reward", "--model", model, "--data", "pairs.jsonl", "--output", output, "--json", *given)
        return json.loads(said)

    def rewards(self, model):
        task = ("--task", "preference=held_out.jsonl", "--name", f"{model}-pairs")
        found = json.loads(self("eval", "--model", model, *task, "--json", "--items"))[0]
        scores = [item["scores"] for item in found["items"]]
        return [value for item in scores for value in (item["reward_chosen"], item["reward_rejected"])]


def open_elsewhere(directory, lora):
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    if lora:
        options = dict(num_labels=1, dtype=torch.float32)
        model = AutoPeftModelForSequenceClassification.from_pretrained(directory, **options).eval()
        model.config.pad_token_id = tokenizer.pad_token_id
        return tokenizer, model
    model = transformers.AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
    return tokenizer, model.eval()


@torch.no_grad()
def theirs(directory, lora, rows, size):
    tokenizer, model = open_elsewhere(directory, lora)
    turns = [row["prompt"] + row[side] for row in rows for side in ("chosen", "rejected")]
    texts = [tokenizer.apply_chat_template(turn, tokenize=False) for turn in turns]
    values = []
    for start in range(0, len(texts), size):
        batch = tokenizer(texts[start : start + size], add_special_tokens=False, padding=True, return_tensors="pt")
        batch.pop("token_type_ids", None)
        values += model(**batch).logits[:, 0].tolist()
    return values


def main(arguments):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    program = arguments or ["cargo", "run", "--release", "--quiet", f"--manifest-path={ROOT}/Cargo.toml", "--bin", "groma", "--"]
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        groma = Groma(program, place)
        groma("organism", "--export", "village")
        rows = pairs(place / "village/held_out/preferences.jsonl", HELD_OUT)
        for name, lines in [("pairs", pairs(place / "village/train/preferences.jsonl", PAIRS)), ("held_out", rows)]:
            (place / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        for number, (name, recipe) in enumerate(BASES.items()):
            write_base(place / f"base-{number}", place / "village", name, recipe)
            for lora in (False, True):
                model = f"reward-{number}-{'lora' if lora else 'full'}"
                groma.train(f"base-{number}", model, lora)
                ours = groma.rewards(model)
                found = {size: theirs(place / model, lora, rows, size) for size in (1, 2, 8)}
                differences = {
                    size: max(abs(one - other) for one, other in zip(ours, values, strict=True))
                    for size, values in found.items()
                }
                spread = max(ours) - min(ours)
                worst = max(worst, *differences.values())
                groma.train(model, f"{model}-more", lora, steps=2)
                shown = ", ".join(f"batch {size}: {value:.1e}" for size, value in differences.items())
                print(f"{name:22} {'LoRA' if lora else 'full'}  {shown}  ({len(ours)} texts, rewards spread over {spread:.2f})")
                if spread < 0.1:
                    raise SystemExit("the rewards are too much alike to tell anything")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A directory with a tiny model, an adapter, rows, recipes and a run, made by the program and in plain Python."""

import json
import os
import random
import shutil
import struct
import subprocess
import tempfile

HIDDEN, LAYERS, INNER = 16, 2, 32

RECIPE = """name = "tiny"
model = "./model"
preferences = "pairs.jsonl"
held_out = 0.25

[[stage]]
kind = "measure"
name = "before"

[[stage.tasks]]
task = "perplexity"
data = "texts.jsonl"

[[stage]]
kind = "train"
name = "sft"
method = "sft"
data = "texts.jsonl"

[stage.settings]
max_steps = 4
per_device_train_batch_size = 4
learning_rate = 1e-3
save_steps = 2

[[stage]]
kind = "train"
name = "dpo"
method = "dpo"
data = "preferences:train"

[stage.settings]
max_steps = 4
per_device_train_batch_size = 4
learning_rate = 1e-3
save_steps = 2

[[stage]]
kind = "measure"
name = "after"

[[stage]]
kind = "compare"
name = "compare"
before = "before"
after = "after"
"""

TASK = """id = "colours"
title = "which colour"
paper = "none"
source = "made here"
licence = "CC0-1.0"
group = "capability"
version = 1
scorer = "choice"
metrics = ["acc"]
data = { file = "colours.jsonl" }

[[form]]
name = "plain"
columns = ["question", "answers: texts", "gold: number"]
prompt = "{{ question }}"
choices = "answers"
gold = "{{ gold }}"
"""


class Place:
    """A temporary directory; files in it are named relative to it."""

    def __init__(self, groma):
        self.groma = groma

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="groma-campaign-")
        subprocess.run([self.groma, "organism", "--export", self.path("village")], check=True, capture_output=True)
        self.make_model()
        self.make_rows()
        self.write("recipe.toml", RECIPE)
        self.write("task.toml", TASK)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def make_model(self):
        """The village's tokenizer with a model of so few numbers that a run takes a fraction of a second."""
        config = json.loads(self.read("village/model/config.json"))
        config.update(hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=2, num_key_value_heads=1)
        config.update(intermediate_size=INNER, head_dim=HIDDEN // 2, max_position_embeddings=128)
        self.write("model/config.json", json.dumps(config, indent=1))
        for name in os.listdir(self.path("village/model")):
            if name.endswith(".json") and name != "config.json" or name.endswith(".jinja"):
                self.write(f"model/{name}", self.read(f"village/model/{name}"))
        shapes = {"model.embed_tokens.weight": [config["vocab_size"], HIDDEN], "model.norm.weight": [HIDDEN]}
        if not config.get("tie_word_embeddings"):
            shapes["lm_head.weight"] = [config["vocab_size"], HIDDEN]
        for layer in range(LAYERS):
            block = f"model.layers.{layer}"
            for name, rows, columns in linears():
                shapes[f"{block}.{name}.weight"] = [rows, columns]
            shapes[f"{block}.input_layernorm.weight"] = shapes[f"{block}.post_attention_layernorm.weight"] = [HIDDEN]
        self.write("model/model.safetensors", safetensors(shapes, random.Random(1)))
        adapter = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "lora_dropout": 0.0,
                   "bias": "none", "task_type": "CAUSAL_LM", "base_model_name_or_path": self.path("model")}
        self.write("adapter/adapter_config.json", json.dumps(adapter))
        pairs = {}
        for layer in range(LAYERS):
            name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
            pairs[f"{name}.lora_A.weight"], pairs[f"{name}.lora_B.weight"] = [2, HIDDEN], [HIDDEN, 2]
        self.write("adapter/adapter_model.safetensors", safetensors(pairs, random.Random(2)))

    def make_rows(self):
        texts = self.read("village/train/texts.jsonl").splitlines()[:24]
        pairs = self.read("village/train/preferences.jsonl").splitlines()[:24]
        self.write("texts.jsonl", b"\n".join(texts))
        self.write("pairs.jsonl", b"\n".join(pairs))
        self.write("text.txt", json.loads(texts[0])["text"])
        self.write("texts.json", json.dumps([json.loads(row) for row in texts]))
        self.write("texts.csv", "text,label\n" + "\n".join(f'"{json.loads(row)["text"]}",1' for row in texts))
        rows = [{"question": "What colour is the sky?", "answers": ["blue", "red"], "gold": number % 2} for number in range(6)]
        self.write("colours.jsonl", "\n".join(json.dumps(row) for row in rows))


def linears():
    """The layers of a block: name, outputs, inputs."""
    half = HIDDEN // 2
    attention = [("q_proj", HIDDEN, HIDDEN), ("k_proj", half, HIDDEN), ("v_proj", half, HIDDEN), ("o_proj", HIDDEN, HIDDEN)]
    mlp = [("gate_proj", INNER, HIDDEN), ("up_proj", INNER, HIDDEN), ("down_proj", HIDDEN, INNER)]
    return [(f"self_attn.{name}", *shape) for name, *shape in attention] + [(f"mlp.{name}", *shape) for name, *shape in mlp]


def safetensors(shapes, draw):
    """A file of random tensors of these shapes; norms are of ones."""
    header, body = {}, []
    at = 0
    for name, shape in sorted(shapes.items()):
        count = 1
        for size in shape:
            count *= size
        values = [1.0] * count if "norm" in name else [draw.gauss(0, 0.05) for _ in range(count)]
        body.append(struct.pack(f"<{count}f", *values))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * count]}
        at += 4 * count
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(body)

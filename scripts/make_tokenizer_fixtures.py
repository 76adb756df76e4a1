#!/usr/bin/env python3
"""A small tokenizer of Llama's kind, and what transformers 5 makes of it under four classes and their settings.

Usage: make_tokenizer_fixtures.py      (needs transformers 5)

Writes crates/groma-model/fixtures/tokenizers/llama/: tokenizer.json (pieces with byte fallback, trained on the lines below; a
space before every text by its normalizer, as that of Llama 2 has it), lines.json (200 lines) and readings.json: for each
tokenizer_config.json its ids of every line, with what the tokenizer adds. `tokenizer_class: LlamaTokenizer[Fast]` makes
transformers 5 build the tokenizer anew, by `legacy` and `add_prefix_space`; other classes read tokenizer.json.
"""

import json
import pathlib
import random
import tempfile

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent / "crates" / "groma-model" / "fixtures" / "tokenizers" / "llama"
WORDS = "the a village smith who lives in an old house near river and sings at night was born 12 345 years ago".split()
ODD = [
    "", " ", "  ", "\n", "\t", " \n", "\n ", "Hello", " Hello", "  Hello", "Hello ", "Hello  world", "▁", "▁▁the", " ▁the",
    "naïve café", "Ünïcödé", "日本語のテキスト", "emoji 🙂 and 👩‍👩‍👧", "é", "a\u00a0b", "\u200bzero", "x\r\ny", "tab\tbed",
    "def f(x):\n    return x + 1\n", "{\"a\": [1, 2]}", "1234567890", "3.14159", "A.B.C.", "don't", "<s>", "</s>", "<s>the",
    "<s> the", "the</s>", "the </s> a", "the</s>a", "the</s> a", "</s></s>", "<unk>", "a<unk>b", "<S>", "< s>", "<s", "s>",
]  # fmt: skip
CHATS = [
    "<s>[INST] {0} [/INST] {1} </s><s>[INST] {2} [/INST]",
    "<s>[INST] <<SYS>>\n{2}\n<</SYS>>\n\n{0} [/INST] {1} </s>",
    "<|system|>\n{2}</s>\n<|user|>\n{0}</s>\n<|assistant|>\n{1}</s>\n",
    "<|user|>\n{0}</s>\n<|assistant|>\n",
]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
READINGS = [
    {"tokenizer_class": name, **settings}
    for name in ["LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"]
    for settings in [
        {},
        {"legacy": True},
        {"legacy": False},
        {"legacy": None, "add_prefix_space": None},
        {"add_prefix_space": False},
        {"legacy": True, "add_prefix_space": True},
        {"legacy": True, "add_prefix_space": False},
        {"add_bos_token": True, "add_eos_token": False},
    ]
]


def lines():
    chance = random.Random(5)
    said = lambda: " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))
    made = list(ODD)
    while len(made) < 200:
        kind = chance.randint(0, 5)
        if kind == 0:
            made.append(chance.choice(CHATS).format(said(), said(), said()))
        elif kind == 1:
            made.append(" " * chance.randint(1, 3) + said() + " " * chance.randint(0, 2))
        elif kind == 2:
            made.append(said() + chance.choice(["\n", "\n\n", "  ", "\t"]) + said())
        elif kind == 3:
            made.append(said() + chance.choice(["<s>", "</s>", " </s>", "</s> "]) + said())
        else:
            made.append(said() + chance.choice([".", "!", " ?", ""]))
    return made


def tokenizer(texts):
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, special_tokens=pieces, show_progress=False))
    saved = json.loads(made.to_str())
    saved["added_tokens"] = saved["added_tokens"][:3]
    made = Tokenizer.from_str(json.dumps(saved))
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return made


def read(config, texts):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        (directory / "tokenizer.json").write_text((ROOT / "tokenizer.json").read_text())
        (directory / "tokenizer_config.json").write_text(json.dumps({**SPECIAL, **config}))
        (directory / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
        opened = transformers.AutoTokenizer.from_pretrained(directory)
        ids = [opened.encode(text) for text in texts]
        return {
            "config": {**SPECIAL, **config},
            "class": type(opened).__name__,
            "ids": ids,
            "decoded": [opened.decode(one, skip_special_tokens=True) for one in ids],
        }


def main():
    ROOT.mkdir(parents=True, exist_ok=True)
    texts = lines()
    tokenizer(texts * 2).save(str(ROOT / "tokenizer.json"), pretty=False)
    (ROOT / "lines.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n")
    readings = [read(config, texts) for config in READINGS]
    distinct = []
    for reading in readings:
        # Ids that an earlier reading has too are named by its place.
        same = next((i for i, other in enumerate(readings) if other["ids"] == reading["ids"]), None)
        distinct.append(reading if readings[same] is reading else {**reading, "ids": same, "decoded": same})
    text = json.dumps({"transformers": transformers.__version__, "readings": distinct}, ensure_ascii=False)
    (ROOT / "readings.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

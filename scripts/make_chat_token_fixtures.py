"""Writes fixtures/chat/tokens.json: the tokens and the masks of answers that transformers makes of conversations.

    python scripts/make_chat_token_fixtures.py TEMPLATES [--extra NAME=TOKENIZER_CONFIG ...]

As scripts/make_chat_fixtures.py, whose conversations these are; needs transformers 5.23 and jinja2 3.1.6. The tokenizer is
trained here and written with them, so that it has the control tokens of the templates.
"""

import argparse
import json
import pathlib
import re
import tempfile

import tokenizers
import transformers
from transformers.utils import chat_template_utils

import make_chat_fixtures as base

TITLES = [
    "system and answer",
    "several turns",
    "control tokens in text",
    "tool call and result",
    "tool calls with ids",
    "reasoning",
    "reasoning before a question",
]


def controls(sources):
    found = set()
    for source in sources.values():
        found.update(re.findall(r"<\|?[a-z_]{3,24}\|?>|</[a-z_]{3,24}>|\[/?[A-Z_]{4,24}\]", source))
    return ["<pad>", "<s>", "</s>", *sorted(token for token in found if token not in {"<pad>", "<s>", "</s>"})]


def trained(special):
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=True)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = level
    tokenizer.decoder = tokenizers.decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=True)
    texts = [" ".join(base.WORDS[(n * 7 + k * k * 3 + n // 5) % len(base.WORDS)] for k in range(8)) for n in range(500)]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=360 + len(special),
        show_progress=False,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def digest(numbers):
    """FNV-1a of 64 bits over numbers of four bytes, the first byte the lowest."""
    value = 0xCBF29CE484222325
    for number in numbers:
        for byte in number.to_bytes(4, "little"):
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def outcome(tokenizer, source, case):
    marks = bool(re.search(r"\{%-?\s*generation", source))
    try:
        found = tokenizer.apply_chat_template(
            case["messages"],
            tools=case.get("tools"),
            documents=case.get("documents"),
            chat_template=source,
            add_generation_prompt=case.get("add_generation_prompt", False),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=marks,
            **case.get("variables", {}),
        )
    except Exception as error:  # a template may refuse a conversation
        return {"error": type(error).__name__}
    result = {"count": len(found["input_ids"]), "ids": digest(found["input_ids"])}
    if marks:
        mask = found["assistant_masks"]
        result["learned"] = [at for at, learned in enumerate(mask) if learned != (mask[at - 1] if at else 0)]
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("templates", type=pathlib.Path)
    parser.add_argument("--extra", action="append", default=[])
    arguments = parser.parse_args()
    chat_template_utils.datetime = base.PinnedDatetime
    sources = {path.name: path.read_bytes().decode() for path in sorted(arguments.templates.glob("*.jinja"))}
    for extra in arguments.extra:
        name, path = extra.split("=", 1)
        sources[name] = json.loads(pathlib.Path(path).read_text())["chat_template"]
    tokenizer = trained(controls(sources))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": None}
    config.update({role: token for role, token in roles.items() if token})
    with tempfile.TemporaryDirectory() as directory:
        tokenizer.save(f"{directory}/tokenizer.json")
        pathlib.Path(directory, "tokenizer_config.json").write_text(json.dumps(config))
        loaded = transformers.AutoTokenizer.from_pretrained(directory)
    templates = {
        name: {title: outcome(loaded, source, base.CONVERSATIONS[title]) for title in TITLES} for name, source in sources.items()
    }
    made_by = f"scripts/make_chat_token_fixtures.py, transformers {transformers.__version__}"
    result = {
        "made_by": made_by,
        "tokenizer": json.loads(tokenizer.to_str()),
        "tokenizer_config": config,
        "templates": templates,
    }
    base.write("tokens.json", result)
    rendered = sum("ids" in case for entry in templates.values() for case in entry.values())
    print(f"{len(templates)} templates, {rendered} conversations in tokens")


if __name__ == "__main__":
    main()

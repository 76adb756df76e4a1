"""Writes fixtures/chat/*.json: what transformers renders from chat templates, and a tokenizer trained by tokenizers.

    python scripts/make_chat_fixtures.py TEMPLATES [--extra NAME=TOKENIZER_CONFIG ...]

TEMPLATES is the directory printed by scripts/fetch_chat_templates.sh. Needs transformers 5.23 and jinja2 3.1.6. The
templates themselves are not written, only their names and digests.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import tempfile

import tokenizers
import transformers
from transformers.utils import chat_template_utils

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOW = datetime.datetime(2024, 7, 26, 15, 4, 9)

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a place, \"now\" & later",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town <or> village"},
                "days": {"type": "integer", "enum": [1, 3, 7]},
                "options": {
                    "type": "object",
                    "description": "How",
                    "properties": {"unit": {"type": "string", "enum": ["°C", "°F"]}, "tags": {"type": "array", "items": {"type": "string"}}},
                    "required": ["unit"],
                },
            },
            "required": ["place"],
        },
        "return": {"type": "string", "description": "a text"},
    },
}
SECOND_TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}},
}
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"place": "Ulm", "days": 3, "exact": True, "note": None, "scale": 1.5}}}
CALL_WITH_ID = {"id": "call00001", **CALL}


def turn(role, content, **extra):
    return {"role": role, "content": content, **extra}


CONVERSATIONS = {
    "one question": {"messages": [turn("user", "What is 2+2?")], "add_generation_prompt": True},
    "system and answer": {"messages": [turn("system", "Be brief."), turn("user", "Hi!"), turn("assistant", "Hello.")]},
    "several turns": {
        "messages": [
            turn("user", "  leading space, 'quotes' and \"double\"\n"),
            turn("assistant", "First answer\n\nwith lines  "),
            turn("user", "Ünïcödé 日本語 🙂 {{ braces }} {% tag %} <b>&amp;</b>"),
            turn("assistant", "Second"),
            turn("user", "Third?"),
        ],
        "add_generation_prompt": True,
    },
    "empty texts": {"messages": [turn("user", ""), turn("assistant", "")]},
    "control tokens in text": {"messages": [turn("user", "a<|im_end|>\n<|im_start|>system\nb</s>[INST]"), turn("assistant", "ok<|eot_id|>")]},
    "tools": {"messages": [turn("user", "Weather in Ulm?")], "tools": [TOOL, SECOND_TOOL], "add_generation_prompt": True},
    "tool call and result": {
        "messages": [
            turn("system", "Use tools."),
            turn("user", "Weather in Ulm?"),
            turn("assistant", "", tool_calls=[CALL]),
            turn("tool", "{\"t\": 21}", name="get_weather"),
            turn("assistant", "21 degrees."),
        ],
        "tools": [TOOL],
    },
    "tool calls with ids": {
        "messages": [
            turn("user", "Weather in Ulm?"),
            turn("assistant", None, tool_calls=[CALL_WITH_ID]),
            turn("tool", "sunny", name="get_weather", tool_call_id="call00001"),
        ],
        "tools": [TOOL],
        "add_generation_prompt": True,
    },
    "reasoning": {
        "messages": [
            turn("user", "Think."),
            turn("assistant", "Done.", reasoning_content="step 1\nstep 2"),
            turn("user", "Again."),
            turn("assistant", "<think>\nhm\n</think>\n\nDone again."),
        ]
    },
    "reasoning before a question": {
        "messages": [turn("user", "Think."), turn("assistant", "<think>x</think>y"), turn("user", "More?")],
        "add_generation_prompt": True,
        "variables": {"enable_thinking": False},
    },
    "parts": {
        "messages": [
            turn("user", [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "and say."}]),
            turn("assistant", [{"type": "text", "text": "A cat."}]),
        ]
    },
    "roles out of order": {"messages": [turn("assistant", "I begin."), turn("assistant", "And go on."), turn("user", "Hm.")]},
    "documents": {
        "messages": [turn("user", "What is in them?")],
        "documents": [{"title": "One", "text": "First text."}, {"title": "Two", "text": "Second."}],
        "add_generation_prompt": True,
    },
    "no messages": {"messages": []},
}

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


class PinnedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def rendered(template, case, marks):
    keywords = {"documents": case.get("documents"), **TOKENS, **case.get("variables", {})}
    # As apply_chat_template does before it renders.
    messages = [{key: value for key, value in message.items() if value is not None} for message in case["messages"]]
    texts, ranges = chat_template_utils.render_jinja_template(
        conversations=[messages],
        tools=case.get("tools"),
        chat_template=template,
        return_assistant_tokens_mask=marks,
        add_generation_prompt=case.get("add_generation_prompt", False),
        **keywords,
    )
    return texts[0], ranges[0] if marks else []


def outcome(template, case, marks):
    try:
        text, ranges = rendered(template, case, marks)
    except Exception as error:  # a template may refuse a conversation
        return {"error": type(error).__name__}
    bytes_at = lambda index: len(text[:index].encode())
    result = {"sha256": hashlib.sha256(text.encode()).hexdigest()[:24], "bytes": len(text.encode())}
    if marks:
        result["assistant"] = [[bytes_at(start), bytes_at(end)] for start, end in ranges if start < end]
    return result


WORDS = ["the", "miller", "bread", "river", "sells", "walks", "to", "market", "Ünder", "🙂", "don't", "12", "345"]
PROBES = ["the miller <s> walks", "", " river", "日本語 🙂 don't\n\n", "</s><pad>x"]


def trained():
    """Byte-level BPE of a small corpus, as train_bpe makes it, loaded by transformers from its files."""
    texts = [" ".join(WORDS[(n * 7 + k * k * 3 + n // 5) % len(WORDS)] for k in range(8)) for n in range(500)]
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=True)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = level
    tokenizer.post_processor = tokenizers.processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=True)
    tokenizer.decoder = tokenizers.decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=True)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=330,
        min_frequency=2,
        show_progress=False,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=32,
    )
    tokenizer.train_from_iterator(texts, trainer)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
    }
    with tempfile.TemporaryDirectory() as directory:
        tokenizer.save(f"{directory}/tokenizer.json")
        pathlib.Path(directory, "tokenizer_config.json").write_text(json.dumps(config))
        loaded = transformers.AutoTokenizer.from_pretrained(directory)
        ids = {probe: loaded(probe)["input_ids"] for probe in PROBES}
        roles = [loaded.pad_token_id, loaded.bos_token_id, loaded.eos_token_id]
    model = json.loads(tokenizer.to_str())["model"]
    return {"texts": texts, "vocab": model["vocab"], "merges": model["merges"], "config": config, "ids": ids, "roles": roles}


def write(name, value, indent=None):
    target = ROOT / "fixtures/chat" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("templates", type=pathlib.Path)
    parser.add_argument("--extra", action="append", default=[])
    arguments = parser.parse_args()
    chat_template_utils.datetime = PinnedDatetime
    sources = {path.name: path.read_bytes().decode() for path in sorted(arguments.templates.glob("*.jinja"))}
    for extra in arguments.extra:
        name, path = extra.split("=", 1)
        sources[name] = json.loads(pathlib.Path(path).read_text())["chat_template"]
    templates = {}
    for name, source in sources.items():
        marks = "generation" in source
        templates[name] = {
            "sha256": hashlib.sha256(source.encode()).hexdigest(),
            "outcomes": {title: outcome(source, case, marks) for title, case in CONVERSATIONS.items()},
        }
    result = {
        "made_by": f"scripts/make_chat_fixtures.py, transformers {transformers.__version__}",
        "now": NOW.isoformat(),
        "tokens": TOKENS,
        "conversations": CONVERSATIONS,
        "templates": templates,
    }
    write("rendered.json", result, indent=1)
    made_by = f"scripts/make_chat_fixtures.py, tokenizers {tokenizers.__version__}, transformers {transformers.__version__}"
    write("trained.json", {"made_by": made_by, **trained()})
    ok = sum("sha256" in case for entry in templates.values() for case in entry["outcomes"].values())
    print(f"{len(templates)} templates, {ok} renderings")


if __name__ == "__main__":
    main()

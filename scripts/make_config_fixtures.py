#!/usr/bin/env python3
"""The fields that published configurations have beside those that say what a model computes.

Usage: make_config_fixtures.py      (needs transformers 5, peft)

Writes crates/groma-model/fixtures/config_fields.json:
- `generation`: every field of transformers' GenerationConfig, which version 4 also wrote into config.json;
- `published`: fields that no class of transformers 5 has and that published models of these families carry: of older versions
  (`n_special`, `output_past`), of trainers (`neftune_noise_alpha`, `model_max_length`), of converters;
- `families`: per family, what its configuration class writes for the tiny model of fixtures/families, defaults and all;
- `peft`: what LoraConfig writes by default.
Where a default is null, a value that people give stands in its place, so that the field counts.
"""

import json
import pathlib

import peft
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent / "crates" / "groma-model" / "fixtures"
FAMILIES = [
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "olmo2", "gpt2", "gpt_neo", "gpt_neox",
]  # fmt: skip
GENERATION_VALUES = {
    "bad_words_ids": [[3]],
    "cache_implementation": "hybrid",
    "eos_token_id": [2, 3],
    "exponential_decay_length_penalty": [5, 1.1],
    "forced_bos_token_id": 1,
    "forced_eos_token_id": 2,
    "stop_strings": ["###"],
    "suppress_tokens": [3],
    "begin_suppress_tokens": [3],
    "do_sample": True,
    "temperature": 0.6,
    "top_p": 0.9,
    "prompt_lookup_num_tokens": 3,
}
PUBLISHED = {
    "all": {
        "max_seq_length": 2048,
        "max_sequence_length": 2048,
        "model_max_length": 4096,
        "neftune_noise_alpha": 5.0,
        "prefix": "x",
        "return_dict": True,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "tokenizer_model_max_length": 4096,
        "tokenizer_padding_side": "right",
        "torch_dtype": "float16",
        "unsloth_fixed": True,
        "unsloth_version": "2024.9",
    },
    "gpt2": {
        "n_special": 0,
        "output_past": True,
        "predict_special_tokens": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    },
    "gpt_neo": {"gradient_checkpointing": True, "summary_first_dropout": 0.1, "summary_type": "cls_index"},
    "llama": {"is_llama_config": True, "pretraining_tp": 2, "transformers.js_config": {"dtype": "q4"}},
    "qwen2": {"use_mrope": False},
}


def generation():
    fields = transformers.GenerationConfig().to_dict()
    fields.pop("transformers_version", None)
    return {name: GENERATION_VALUES.get(name, 1 if value is None else value) for name, value in fields.items()}


def family(name):
    config = json.loads((ROOT / "families" / name / "config.json").read_text())
    written = transformers.AutoConfig.for_model(**config).to_dict()
    return {name: value for name, value in written.items() if name not in config and value is not None}


def main():
    fields = {
        "transformers": transformers.__version__,
        "peft_version": peft.__version__,
        "generation": generation(),
        "published": PUBLISHED,
        "families": {name: family(name) for name in FAMILIES},
        "peft": json.loads(json.dumps(peft.LoraConfig().to_dict(), default=sorted)),
    }
    (ROOT / "config_fields.json").write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

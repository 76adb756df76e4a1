#!/usr/bin/env python3
"""Tiny random models of every supported family, with the logits that transformers computes for them.

Usage: make_family_fixtures.py [NAME ...]      (needs torch, transformers 5, peft, safetensors)

Writes crates/groma-model/fixtures/families/NAME/ (config.json as transformers 5 writes it, config.v4.json as version 4
wrote it, weights, expected.safetensors) and crates/groma-model/fixtures/adapters/NAME/ (as peft writes it, with
expected.safetensors). `expected` holds input_ids, the logits (eager attention, f32), or the score of a model of
sequences, what a value head beside them says, and the rotary frequencies. Sizes are odd on purpose: grouped heads, heads wider than hidden / heads, windows shorter than
the text, caps low enough to bite.
"""

import copy
import json
import pathlib
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent / "crates" / "groma-model" / "fixtures"
VOCABULARY = 40
TOKENS = 28

SMALL = dict(
    vocab_size=VOCABULARY,
    hidden_size=16,
    intermediate_size=20,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=5000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
LONGROPE = dict(
    rope_type="longrope",
    rope_theta=10000.0,
    short_factor=[1.0, 1.2, 1.7],
    long_factor=[1.1, 2.5, 6.0],
)
GPT2 = dict(
    vocab_size=VOCABULARY, n_embd=12, n_head=3, n_layer=2, n_positions=32, bos_token_id=1, eos_token_id=2
)
PHI3 = dict(SMALL, hidden_size=32, num_hidden_layers=2, intermediate_size=12)

# name: (class, configuration, options)
MODELS = {
    "llama": ("Llama", dict(SMALL, num_key_value_heads=4, head_dim=4, rms_norm_eps=1e-5), {}),
    "llama-llama3": (
        "Llama",
        dict(SMALL, head_dim=8, rope_parameters=LLAMA3, tie_word_embeddings=True),
        {},
    ),
    "llama-linear": ("Llama", dict(SMALL, rope_parameters=dict(rope_type="linear", rope_theta=1000.0, factor=3.0)), {}),
    "llama-dynamic": ("Llama", dict(SMALL, rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, factor=2.0)), {}),
    "llama-yarn": ("Llama", dict(SMALL, head_dim=8, rope_parameters=YARN), {}),
    "llama-biases": ("Llama", dict(SMALL, attention_bias=True, mlp_bias=True, hidden_act="gelu"), {}),
    "llama-bf16": ("Llama", dict(SMALL, head_dim=4), dict(dtype=torch.bfloat16)),
    "llama-f16-sharded": ("Llama", dict(SMALL, head_dim=4), dict(dtype=torch.float16, shard="3KB")),
    "llama-score": ("Llama", dict(SMALL), dict(head="score")),
    "mistral": ("Mistral", dict(SMALL, head_dim=8, sliding_window=6), {}),
    "qwen2": (
        "Qwen2",
        dict(SMALL, num_hidden_layers=3, use_sliding_window=True, sliding_window=7, max_window_layers=1),
        {},
    ),
    "qwen3": ("Qwen3", dict(SMALL, head_dim=6, rope_parameters=dict(rope_type="default", rope_theta=1e6)), {}),
    "gemma": ("Gemma", dict(SMALL, num_key_value_heads=1, head_dim=8), {}),
    "gemma2": (
        "Gemma2",
        dict(
            SMALL,
            head_dim=8,
            sliding_window=5,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=3.0,
            query_pre_attn_scalar=12,
        ),
        {},
    ),
    "gemma3": (
        "Gemma3",
        dict(
            SMALL,
            num_hidden_layers=3,
            head_dim=8,
            sliding_window=5,
            sliding_window_pattern=3,
            query_pre_attn_scalar=10,
            rope_parameters={
                "full_attention": dict(rope_type="linear", rope_theta=50000.0, factor=8.0),
                "sliding_attention": dict(rope_type="default", rope_theta=700.0),
            },
        ),
        {},
    ),
    "phi3": ("Phi3", dict(SMALL, sliding_window=9), {}),
    "phi3-longrope-short": (
        "Phi3",
        dict(PHI3, original_max_position_embeddings=32, rope_parameters=dict(LONGROPE, partial_rotary_factor=0.75)),
        {},
    ),
    "phi3-longrope-long": (
        "Phi3",
        dict(PHI3, original_max_position_embeddings=16, rope_parameters=dict(LONGROPE, partial_rotary_factor=0.75)),
        {},
    ),
    "olmo2": ("Olmo2", dict(SMALL, head_dim=4), {}),
    "gpt2": ("GPT2", dict(GPT2, n_embd=16, n_head=4, n_inner=20), {}),
    "gpt2-untied": (
        "GPT2",
        dict(
            GPT2,
            scale_attn_weights=False,
            activation_function="relu",
            tie_word_embeddings=False,
        ),
        {},
    ),
    "gpt2-score": (
        "GPT2",
        dict(GPT2, n_layer=1, pad_token_id=0),
        dict(head="score"),
    ),
    "gpt_neo": (
        "GPTNeo",
        dict(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_layers=2,
            num_heads=4,
            intermediate_size=20,
            max_position_embeddings=32,
            window_size=6,
            bos_token_id=1,
            eos_token_id=2,
            attention_types=[[["global", "local"], 1]],
        ),
        {},
    ),
    "gpt_neox": (
        "GPTNeoX",
        dict(
            {key: value for key, value in SMALL.items() if key != "num_key_value_heads"},
            hidden_size=32,
            num_attention_heads=2,
            rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25),
        ),
        {},
    ),
    "gpt_neox-sequential": (
        "GPTNeoX",
        dict(
            {key: value for key, value in SMALL.items() if key != "num_key_value_heads"},
            hidden_act="gelu_fast",
            use_parallel_residual=False,
            attention_bias=False,
            rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=500.0, partial_rotary_factor=1.0),
        ),
        {},
    ),
    "llama-classes": ("Llama", dict(SMALL, num_labels=3), dict(head="score")),
    "llama-tokens": ("Llama", dict(SMALL, num_labels=2), dict(head="tokens")),
    "gpt2-tokens": ("GPT2", dict(GPT2, n_layer=1, num_labels=1), dict(head="tokens")),
    # As AutoModelForCausalLMWithValueHead of TRL writes it (until 0.24): the value head among the weights, and no word of
    # it in config.json.
    "llama-value": ("Llama", dict(SMALL), dict(head="value")),
}

# name: (base, configuration)
ADAPTERS = {
    "llama": ("llama", dict(task_type="CAUSAL_LM", r=3, lora_alpha=7, target_modules=["q_proj", "v_proj", "down_proj"])),
    "llama-rslora": (
        "llama",
        dict(task_type="CAUSAL_LM", r=4, lora_alpha=5, use_rslora=True, target_modules="all-linear"),
    ),
    "llama-score": ("llama-score", dict(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=["k_proj", "o_proj"])),
    "gpt2": (
        "gpt2",
        dict(
            task_type="CAUSAL_LM",
            r=3,
            lora_alpha=6,
            fan_in_fan_out=True,
            target_modules=["c_attn", "c_proj", "c_fc"],
        ),
    ),
    "llama-tokens": ("llama-tokens", dict(task_type="TOKEN_CLS", r=2, lora_alpha=4, target_modules=["v_proj"])),
}


def classes(family, head):
    config = {"Gemma3": "Gemma3TextConfig"}.get(family, f"{family}Config")
    language = "LMHeadModel" if family == "GPT2" else "ForCausalLM"
    end = {"score": "ForSequenceClassification", "tokens": "ForTokenClassification"}.get(head, language)
    return getattr(transformers, config), getattr(transformers, family + end)


def value_head(model, seed):
    generator = torch.Generator().manual_seed(seed)
    width = model.config.hidden_size
    return {
        "v_head.summary.weight": torch.randn((1, width), generator=generator) / width**0.5,
        "v_head.summary.bias": torch.randn((1,), generator=generator),
    }


def randomise(model, seed):
    """Weights large enough for every switch to show in the logits."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if "embed" in name or "wte" in name or "wpe" in name:
            noise = noise * 0.7
        elif parameter.dim() == 2:
            noise = noise * 1.3 / parameter.shape[1] ** 0.5
        elif "norm" in name and name.endswith("weight") or "ln_" in name and name.endswith("weight"):
            offset = 0.0 if "Gemma" in type(model).__name__ else 1.0
            noise = offset + noise * 0.2
        else:
            noise = noise * 0.2
        parameter.data.copy_(noise.to(parameter.dtype))


def rotary_tensors(model):
    """Frequencies after the forward pass (longrope replaces them in it), and amplitudes."""
    found = {}
    for name, module in model.named_modules():
        if not name.endswith("rotary_emb"):
            continue
        kinds = ["full_attention_", "sliding_attention_"] if hasattr(module, "full_attention_inv_freq") else [""]
        for index, kind in enumerate(kinds):
            found[f"rotary.{index}.inverse_frequencies"] = getattr(module, f"{kind}inv_freq").float().clone()
            amplitude = getattr(module, f"{kind}attention_scaling")
            found[f"rotary.{index}.amplitude"] = torch.tensor([float(amplitude)])
    return found


def version_4(config, family):
    """The same configuration as transformers 4 wrote it."""
    old = copy.deepcopy(config)
    old["transformers_version"] = "4.51.0"
    old["torch_dtype"] = old.pop("dtype", "float32")
    parameters = old.pop("rope_parameters", None)
    if parameters is not None and family == "Gemma3":
        old["rope_theta"] = parameters["full_attention"].pop("rope_theta")
        old["rope_local_base_freq"] = parameters["sliding_attention"].pop("rope_theta")
        old["rope_scaling"] = parameters["full_attention"]
        del old["layer_types"]
        old["sliding_window_pattern"] = 3
    elif parameters is not None:
        theta = parameters.pop("rope_theta", 10000.0)
        old["rotary_emb_base" if family == "GPTNeoX" else "rope_theta"] = theta
        partial = parameters.pop("partial_rotary_factor", None)
        if partial is not None:
            old["rotary_pct" if family == "GPTNeoX" else "partial_rotary_factor"] = partial
        if parameters["rope_type"] == "longrope":
            parameters.pop("original_max_position_embeddings", None)
            parameters["type"] = parameters.pop("rope_type")
        old["rope_scaling"] = None if parameters.get("rope_type") == "default" else parameters
        if family in ("Qwen2", "Gemma2", "Qwen3"):
            old.pop("layer_types", None)
    return old


def save_expected(directory, tensors):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / "expected.safetensors")


@torch.no_grad()
def expected(model, ids, value=None):
    out = model(input_ids=ids[None], use_cache=False, output_hidden_states=True)
    logits = out.logits[0].float()
    tensors = {"input_ids": ids, "score" if logits.dim() == 1 else "logits": logits}
    if value:
        weight, bias = value["v_head.summary.weight"], value["v_head.summary.bias"]
        tensors["value"] = torch.nn.functional.linear(out.hidden_states[-1][0], weight, bias)
    return tensors


def make_model(name, family, configuration, options, seed):
    directory = ROOT / "families" / name
    shutil.rmtree(directory, ignore_errors=True)
    head = options.get("head")
    config_class, model_class = classes(family, head)
    if head == "score":
        configuration = dict(dict(num_labels=1), **configuration)
    config = config_class(**copy.deepcopy(configuration))
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    randomise(model, seed)
    model.to(options.get("dtype", torch.float32))
    model.save_pretrained(directory, max_shard_size=options.get("shard", "5GB"))
    value = value_head(model, seed) if head == "value" else None
    if value:
        weights = directory / "model.safetensors"
        save_file({**load_file(weights), **value}, weights, metadata={"format": "pt"})
    # Read again: a conversion in place would have rounded the rotary tables too.
    model = model_class.from_pretrained(directory, attn_implementation="eager", dtype=torch.float32).eval()
    ids = torch.randint(3, VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(seed + 1))
    tensors = expected(model, ids, value)
    save_expected(directory, {**tensors, **rotary_tensors(model)})
    written = json.loads((directory / "config.json").read_text())
    old = version_4(written, family)
    (directory / "config.v4.json").write_text(json.dumps(old, indent=2) + "\n")
    check_version_4(model, config_class, model_class, old, ids, tensors, value)


@torch.no_grad()
def check_version_4(model, config_class, model_class, old, ids, tensors, value):
    """transformers itself must compute the same from the old form."""
    config = config_class.from_dict(copy.deepcopy(old))
    config._attn_implementation = "eager"
    twin = model_class(config).eval().float()
    twin.load_state_dict(model.state_dict())
    again = expected(twin, ids, value)
    for key, value in tensors.items():
        assert torch.equal(again[key], value), (key, (again[key] - value).abs().max())


def make_adapter(name, base, configuration, seed):
    directory = ROOT / "adapters" / name
    shutil.rmtree(directory, ignore_errors=True)
    auto = {
        "SEQ_CLS": transformers.AutoModelForSequenceClassification,
        "TOKEN_CLS": transformers.AutoModelForTokenClassification,
    }.get(configuration["task_type"], transformers.AutoModelForCausalLM)
    model = auto.from_pretrained(ROOT / "families" / base, attn_implementation="eager", dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(**configuration)).eval()
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in sorted(model.named_parameters()):
        if "lora_" in key or "modules_to_save" in key:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    model.peft_config["default"].base_model_name_or_path = f"../../families/{base}"
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)
    ids = torch.randint(3, VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(seed + 1))
    save_expected(directory, expected(model, ids))


def main(names):
    torch.set_num_threads(1)
    for seed, (name, (family, configuration, options)) in enumerate(MODELS.items()):
        if not names or name in names:
            make_model(name, family, configuration, options, 100 * seed)
    for seed, (name, (base, configuration)) in enumerate(ADAPTERS.items()):
        if not names or name in names:
            make_adapter(name, base, configuration, 7000 + 100 * seed)
    size = sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file())
    print(f"{ROOT}: {size} bytes in all")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Writes a Llama with random weights: write_llama.py DIRECTORY HIDDEN_SIZE LAYERS VOCABULARY DTYPE [TOKENIZER_DIRECTORY].

MLP 2.6875 times the hidden size, heads of 64 (of 16 where there would be fewer than 4), half as many key/value heads.
With a tokenizer, whose vocabulary may be smaller, the checkpoint gets its files and its BOS and EOS.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def write(directory, hidden_size, layers, vocabulary, dtype, tokenizer=None):
    heads = hidden_size // 64 if hidden_size >= 256 else hidden_size // 16
    special = {"bos_token_id": None, "eos_token_id": None}
    if tokenizer:
        config = json.loads((Path(tokenizer) / "config.json").read_text())
        special = {name: config[name] for name in special}
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden_size, intermediate_size=hidden_size * 43 // 16, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads // 2, vocab_size=vocabulary, max_position_embeddings=4096,
        rms_norm_eps=1e-5, tie_word_embeddings=False, pad_token_id=None, dtype="float32", **special,
    )
    model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if tokenizer:
            shutil.copyfile(Path(tokenizer) / name, Path(directory) / name)
    print(sum(parameter.numel() for parameter in model.parameters()))


if __name__ == "__main__":
    write(sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:])

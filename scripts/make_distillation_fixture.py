#!/usr/bin/env python3
"""Distillation of a tiny Llama from a wider one, as TRL does it: losses, norms of gradients, and steps of training.

Usage: make_distillation_fixture.py      (needs torch, transformers 5 and trl 1.16)

Writes crates/groma-align/fixtures/distillation/: `student` and `teacher` as transformers writes them, and `cases.json` with
the rows (tokens, and where the completion begins), for each beta and temperature the loss of all rows in one batch and the
norm of its gradient, and the losses of AdamW steps. At temperature 1 the loss is that of `GKDTrainer.compute_loss`; at others
that of `generalized_jsd_loss`, of which the distillation trainer's is held to be the same.
"""

import json
import os
import pathlib
import shutil
import types

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import transformers
from trl.experimental.gkd import GKDTrainer
from trl.trainer.distillation_trainer import _chunked_divergence_loss

TARGET = pathlib.Path(__file__).resolve().parent.parent / "crates/groma-align/fixtures/distillation"
VOCABULARY, STEPS, RATE = 23, 20, 1e-2
ROWS = [([1, 5, 9, 3], [7, 7, 12, 2]), ([1, 20], [4, 11, 6, 19, 22, 2]), ([1, 8, 8, 8, 15, 21], [10, 2])]


def model(name, seed, **sizes):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.4, **sizes,
    )
    made = transformers.LlamaForCausalLM(config).float().eval()
    shutil.rmtree(TARGET / name, ignore_errors=True)
    made.save_pretrained(TARGET / name)
    return made


def batch():
    width = max(len(prompt) + len(completion) for prompt, completion in ROWS)
    inputs = {"input_ids": [], "attention_mask": [], "labels": []}
    for prompt, completion in ROWS:
        padding = width - len(prompt) - len(completion)
        inputs["input_ids"].append(prompt + completion + [0] * padding)
        inputs["attention_mask"].append([1] * (width - padding) + [0] * padding)
        inputs["labels"].append([-100] * len(prompt) + completion + [-100] * padding)
    return {name: torch.tensor(rows) for name, rows in inputs.items()}


def gkd(student, teacher, inputs, beta):
    trainer = types.SimpleNamespace(
        teacher_model=teacher, beta=beta, generalized_jsd_loss=GKDTrainer.generalized_jsd_loss
    )
    return GKDTrainer.compute_loss(trainer, student, inputs)


def at_temperature(student, teacher, inputs, beta, temperature):
    tensors = [inputs[name] for name in ("input_ids", "attention_mask")]
    logits = [made(*tensors).logits[:, :-1] for made in (student, teacher)]
    return GKDTrainer.generalized_jsd_loss(*logits, labels=inputs["labels"][:, 1:], beta=beta, temperature=temperature)


def chunked(student, teacher, inputs, beta, temperature):
    tensors = [inputs[name] for name in ("input_ids", "attention_mask")]
    hidden = [made.model(*tensors).last_hidden_state[:, :-1] for made in (student, teacher)]
    mask = inputs["labels"][:, 1:] != -100
    heads = [made.lm_head.weight for made in (student, teacher)]
    return _chunked_divergence_loss(*hidden, *heads, mask, beta, temperature=temperature)[0]


def norm(student, loss):
    gradients = torch.autograd.grad(loss, list(student.parameters()))
    return torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients])).item()


def steps(student, teacher, inputs, beta):
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses = []
    for _ in range(STEPS):
        loss = gkd(student, teacher, inputs, beta)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    student = model("student", 3, hidden_size=16, intermediate_size=20)
    teacher = model("teacher", 4, hidden_size=24, intermediate_size=28)
    inputs, cases = batch(), []
    for beta in (0.0, 0.3, 0.5, 1.0):
        for temperature in (1.0, 2.0):
            loss = gkd(student, teacher, inputs, beta) if temperature == 1.0 else at_temperature(
                student, teacher, inputs, beta, temperature
            )
            other = chunked(student, teacher, inputs, beta, temperature)
            assert abs(loss.item() - other.item()) < 1e-6, (loss, other)
            cases.append(dict(beta=beta, temperature=temperature, loss=loss.item(), grad_norm=norm(student, loss)))
    initial = {name: value.clone() for name, value in student.state_dict().items()}
    followed = []
    for beta in (0.0, 0.5, 1.0):
        student.load_state_dict(initial)
        followed.append(dict(beta=beta, learning_rate=RATE, losses=steps(student, teacher, inputs, beta)))
    rows = [dict(prompt=prompt, completion=completion) for prompt, completion in ROWS]
    document = dict(made_by="scripts/make_distillation_fixture.py, TRL 1.16", rows=rows, cases=cases, steps=followed)
    (TARGET / "cases.json").write_text(json.dumps(document) + "\n")
    for extra in TARGET.glob("*/generation_config.json"):
        extra.unlink()


if __name__ == "__main__":
    main()

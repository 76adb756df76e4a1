#!/usr/bin/env python3
"""Distillation from a teacher of another tokenizer, as TRL's GOLD does it: losses, slopes, norms of gradients, and steps of training.

Usage: make_gold_fixture.py      (needs torch, transformers 5 and trl 1.16)

Writes crates/groma-align/fixtures/gold/: `student` and `teacher`, tiny Llamas with byte-level tokenizers that were trained here on
other texts; `rows.jsonl`; `cases.json` with the losses of `ULDLoss` on all rows in one batch, the norms of their gradients, and the
losses of AdamW steps; and `spans.json` with losses of single spans and their slopes with respect to the logarithms of the student's
probabilities. `uld_token_merge_strategy` is `bayesian`.
"""

import json
import math
import os
import pathlib
import shutil
import types

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import tokenizers
import torch
import transformers
from trl.experimental.gold.gold_trainer import ULDLoss, build_teacher_inputs_from_texts

TARGET = pathlib.Path(__file__).resolve().parent.parent / "crates/groma-align/fixtures/gold"
STEPS = 20
END = "<|end|>"
ROWS = [
    ("the mill stands", " behind the old bridge."),
    ("who grinds here?", " the miller grinds the corn of all."),
    ("the river", " turns the wheel, and the wheel turns the stone."),
    # Characters that both cut alike into several tokens are whole here, and not in TRL.
    ("a café", " and the old miller"),
]
STUDENT_TEXTS = ["the mill stands behind the bridge", "the miller grinds corn", "the wheel turns the stone", "café über naïve"] * 3
TEACHER_TEXTS = ["who stands here? and who turns", "all the old stones of the river", "corn and mill and miller", "a café here"] * 3


def tokenizer(name, texts, size):
    """A byte-level BPE, which knows the bytes of all texts."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    shown = made.pre_tokenizer
    letters = sorted({letter for text in STUDENT_TEXTS + TEACHER_TEXTS + [part for row in ROWS for part in row]
                      for piece, _ in shown.pre_tokenize_str(text) for letter in piece})
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=size, initial_alphabet=letters, special_tokens=[END], show_progress=False)
    made.train_from_iterator(texts, trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=END)
    shutil.rmtree(TARGET / name, ignore_errors=True)
    fast.save_pretrained(TARGET / name)
    return fast


def model(name, seed, vocabulary, **sizes):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, max_position_embeddings=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=None, eos_token_id=0, pad_token_id=None, initializer_range=0.4, **sizes,
    )
    made = transformers.LlamaForCausalLM(config).float().eval()
    made.save_pretrained(TARGET / name)
    (TARGET / name / "generation_config.json").unlink(missing_ok=True)
    return made


def settings(**given):
    """What `ULDLoss` reads, with groma's defaults."""
    all_of_them = dict(
        uld_crossentropy_weight=0.0, uld_distillation_weight=1.0, uld_student_temperature=1.0, uld_teacher_temperature=1.0,
        uld_skip_student_eos=False, uld_skip_teacher_eos=False, use_extended_uld=True, uld_token_merge_strategy="bayesian",
        uld_use_hybrid_loss=True, uld_hybrid_matched_weight=None, uld_hybrid_unmatched_weight=None, beta=0.5,
    )
    skip = given.pop("uld_skip_eos", False)
    return types.SimpleNamespace(**(all_of_them | given | dict(uld_skip_student_eos=skip, uld_skip_teacher_eos=skip)))


class Pair:
    """Student and teacher with their inputs."""

    def __init__(self):
        self.tokenizers = [tokenizer("student", STUDENT_TEXTS, 70), tokenizer("teacher", TEACHER_TEXTS, 60)]
        # Rows of the embedding that no token has, as published models have them.
        self.student = model("student", 3, len(self.tokenizers[0]) + 3, hidden_size=16, intermediate_size=20)
        self.teacher = model("teacher", 4, len(self.tokenizers[1]), hidden_size=24, intermediate_size=28)
        texts = list(zip(*ROWS))
        self.inputs = [build_teacher_inputs_from_texts(one, list(texts[0]), list(texts[1])) for one in self.tokenizers]

    def loss(self, given):
        judge = ULDLoss(settings(**given), *self.tokenizers)
        logits = [one(ids, attention_mask=mask).logits for one, (ids, _, mask, _) in zip((self.student, self.teacher), self.inputs)]
        (ids, labels, _, offsets), (its_ids, its_labels, _, its_offsets) = self.inputs
        return judge(logits[0], logits[1].detach(), labels, its_labels, ids, its_ids, offsets, its_offsets)

    def norm(self, loss):
        gradients = torch.autograd.grad(loss, list(self.student.parameters()))
        return torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients])).item()

    def steps(self, given, rate):
        optimizer = torch.optim.AdamW(self.student.parameters(), lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
        losses = []
        for _ in range(STEPS):
            loss = self.loss(given)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return losses


CASES = [
    {}, {"beta": 0.0}, {"beta": 1.0}, {"uld_skip_eos": True}, {"uld_use_hybrid_loss": False}, {"use_extended_uld": False},
    {"uld_hybrid_matched_weight": 0.7, "uld_hybrid_unmatched_weight": 1.5}, {"uld_crossentropy_weight": 0.4, "uld_distillation_weight": 2.0},
    {"uld_student_temperature": 1.5, "uld_teacher_temperature": 0.7, "beta": 0.3},
]


def span(beta, weights, sizes, scale, seed):
    """The loss of one span over drawn vocabularies; `scale` is the probability of what is before the last token."""
    torch.manual_seed(seed)
    student, teacher, count = sizes
    own = torch.log_softmax(3 * torch.randn(student, dtype=torch.float64), 0) + math.log(scale)
    its = torch.log_softmax(3 * torch.randn(teacher, dtype=torch.float64), 0) + math.log(scale) / 2
    own.requires_grad_(True)
    same = list(zip(torch.randperm(student)[:count].tolist(), sorted(torch.randperm(teacher)[:count].tolist())))
    if beta is None:
        ranks = [torch.nn.functional.pad(one.exp().sort(descending=True).values, (0, max(student, teacher) - len(one))) for one in (own, its)]
        value = torch.nn.functional.l1_loss(*ranks, reduction="sum")
    else:
        judge = ULDLoss(settings(beta=beta, uld_hybrid_matched_weight=weights and weights[0], uld_hybrid_unmatched_weight=weights and weights[1]))
        judge._teacher_matched_ids = {its_id for _, its_id in same}
        judge.mapping_tensor = torch.full((teacher,), -1, dtype=torch.long)
        for own_id, its_id in same:
            judge.mapping_tensor[its_id] = own_id
        value = judge._compute_hybrid_uld_loss(own.exp()[None], its.exp()[None])
    (slopes,) = torch.autograd.grad(value, [own])
    rest = lambda size, taken: sorted(set(range(size)) - set(taken))
    return dict(
        beta=beta, matched_weight=weights and weights[0], unmatched_weight=weights and weights[1], student=own.tolist(), teacher=its.tolist(),
        same=same, own=rest(student, [pair[0] for pair in same]), its=rest(teacher, [pair[1] for pair in same]),
        value=value.item(), slopes=slopes.tolist(),
    )


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    pair, cases = Pair(), []
    for given in CASES:
        loss = pair.loss(given)
        cases.append(dict(settings=given, loss=loss.item(), grad_norm=pair.norm(loss)))
    initial = {name: value.clone() for name, value in pair.student.state_dict().items()}
    followed = []
    # Where ranks change the loss has a kink, on whose sides roundings end: large steps would tell these apart.
    for given, rate in (({}, 1e-2), ({"uld_use_hybrid_loss": False}, 1e-3), ({"beta": 0.0, "uld_crossentropy_weight": 0.5}, 1e-3)):
        pair.student.load_state_dict(initial)
        followed.append(dict(settings=given, learning_rate=rate, losses=pair.steps(given, rate)))
    rows = [dict(prompt=prompt, completion=completion) for prompt, completion in ROWS]
    (TARGET / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    made_by = "scripts/make_gold_fixture.py, TRL 1.16"
    (TARGET / "cases.json").write_text(json.dumps(dict(made_by=made_by, cases=cases, steps=followed)) + "\n")
    spans = [
        span(beta, weights, sizes, scale, seed)
        for seed, (beta, weights, sizes, scale) in enumerate([
            (0.5, None, (7, 9, 4), 1.0), (0.0, None, (9, 6, 5), 0.3), (1.0, (0.4, 2.0), (6, 6, 3), 0.05), (0.3, (1.0, 0.0), (5, 8, 5), 1e-5),
            (None, None, (8, 5, 2), 0.6), (0.5, None, (6, 6, 6), 1.0), (0.7, (0.5, 0.5), (4, 9, 2), 1e-8),
        ])
    ]
    (TARGET / "spans.json").write_text(json.dumps(dict(made_by=made_by, cases=spans)) + "\n")


if __name__ == "__main__":
    main()

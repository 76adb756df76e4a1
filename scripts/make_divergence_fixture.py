#!/usr/bin/env python3
"""Generalised Jensen-Shannon divergences and their gradients, as TRL's GKD computes them.

Usage: make_divergence_fixture.py      (needs torch and trl 1.16)

Writes crates/groma-kernels/fixtures/divergence.json: hidden states and unembeddings of a student and a teacher, and for
each beta and temperature TRL's `generalized_jsd_loss` of their logits (in f64, summed) with its gradient with respect to
the student's hidden states and unembedding. TRL's beta 0 is the forward KL, 1 the reverse one.
"""

import json
import pathlib

import torch
from trl.experimental.gkd import GKDTrainer

TARGET = pathlib.Path(__file__).resolve().parent.parent / "crates/groma-kernels/fixtures/divergence.json"
ROWS, WIDTH, TEACHER_WIDTH, VOCABULARY = 5, 4, 3, 11


def main():
    generator = torch.Generator().manual_seed(7)

    def draw(rows, columns):
        # Exact in f32.
        return (torch.randn((rows, columns), generator=generator) * 1.5).float().double()

    student = [draw(ROWS, WIDTH).requires_grad_(), draw(VOCABULARY, WIDTH).requires_grad_()]
    teacher = [draw(ROWS, TEACHER_WIDTH), draw(VOCABULARY, TEACHER_WIDTH)]
    cases = []
    for beta in (0.0, 0.1, 0.5, 0.9, 1.0):
        for temperature in (0.9, 1.0, 2.0):
            logits = [(hidden @ unembed.T)[None] for hidden, unembed in (student, teacher)]
            loss = GKDTrainer.generalized_jsd_loss(*logits, beta=beta, temperature=temperature, reduction="sum")
            gradients = torch.autograd.grad(loss, student)
            cases.append(
                dict(
                    beta=beta,
                    temperature=temperature,
                    loss=loss.item(),
                    d_hidden=gradients[0].flatten().tolist(),
                    d_unembed=gradients[1].flatten().tolist(),
                )
            )
    flat = [tensor.detach().flatten().tolist() for tensor in (*student, *teacher)]
    names = ("hidden", "unembed", "teacher_hidden", "teacher_unembed")
    sizes = dict(rows=ROWS, width=WIDTH, teacher_width=TEACHER_WIDTH, vocab=VOCABULARY)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps({**sizes, **dict(zip(names, flat)), "cases": cases}) + "\n")


if __name__ == "__main__":
    main()

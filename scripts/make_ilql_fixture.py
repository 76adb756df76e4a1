#!/usr/bin/env python3
"""Writes the loss of implicit language Q-learning and its gradients, by PyTorch from the formula of Snell et al. 2022 (arXiv 2206.11871)
with the weights that trlX gives its parts: of sequences of tokens with values of whole heads.

    python3 scripts/make_ilql_fixture.py > crates/groma-align/fixtures/ilql.json
"""

import json

import torch

torch.manual_seed(11)
VOCAB = 6
CASES = [
    {},
    {"beta": 0.8, "gamma": 0.9},
    {"tau": 0.5, "cql_scale": 0.0},
    {"tau": 0.95, "awac_scale": 0.3, "beta": 2.0, "gamma": 1.0},
]
DEFAULTS = {"tau": 0.7, "gamma": 0.99, "cql_scale": 0.1, "awac_scale": 1.0, "beta": 0.0}


def draw(*shape):
    """Numbers that f32 has exactly."""
    return (torch.randn(*shape, dtype=torch.float64) * 64).round() / 64


def case(settings, lengths):
    given = {**DEFAULTS, **settings}
    tokens = sum(lengths)
    logits, q1, q2, values = draw(tokens, VOCAB), draw(tokens, VOCAB), draw(tokens, VOCAB), draw(tokens)
    copies = [draw(tokens, VOCAB), draw(tokens, VOCAB)]
    actions = torch.randint(VOCAB, (tokens,))
    rewards = torch.zeros(tokens, dtype=torch.float64)
    ends = torch.tensor(lengths).cumsum(0) - 1
    rewards[ends] = draw(len(lengths))
    learned = [logits, q1, q2, values]
    for tensor in learned:
        tensor.requires_grad_()
    at = torch.arange(tokens)
    following = torch.cat([values.detach()[1:], torch.zeros(1, dtype=torch.float64)])
    following[ends] = 0.0
    aim = rewards + given["gamma"] * following
    target = torch.minimum(*(copy[at, actions] for copy in copies))
    td = sum((q[at, actions] - aim) ** 2 for q in (q1, q2))
    gap = target - values
    expectile = torch.where(gap < 0, 1 - given["tau"], given["tau"]) * gap**2
    chosen = [torch.log_softmax(q, -1)[at, actions] for q in (q1, q2)]
    cql = -given["cql_scale"] * sum(chosen)
    weight = torch.exp(given["beta"] * gap.detach())
    logps = torch.log_softmax(logits, -1)[at, actions]
    awac = -given["awac_scale"] * weight * logps
    (td + expectile + cql + awac).mean().backward()
    return {
        "settings": settings,
        "lengths": lengths,
        "actions": actions.tolist(),
        "rewards": rewards.tolist(),
        "logits": logits.tolist(),
        "q": [q1.tolist(), q2.tolist()],
        "copies": [copy.tolist() for copy in copies],
        "values": values.tolist(),
        "loss": {name: part.mean().item() for name, part in {"q": td, "v": expectile, "cql": cql, "awac": awac}.items()},
        "d_logits": logits.grad.tolist(),
        "d_q": [q1.grad.tolist(), q2.grad.tolist()],
        "d_values": values.grad.tolist(),
    }


print(json.dumps({"torch": torch.__version__.split("+")[0], "cases": [case(settings, [3, 1, 4]) for settings in CASES]}))

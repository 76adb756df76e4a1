#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/preference_losses.json: losses and slopes of TRL's own CPO and ORPO code.

    python scripts/make_preference_fixtures.py > crates/groma-align/fixtures/preference_losses.json

`cpo_loss` and `odds_ratio_loss` of the trainers are called on sums, or means, of given log-probabilities; what they add for the
chosen completions is the mean over all their tokens. Slopes are those of autograd, in f64 (ORPO's in f32). Needs torch and
trl 1.16.
"""

import json
import os
import types

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

torch.set_default_dtype(torch.float64)
LENGTHS = [(4, 2), (3, 6), (1, 5)]


def rows(seed):
    """Log-probabilities by token, chosen and rejected completions in turn."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [length for pair in LENGTHS for length in pair]
    return [(-2.5 * torch.rand(length, generator=generator)).float().double().requires_grad_() for length in lengths]


def trainer(settings, loss_type):
    return types.SimpleNamespace(
        accelerator=types.SimpleNamespace(device="cpu"), alpha=0.0, loss_type=loss_type, beta=settings.get("beta", 0.1),
        simpo_gamma=settings.get("simpo_gamma", 0.5), label_smoothing=settings.get("label_smoothing", 0.0),
    )


def case(method, settings, seed):
    logps = rows(seed)
    loss_type = {"simpo": "simpo"}.get(method, settings.get("loss_type", "sigmoid"))
    by_token = method == "orpo" or loss_type in ("ipo", "simpo")
    totals = torch.stack([row.mean() if by_token else row.sum() for row in logps])
    sides = totals[0::2], totals[1::2]
    chosen = torch.cat(logps[0::2])
    if method == "orpo":
        losses = -ORPOTrainer.odds_ratio_loss(trainer(settings, None), *sides)[0]
        weight = 1.0
    else:
        losses = CPOTrainer.cpo_loss(trainer(settings, loss_type), *sides)[0]
        weight = 0.0 if method == "simpo" else settings.get("cpo_alpha", 1.0)
    loss = losses.mean() - weight * chosen.mean()
    slopes = torch.autograd.grad(loss, logps)
    as_lists = lambda tensors: [tensor.tolist() for tensor in tensors]
    return {"method": method, "settings": settings, "logps": as_lists(logps), "loss": loss.item(), "slopes": as_lists(slopes)}


def main():
    cases = [case(*wanted, seed) for seed, wanted in enumerate([
        ("cpo", {}), ("cpo", {"beta": 0.4, "label_smoothing": 0.1}), ("cpo", {"loss_type": "hinge", "cpo_alpha": 0.3}),
        ("cpo", {"loss_type": "ipo", "beta": 0.2}), ("cpo", {"loss_type": "simpo", "cpo_alpha": 0.0, "simpo_gamma": 0.2}),
        ("cpo", {"loss_type": "simpo", "beta": 1.5, "label_smoothing": 0.05}),
        ("simpo", {"beta": 2.0}), ("simpo", {"beta": 2.5, "simpo_gamma": 1.0}), ("orpo", {}), ("orpo", {"beta": 1.0}),
    ])]
    print(json.dumps({"made_by": "scripts/make_preference_fixtures.py, TRL 1.16", "cases": cases}))


if __name__ == "__main__":
    main()

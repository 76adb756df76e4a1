#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/online_losses.json: losses and slopes of TRL's own XPO and Nash-MD code.

    PYTHONPATH=TRL_0.21 python scripts/make_online_fixtures.py > crates/groma-align/fixtures/online_losses.json

The trainers' `_compute_losses` is called on given log-probabilities; slopes are those of autograd, in f64. XPO with `alpha` 0 is
online DPO. Needs torch, and the unpacked package of trl 0.21, the last but few to have both trainers.
"""

import json
import types

import torch

# Newer versions of transformers answer with a pair, which this trl takes for a yes.
import transformers.utils.import_utils


class Answer(tuple):
    def __bool__(self):
        return self[0]


found = transformers.utils.import_utils._is_package_available
transformers.utils.import_utils._is_package_available = lambda *given, **more: Answer(found(*given, **more))

from trl.trainer.nash_md_trainer import NashMDTrainer
from trl.trainer.xpo_trainer import XPOTrainer

torch.set_default_dtype(torch.float64)


def batch(seed, lengths):
    """Log-probabilities of a policy and a reference, of completions of these lengths, padded with 0."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    width = max(lengths)
    mask = torch.tensor([[float(t < length) for t in range(width)] for length in lengths])
    policy = -3.0 * draw(len(lengths), width)
    return policy * mask, (policy + draw(len(lengths), width) - 0.5) * mask


def rows(values, lengths):
    return [row[:length].tolist() for row, length in zip(values, lengths)]


def xpo(seed, settings, rewards):
    own_lengths, other_lengths = [4, 2, 7], [3, 5, 1]
    own, own_ref = batch(seed, own_lengths)
    other, other_ref = batch(seed + 1, other_lengths)
    own, other = own.requires_grad_(), other.requires_grad_()
    args = types.SimpleNamespace(loss_type=settings["loss_type"])
    stub = types.SimpleNamespace(args=args, beta=settings["beta"], alpha=settings["alpha"])
    chosen = torch.tensor([first >= second for first, second in rewards])
    loss, _, _ = XPOTrainer._compute_losses(stub, own, other, other_ref, own_ref, chosen)
    loss.backward()
    sides = lambda a, b: [rows(a, own_lengths), rows(b, other_lengths)]
    return {
        "method": "xpo", "settings": settings, "rewards": rewards, "now": sides(own.detach(), other.detach()),
        "reference": sides(own_ref, other_ref), "loss": loss.item(), "slopes": sides(own.grad, other.grad),
    }


def nash_md(seed, settings, rewards):
    lengths = [4, 2, 7]
    own, reference = batch(seed, lengths)
    own = own.requires_grad_()
    stub = types.SimpleNamespace(beta=settings["beta"])
    probability = torch.sigmoid(torch.tensor([first - second for first, second in rewards]))
    loss, _, _ = NashMDTrainer._compute_losses(stub, own, reference, probability)
    loss.backward()
    return {
        "method": "nash_md", "settings": dict(settings, kl_level="token"), "rewards": rewards,
        "now": [rows(own.detach(), lengths)], "reference": [rows(reference, lengths)], "loss": loss.item(),
        "slopes": [rows(own.grad, lengths)],
    }


def main():
    rewards = [[1.0, 0.5], [-2.0, 0.0], [0.25, 0.0]]
    cases = [
        xpo(0, {"beta": 0.1, "alpha": 0.0, "loss_type": "sigmoid"}, rewards),
        xpo(2, {"beta": 0.1, "alpha": 0.0, "loss_type": "ipo"}, rewards),
        xpo(4, {"beta": 0.3, "alpha": 0.05, "loss_type": "sigmoid"}, rewards),
        nash_md(6, {"beta": 0.1}, rewards),
        nash_md(7, {"beta": 0.0}, rewards),
    ]
    print(json.dumps({"made_by": "scripts/make_online_fixtures.py, TRL 0.21", "cases": cases}))


if __name__ == "__main__":
    main()

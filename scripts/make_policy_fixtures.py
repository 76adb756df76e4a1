#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/policy_losses.json: losses and slopes of TRL's own GRPO, RLOO and KTO code.

    python scripts/make_policy_fixtures.py > crates/groma-align/fixtures/policy_losses.json

The trainers' `_compute_loss` is called on given log-probabilities; the slopes are those of autograd, in f64. Needs torch and
trl 1.16.
"""

import collections
import contextlib
import json
import os
import types

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from trl import GRPOTrainer, RLOOTrainer

torch.set_default_dtype(torch.float64)


def batch(seed, lengths):
    """Log-probabilities by completion: now, at sampling, under the reference; and advantages."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    width = max(lengths)
    now = -3.0 * draw(len(lengths), width)
    mask = torch.tensor([[float(t < length) for t in range(width)] for length in lengths])
    return {
        "now": now, "mask": mask, "sampled": now + 0.8 * (draw(len(lengths), width) - 0.5),
        "reference": now + draw(len(lengths), width) - 0.5, "advantages": 2.0 * draw(len(lengths)) - 1.0,
    }


def trainer(now, settings, longest):
    """As much of a trainer as its loss reads."""
    accelerator = types.SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=False)
    args = types.SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1)
    return types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (now, torch.zeros_like(now), None), aux_loss_enabled=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False, _entropy_bonus_enabled=False,
        accelerator=accelerator, args=args, model=types.SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1, max_completion_length=longest,
        _metrics={"train": collections.defaultdict(list)}, beta=settings.get("beta", 0.0),
        importance_sampling_level=settings.get("importance_sampling_level", "token"),
        epsilon_low=settings.get("epsilon", 0.2), epsilon_high=settings.get("epsilon_high", settings.get("epsilon", 0.2)),
        loss_type=settings.get("loss_type", "dapo"),
    )


def case(method, settings, seed, lengths):
    data = batch(seed, lengths)
    now = data["now"].clone().requires_grad_()
    empty = torch.zeros(len(lengths), 0, dtype=torch.long)
    inputs = {
        "prompt_ids": empty, "prompt_mask": empty, "completion_ids": torch.zeros(data["mask"].shape, dtype=torch.long),
        "completion_mask": data["mask"], "advantages": data["advantages"], "old_per_token_logps": data["sampled"],
        "old_logps": (data["sampled"] * data["mask"]).sum(1), "ref_per_token_logps": data["reference"],
        "num_items_in_batch": data["mask"].sum(),
    }
    longest = max(lengths) + 2
    kind = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}[method]
    with contextlib.redirect_stdout(None):
        loss = kind._compute_loss(trainer(now, settings, longest), None, inputs)
    loss.backward()
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "method": method, "settings": dict(settings, max_completion_length=longest), "advantages": data["advantages"].tolist(),
        "now": rows(data["now"]), "sampled": rows(data["sampled"]), "reference": rows(data["reference"]),
        "loss": loss.item(), "slopes": rows(now.grad),
    }


def main():
    cases = []
    for seed, settings in enumerate([
        {}, {"loss_type": "grpo", "beta": 0.04}, {"loss_type": "bnpo", "epsilon_high": 0.28}, {"loss_type": "dr_grpo"},
        {"loss_type": "cispo", "epsilon_high": 1.1}, {"loss_type": "grpo", "importance_sampling_level": "sequence"},
        {"loss_type": "dapo", "importance_sampling_level": "sequence", "beta": 0.1, "epsilon": 0.05},
    ]):
        cases.append(case("grpo", settings, seed, [4, 2, 7, 1]))
    for seed, settings in enumerate([{"beta": 0.0}, {"beta": 0.0, "epsilon": 0.1, "epsilon_high": 0.3}]):
        cases.append(case("rloo", settings, 100 + seed, [3, 5, 2, 6]))
    print(json.dumps({"made_by": "scripts/make_policy_fixtures.py, TRL 1.16", "cases": cases}))


if __name__ == "__main__":
    main()

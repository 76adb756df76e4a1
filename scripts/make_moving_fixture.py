#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/moving_reference.json: weights of a reference that follows the policy, by TRL's own code.

    python scripts/make_moving_fixture.py > crates/groma-align/fixtures/moving_reference.json

Each case has weights before, those of the policy at each move, and the reference's after each. Needs torch and trl.
"""

import json

import torch
from trl.trainer.callbacks import SyncRefModelCallback


def layer(generator):
    found = torch.nn.Linear(4, 3, bias=False)
    found.weight.data = 2 * torch.rand(3, 4, generator=generator) - 1
    return found


def weights(model):
    return model.weight.detach().flatten().tolist()


def case(alpha, seed):
    generator = torch.Generator().manual_seed(seed)
    reference = layer(generator)
    found = {"alpha": alpha, "before": weights(reference), "policy": [], "after": []}
    for _ in range(3):
        policy = layer(generator)
        SyncRefModelCallback._sync_target_model(policy, reference, alpha)
        found["policy"].append(weights(policy))
        found["after"].append(weights(reference))
    return found


print(json.dumps({"cases": [case(alpha, seed) for seed, alpha in enumerate([0.6, 1.0, 0.05])]}, indent=1))

#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/attributes.json: the loss of several regressed labels, and its slopes.

    python scripts/make_attribute_fixture.py > crates/groma-align/fixtures/attributes.json

Where all values are known, by `ForSequenceClassificationLoss` of transformers with `problem_type = "regression"`; where some are
not, by PyTorch's mean squared error over the others. Needs torch and transformers.
"""

import json
import types

import torch
import torch.nn.functional as F
from transformers.loss.loss_utils import ForSequenceClassificationLoss

torch.set_default_dtype(torch.float64)
REGRESSION = types.SimpleNamespace(problem_type="regression", num_labels=2)


def case(values, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = (4 * torch.rand(len(values), 2, generator=generator) - 1).float().double().requires_grad_()
    known = torch.tensor([[value is not None for value in row] for row in values])
    wanted = torch.tensor([[value or 0.0 for value in row] for row in values])
    if bool(known.all()):
        loss = ForSequenceClassificationLoss(wanted, scores, REGRESSION)
    else:
        loss = F.mse_loss(scores[known], wanted[known])
    loss.backward()
    return {"method": "attribute_reward", "settings": {"attributes": ["a", "b"]}, "values": values,
            "scores": scores.flatten().tolist(), "loss": loss.item(), "slopes": scores.grad.flatten().tolist()}


def main():
    cases = [case([[4.0, 1.0], [0.5, -2.0], [3.0, 2.0]], 1), case([[4.0, None], [None, -2.0], [3.0, 2.0], [None, None]], 2)]
    print(json.dumps({"made_by": "scripts/make_attribute_fixture.py", "cases": cases}))


if __name__ == "__main__":
    main()

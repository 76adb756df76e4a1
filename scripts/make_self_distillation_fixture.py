#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/self_distillation.json: self-distillation of a tiny Llama, by TRL's own loss functions.

    python scripts/make_self_distillation_fixture.py > crates/groma-align/fixtures/self_distillation.json

The model is that of `fixtures/distillation/student`, and its own teacher. `rows` are prompt, what the teacher reads in its place,
and completion; each case has the settings, the loss (the mean over completions of the mean over their tokens, as `SDFTTrainer` takes
it, each at the temperature) and the norm of its gradient. Needs torch, transformers and trl 1.16.
"""

import json
import os
import pathlib

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import transformers
from trl.experimental.sdft import loss_utils

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "crates/groma-align/fixtures"
ROWS = [
    ([1, 5, 9, 3], [1, 5, 9, 3, 14, 18, 4], [7, 7, 12, 2]),
    ([1, 20], [1, 16, 20], [4, 11, 6, 19, 22, 2]),
    ([1, 8, 8, 15, 21], [1, 8, 8, 15, 21, 6, 6, 13, 9], [10, 2]),
]


def logits(model, prompt, completion, temperature):
    ids = torch.tensor([prompt + completion])
    return model(ids).logits[0, len(prompt) - 1 : -1] / temperature


def case(model, settings):
    temperature, skipped = settings.get("temperature", 1.0), settings.get("num_loss_tokens_to_skip", 0)
    model.zero_grad()
    losses = []
    for prompt, context, completion in ROWS:
        student = logits(model, prompt, completion, temperature)
        with torch.no_grad():
            teacher = logits(model, context, completion, temperature)
        ids = torch.tensor(completion)
        if settings.get("distillation_mode") == "sampled_token":
            values = loss_utils.compute_sampled_token_self_distillation_loss(student, teacher, ids, distillation_alpha=1.0)
        elif settings.get("distillation_mode") == "topk_logits":
            values = loss_utils.compute_topk_self_distillation_loss(
                student, teacher, distillation_topk=settings["distillation_topk"],
                distillation_alpha=settings.get("distillation_alpha", 0.5), distillation_add_tail=settings.get("distillation_add_tail", False),
            )
        else:
            values = loss_utils.compute_full_logit_self_distillation_loss(
                student, teacher, distillation_alpha=settings.get("distillation_alpha", 0.5)
            )
        mask = (torch.arange(len(completion)) >= skipped).double()
        losses.append((values * mask).sum() / mask.sum().clamp(min=1.0))
    loss = torch.stack(losses).mean()
    loss.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters() if p.grad is not None))
    return {"settings": settings, "loss": loss.item(), "norm": norm.item()}


def main():
    model = transformers.LlamaForCausalLM.from_pretrained(FIXTURES / "distillation/student").double().eval()
    wanted = [
        {},
        {"distillation_alpha": 0.0},
        {"distillation_alpha": 1.0, "num_loss_tokens_to_skip": 1},
        {"distillation_alpha": 0.3, "temperature": 0.7},
        {"distillation_mode": "sampled_token", "distillation_alpha": 1.0},
        {"distillation_mode": "sampled_token", "distillation_alpha": 1.0, "num_loss_tokens_to_skip": 3},
        {"distillation_mode": "topk_logits", "distillation_topk": 5},
        {"distillation_mode": "topk_logits", "distillation_topk": 3, "distillation_alpha": 0.0, "temperature": 0.7},
        {"distillation_mode": "topk_logits", "distillation_topk": 3, "distillation_alpha": 1.0, "distillation_add_tail": True},
        {"distillation_mode": "topk_logits", "distillation_topk": 4, "distillation_alpha": 0.3, "distillation_add_tail": True},
    ]
    cases = [case(model, settings) for settings in wanted]
    print(json.dumps({"made_by": "scripts/make_self_distillation_fixture.py, TRL 1.16", "rows": ROWS, "cases": cases}))


if __name__ == "__main__":
    main()

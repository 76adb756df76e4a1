#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/forgetful.json: a tiny Llama whose attention leaves out some past tokens, by transformers.

    python scripts/make_forgetful_fixture.py > crates/groma-align/fixtures/forgetful.json

The model is that of `fixtures/distillation/student`. Of each sequence of `ids`, the tokens that are `forgotten` are seen by themselves
alone: the mask that attention adds is infinite in their columns below the diagonal. `logps` are those of all tokens but the first,
`norm` that of the gradient of their sum. Needs torch and transformers.
"""

import json
import pathlib
import random

import torch
import transformers

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "crates/groma-align/fixtures"


def logps(model, ids, forgotten):
    seen = torch.tril(torch.ones(len(ids), len(ids))).bool() & ~torch.tensor(forgotten)[None, :]
    seen |= torch.eye(len(ids)).bool()
    mask = torch.zeros(len(ids), len(ids), dtype=torch.double).masked_fill(~seen, torch.finfo(torch.double).min)
    logits = model(torch.tensor([ids]), attention_mask=mask[None, None]).logits[0, :-1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def main():
    student = FIXTURES / "distillation/student"
    model = transformers.LlamaForCausalLM.from_pretrained(student, attn_implementation="eager").double().eval()
    random.seed(5)
    cases = []
    # The padding token has no gradient there.
    for length, share in [(9, 0.0), (12, 0.3), (20, 0.5), (15, 1.0), (18, 0.2)]:
        ids = [random.randrange(1, model.config.vocab_size) for _ in range(length)]
        cases.append({"ids": ids, "forgotten": [at > 0 and random.random() < share for at in range(length)]})
    for case in cases:
        model.zero_grad()
        found = logps(model, case["ids"], case["forgotten"])
        found.sum().backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters() if p.grad is not None))
        case |= {"logps": found.tolist(), "norm": norm.item()}
    print(json.dumps({"made_by": "scripts/make_forgetful_fixture.py, transformers 5.23", "cases": cases}))


if __name__ == "__main__":
    main()

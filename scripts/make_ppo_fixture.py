#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/ppo.json: advantages, returns, losses and slopes of TRL's own PPO code.

    python scripts/make_ppo_fixture.py > crates/groma-align/fixtures/ppo.json

TRL's trainer computes them amid `PPOTrainer.train`, so those lines of its source are run as they are, on given log-probabilities,
values and scores; the slopes are those of autograd, in f64. Needs torch, and the source of trl 0.23.1, which need not run.

TRL has a score at the token behind the last one, where a completion is not cut off. Here it lies at the last token, so
what TRL calls the positions up to there is given as those of the completion.
"""

import ast
import importlib.util
import json
import pathlib
import textwrap
import types
import typing

import torch

torch.set_default_dtype(torch.float64)
TRL = pathlib.Path(importlib.util.find_spec("trl").origin).parent
INVALID_LOGPROB = 1.0


def tools(*names):
    """Functions of trl.core, without importing it."""
    source = (TRL / "core.py").read_text()
    scope = {"torch": torch, "Optional": typing.Optional}
    for node in ast.parse(source).body:
        if getattr(node, "name", None) in names:
            exec(ast.get_source_segment(source, node), scope)
    return {name: scope[name] for name in names}


def excerpt(first, last):
    """The lines of the trainer from one to another, both included."""
    lines = (TRL / "trainer/ppo_trainer.py").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(first))
    end = next(i for i in range(start, len(lines)) if lines[i].strip().startswith(last))
    return textwrap.dedent("\n".join(lines[start:end + 1]))


TOOLS = tools("masked_mean", "masked_var", "masked_whiten")
ADVANTAGES = excerpt("logr = ref_logprobs - logprobs", "advantages = torch.masked_fill(advantages, padding_mask, 0)")
LOSS = excerpt("vpredclipped = torch.clamp(", "loss = pg_loss + args.vf_coef * vf_loss")
DEFAULTS = {
    "kl_coef": 0.05, "kl_estimator": "k1", "cliprange": 0.2, "vf_coef": 0.1, "cliprange_value": 0.2, "gamma": 1.0,
    "lam": 0.95, "whiten_rewards": False,
}


def case(settings, seed, lengths):
    generator = torch.Generator().manual_seed(seed)
    # Values that f32 holds exactly, as the engine has them.
    draw = lambda *shape: torch.rand(*shape, generator=generator).float().double()
    count, width = len(lengths), max(lengths)
    position = torch.arange(width).repeat(count, 1)
    padding_mask = position >= torch.tensor(lengths).unsqueeze(1)
    logprobs = (-3.0 * draw(count, width)).float().double().masked_fill(padding_mask, INVALID_LOGPROB)
    ref_logprobs = (logprobs + draw(count, width) - 0.5).float().double().masked_fill(padding_mask, INVALID_LOGPROB)
    values = (draw(count, width) - 0.5).float().double().masked_fill(padding_mask, 0)
    scores = 4.0 * draw(count) - 2.0
    last = torch.tensor(lengths) - 1
    args = types.SimpleNamespace(**dict(DEFAULTS, **settings))
    scope = dict(
        TOOLS, torch=torch, args=args, logprobs=logprobs, ref_logprobs=ref_logprobs, values=values, scores=scores,
        sequence_lengths=last, sequence_lengths_p1=last, padding_mask=padding_mask, padding_mask_p1=padding_mask,
        responses=position,
    )
    exec(ADVANTAGES, scope)
    now = (logprobs + 0.8 * (draw(count, width) - 0.5)).float().double().masked_fill(padding_mask, INVALID_LOGPROB)
    says = (values + draw(count, width) - 0.5).float().double().masked_fill(padding_mask, 0)
    new_logprobs, vpred = now.clone().requires_grad_(), says.clone().requires_grad_()
    learn = dict(
        TOOLS, torch=torch, args=args, new_logprobs=new_logprobs, mb_logprobs=logprobs, vpred=vpred, mb_values=values,
        mb_return=scope["returns"], mb_advantage=scope["advantages"], padding_mask=padding_mask,
        padding_mask_p1=padding_mask, micro_batch_inds=torch.arange(count),
    )
    exec(LOSS, learn)
    learn["loss"].backward()
    rows = lambda values: [row[:length].tolist() for row, length in zip(values.detach(), lengths)]
    mean = lambda values: values.masked_fill(padding_mask, 0).sum(1).mean().item()
    return {
        "settings": settings, "sampled": rows(logprobs), "reference": rows(ref_logprobs), "values": rows(values),
        "scores": scores.tolist(), "advantages": rows(scope["advantages"]), "returns": rows(scope["returns"]),
        "now": rows(now), "says": rows(says), "loss": learn["loss"].item(), "logp_slopes": rows(new_logprobs.grad),
        "value_slopes": rows(vpred.grad),
        "metrics": {
            "objective/kl": mean(scope["kl"]), "objective/entropy": mean(-logprobs),
            "objective/non_score_reward": mean(scope["non_score_reward"]), "objective/scores": scores.mean().item(),
        },
    }


def main():
    cases = [
        case({}, 1, [5, 5, 5]),
        case({"kl_estimator": "k3", "kl_coef": 0.3, "gamma": 0.9, "lam": 0.8}, 2, [4, 4, 4, 4]),
        case({"whiten_rewards": True, "vf_coef": 0.5, "cliprange": 0.1, "cliprange_value": 0.05}, 3, [6, 6]),
        case({"gamma": 0.99}, 4, [1, 5, 3]),
        case({"whiten_rewards": True, "kl_estimator": "k3", "kl_coef": 1.0}, 5, [2, 7, 4, 1]),
    ]
    print(json.dumps({"trl": "0.23.1", "cases": cases}))


main()

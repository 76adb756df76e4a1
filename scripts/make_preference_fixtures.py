#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/preference_losses.json: losses and slopes of TRL's own DPO, CPO, ORPO and TPO code, and of formulas.

    python scripts/make_preference_fixtures.py > crates/groma-align/fixtures/preference_losses.json

`DPOTrainer._compute_loss` runs with a model that gives back log-probabilities that were drawn; `cpo_loss` and `odds_ratio_loss` of
the other trainers are called on sums, or means, of them, and what they add for the chosen completions is the mean over all their
tokens. `TPOTrainer._compute_loss` gets logits of two tokens that have the drawn log-probabilities. What TRL does not have is written from its paper (`PAPERS`). Slopes are those of autograd, in f64 (in f32 where the
trainers' code is). Needs torch and trl 1.16.
"""

import collections
import contextlib
import json
import os
import types

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import torch.nn.functional as F
from trl import DPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.experimental.tpo import TPOTrainer

torch.set_default_dtype(torch.float64)
LENGTHS = [(4, 2), (3, 6), (1, 5)]
PROMPT = 2


def rows(seed, lengths):
    """Log-probabilities by token, exact in f32."""
    generator = torch.Generator().manual_seed(seed)
    return [(-2.5 * torch.rand(length, generator=generator)).float().double().requires_grad_() for length in lengths]


def as_lists(tensors):
    return [tensor.tolist() for tensor in tensors]


def case(method, settings, logps, loss, **known):
    slopes = torch.autograd.grad(loss, logps)
    return {"method": method, "settings": settings, **known, "logps": as_lists(logps), "loss": loss.item(), "slopes": as_lists(slopes)}


def without_reference(method, settings, seed):
    """CPO, SimPO and ORPO."""
    logps = rows(seed, [length for pair in LENGTHS for length in pair])
    loss_type = {"simpo": "simpo"}.get(method, settings.get("loss_type", "sigmoid"))
    by_token = method == "orpo" or loss_type in ("ipo", "simpo")
    totals = torch.stack([row.mean() if by_token else row.sum() for row in logps])
    sides = totals[0::2], totals[1::2]
    chosen = torch.cat(logps[0::2])
    trainer = types.SimpleNamespace(
        accelerator=types.SimpleNamespace(device="cpu"), alpha=settings.get("alpha", 0.0), loss_type=loss_type,
        beta=settings.get("beta", 0.1), simpo_gamma=settings.get("simpo_gamma", 0.5),
        label_smoothing=settings.get("label_smoothing", 0.0),
    )
    if method == "orpo":
        losses, weight = -ORPOTrainer.odds_ratio_loss(trainer, *sides)[0], 1.0
    else:
        losses = CPOTrainer.cpo_loss(trainer, *sides)[0]
        weight = 0.0 if method == "simpo" else settings.get("cpo_alpha", 1.0)
    return case(method, settings, logps, losses.mean() - weight * chosen.mean())


def dpo(settings, seed):
    """TRL's trainer, with a model that says what was drawn: chosen completions first, as its batches have them."""
    lengths = [length for pair in LENGTHS for length in pair]
    logps, reference = rows(seed, lengths), [row.detach() for row in rows(seed + 1000, lengths)]
    if settings.get("f_divergence_type") == "alpha_divergence":
        # The trainer knows how far it may go in f32 alone.
        logps, reference = [row.detach().float().requires_grad_() for row in logps], [row.float() for row in reference]
    order = [*range(0, len(lengths), 2), *range(1, len(lengths), 2)]
    width = PROMPT + max(lengths)
    mask = torch.zeros(len(lengths), width, dtype=torch.long)
    for row, member in enumerate(order):
        mask[row, PROMPT : PROMPT + lengths[member]] = 1

    def padded(all_rows):
        zeros = lambda count: torch.zeros(count, dtype=all_rows[0].dtype)
        row = lambda values: torch.cat([zeros(PROMPT - 1), values, zeros(width - PROMPT - len(values))])
        return torch.stack([row(all_rows[member]) for member in order])

    said = types.SimpleNamespace(
        log_probs=padded(logps), entropy=torch.zeros(mask.shape[0], width - 1), mean_logits=torch.zeros(mask.shape[0], width - 1),
        is_top1=torch.zeros(mask.shape[0], width - 1, dtype=torch.bool), aux_loss=None,
    )
    same = lambda value: value
    half = lambda all_rows: torch.stack([weighted(all_rows, member, lengths, settings.get("ld_alpha")) for member in order]).chunk(2)
    ref_chosen, ref_rejected = half(reference)
    kinds = settings.get("loss_type", "sigmoid")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=False), accelerator=types.SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same),
        aux_loss_enabled=False, ld_alpha=settings.get("ld_alpha"), precompute_ref_logps=True,
        f_divergence_type=settings.get("f_divergence_type", "reverse_kl"), f_alpha_divergence_coef=settings.get("f_alpha_divergence_coef", 0.5),
        loss_types=kinds, loss_weights=settings.get("loss_weights", [1.0] * len(kinds)), beta=settings.get("beta", 0.1),
        label_smoothing=settings.get("label_smoothing", 0.0), use_weighting=False, args=types.SimpleNamespace(discopop_tau=settings.get("discopop_tau", 0.05)),
        _metrics={"eval": collections.defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
              "ref_chosen_logps": ref_chosen, "ref_rejected_logps": ref_rejected}
    found = DPOTrainer._compute_loss(trainer, lambda **_: said, inputs, False)
    loss = found[0] if isinstance(found, tuple) else found
    return case("dpo", settings, logps, loss, reference=as_lists(reference))


def tpo(settings, seed):
    """TRL's trainer, on two triples: chosen completions first, then rejected, then gold ones, as its batches have them."""
    lengths, scores, order = [4, 2, 3, 1, 5, 3], [1.0, 0.0, 2.0, 2.0, 1.5, 0.5], [0, 4, 1, 5, 2, 3]
    logps = rows(seed, lengths)
    width = PROMPT + max(lengths)
    mask = torch.zeros(len(lengths), width, dtype=torch.long)
    logits = []
    for row, member in enumerate(order):
        mask[row, PROMPT : PROMPT + lengths[member]] = 1
        others = torch.full((width,), -1.0)
        own = torch.cat([others[: PROMPT - 1], logps[member], others[: width - PROMPT - lengths[member] + 1]])
        logits.append(torch.stack([own, torch.log(-torch.expm1(own))], -1))
    same = lambda value: value
    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=False), accelerator=types.SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same),
        tpo_alpha=settings.get("tpo_alpha", 1.0), loss_type=settings.get("loss_type", "sigmoid"), beta=settings.get("beta", 0.01),
        label_smoothing=settings.get("label_smoothing", 0.0), tpo_l_gamma=settings.get("tpo_l_gamma", 0.5),
        _metrics={"eval": collections.defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )
    said = types.SimpleNamespace(logits=torch.stack(logits))
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask}
    loss = TPOTrainer._compute_loss(trainer, lambda **_: said, inputs, False)
    return case("tpo", settings, logps, loss, sizes=[3, 3], scores=scores)


def weighted(all_rows, member, lengths, ld_alpha):
    """The sum over a completion, tokens beyond the shorter one's length weighted."""
    pair = member - member % 2
    shared = min(lengths[pair], lengths[pair + 1])
    values = all_rows[member]
    return values[:shared].sum() + (1.0 if ld_alpha is None else ld_alpha) * values[shared:].sum()


# From the papers: loss of each pair, of dc and dr (policy minus reference, summed), lengths and settings.
PAPERS = {
    # Pal et al. 2024, arXiv 2402.13228, equation 3.
    "dpop": lambda dc, dr, lc, lr, s: -F.logsigmoid(s["beta"] * (dc - dr - s["dpop_lambda"] * torch.clamp(-dc, min=0))),
    # Park et al. 2024, arXiv 2403.19159, equation 9.
    "sigmoid_length": lambda dc, dr, lc, lr, s: -F.logsigmoid(s["beta"] * (dc - dr) + s["length_alpha"] * (lc - lr)),
}


def paper(settings, seed):
    lengths = [length for pair in LENGTHS for length in pair]
    logps, reference = rows(seed, lengths), [row.detach() for row in rows(seed + 1000, lengths)]
    ratios = torch.stack([row.sum() - other.sum() for row, other in zip(logps, reference)])
    counts = torch.tensor(lengths, dtype=torch.float64)
    loss = PAPERS[settings["loss_type"]](ratios[0::2], ratios[1::2], counts[0::2], counts[1::2], settings).mean()
    return case("dpo", settings, logps, loss, reference=as_lists(reference))


def main():
    wanted = [
        ("cpo", {}), ("cpo", {"beta": 0.4, "label_smoothing": 0.1}), ("cpo", {"loss_type": "hinge", "cpo_alpha": 0.3}),
        ("cpo", {"loss_type": "ipo", "beta": 0.2}), ("cpo", {"loss_type": "simpo", "cpo_alpha": 0.0, "simpo_gamma": 0.2}),
        ("cpo", {"loss_type": "simpo", "beta": 1.5, "label_smoothing": 0.05}),
        ("simpo", {"beta": 2.0}), ("simpo", {"beta": 2.5, "simpo_gamma": 1.0}), ("orpo", {}), ("orpo", {"beta": 1.0}),
        ("cpo", {"loss_type": "simpo", "beta": 2.5, "simpo_gamma": 0.3, "cpo_alpha": 0.0, "alpha": 0.25}),
        ("cpo", {"loss_type": "ipo", "beta": 0.4, "alpha": -0.5}), ("cpo", {"alpha": 0.05, "beta": 0.3}),
        ("cpo", {"loss_type": "hinge", "alpha": -0.1, "beta": 0.7, "cpo_alpha": 0.5}),
        ("simpo", {"beta": 2.5, "simpo_gamma": 0.3, "alpha": 0.25}),
    ]
    cases = [without_reference(*these, seed) for seed, these in enumerate(wanted)]
    smoothed = {"exo_pair": 0.05, "robust": 0.1, "aot": 0.1, "aot_unpaired": 0.2}
    kinds = ["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero",
             "apo_down", "discopop", "sft", "sigmoid_norm"]
    more = [{"loss_type": kind, "beta": 0.4, **({"label_smoothing": smoothed[kind]} if kind in smoothed else {})} for kind in kinds]
    more += [{"f_divergence_type": "forward_kl", "beta": 0.3}, {"f_divergence_type": "js_divergence", "loss_type": "ipo", "beta": 0.3},
             {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.5, "beta": 0.3}, {"ld_alpha": 0.3}, {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]}]
    cases += [dpo(settings, 100 + index) for index, settings in enumerate(more)]
    cases += [paper(settings, 200 + index) for index, settings in enumerate([
        {"loss_type": "dpop", "beta": 0.3, "dpop_lambda": 5.0}, {"loss_type": "dpop", "beta": 0.1, "dpop_lambda": 50.0},
        {"loss_type": "sigmoid_length", "beta": 0.2, "length_alpha": 0.1},
    ])]
    cases += [tpo(settings, 300 + index) for index, settings in enumerate([
        {}, {"beta": 0.4, "label_smoothing": 0.1, "tpo_alpha": 0.3}, {"loss_type": "hinge", "beta": 0.3}, {"loss_type": "ipo", "beta": 0.2},
        {"loss_type": "tpo-l", "beta": 1.5, "tpo_l_gamma": 0.7}, {"loss_type": "tpo-l", "beta": 2.0, "label_smoothing": 0.05, "tpo_alpha": 0.1},
    ])]
    print(json.dumps({"made_by": "scripts/make_preference_fixtures.py, TRL 1.16", "cases": cases}))


if __name__ == "__main__":
    main()

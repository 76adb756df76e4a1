#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/row_losses.json: losses and slopes of methods that learn from rankings and single completions.

    python scripts/make_row_fixtures.py > crates/groma-align/fixtures/row_losses.json

Written from the papers' formulas (see each function), in f64, without the program's code; slopes are those of autograd. CRINGE's
`top` holds, token by token, the log-probability of the likeliest token other than the target; `divergences` how far the distribution there
is from the reference's. Cases that are `held` hold a value while the slope is taken. Needs torch.
"""

import itertools
import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
LENGTHS = [4, 2, 3, 1, 5, 3]
REFERENCED = ("kto", "listwise_dpo", "beta_dpo", "tdpo")


def rows(seed, lengths):
    """Log-probabilities by token, exact in f32."""
    generator = torch.Generator().manual_seed(seed)
    return [(-2.5 * torch.rand(length, generator=generator)).float().double().requires_grad_() for length in lengths]


def mean_of_groups(loss):
    """Of rankings, each its log-probabilities by token, references and scores, best first; the mean over them."""

    def of(logps, reference, sizes, scores, settings):
        first, total = 0, 0.0
        for size in sizes:
            order = sorted(range(first, first + size), key=lambda member: -scores[member])
            take = lambda values: [values[member] for member in order]
            total = total + loss(take(logps), take(reference), take(scores), settings)
            first += size
        return total / len(sizes)

    return of


def pairs(count):
    return itertools.combinations(range(count), 2)


def best(logps):
    return -logps[0].mean()


# Yuan et al. 2023, equations 2 to 4, with the authors' weight.
def rrhf(logps, _, scores, s):
    p = [row.sum() / len(row) ** s["length_penalty"] for row in logps]
    return s["rrhf_weight"] * sum(torch.clamp(p[j] - p[i], min=0) for i, j in pairs(len(p)) if scores[i] > scores[j]) + best(logps)


# Song et al. 2023, equations 5 to 7.
def pro(logps, _, scores, s):
    p, total = [row.mean() for row in logps], 0.0
    for k in range(len(p) - 1):
        t = [scores[k] - scores[i] for i in range(k + 1, len(p))]
        own = p[k] * max(t)
        total = total + torch.logsumexp(torch.stack([own, *(p[k + 1 + i] * t[i] for i in range(len(t)))]), 0) - own
    return total + s["sft_weight"] * best(logps)


def ranking(values):
    return sum(torch.logsumexp(torch.stack(values[k:]), 0) - values[k] for k in range(len(values)))


# Plackett 1975, of mean log-probabilities.
def plackett_luce(logps, _, scores, s):
    return ranking([row.mean() for row in logps]) + s["sft_weight"] * best(logps)


# Rafailov et al. 2023, equation 20.
def listwise(logps, reference, scores, s):
    return ranking([s["beta"] * (row.sum() - ref.sum()) for row, ref in zip(logps, reference)]) + s.get("sft_weight", 0.0) * best(logps)


# Zhao et al. 2022, section 2.2; pairs are averaged where the paper draws one.
def slic(logps, _, scores, s):
    p, delta, n = [row.sum() / len(row) ** s["length_penalty"] for row in logps], s["slic_delta"], len(logps)
    hinge = lambda i, j, margin: torch.clamp(margin - p[i] + p[j], min=0)
    kinds = {
        "rank": lambda: sum(hinge(i, j, delta) for i, j in pairs(n)) / (n * (n - 1) / 2),
        "margin": lambda: sum(hinge(i, j, delta * (scores[i] - scores[j])) for i, j in pairs(n)) / (n * (n - 1) / 2),
        "list": lambda: sum(hinge(i, j, delta * (j - i)) for i, j in pairs(n)),
        "reward": lambda: -(torch.softmax(torch.stack(p), 0) * torch.tensor(scores)).sum(),
    }
    return kinds[s["loss_type"]]() + s["sft_weight"] * best(logps)


# Liu et al. 2023, equation 1.
def stable(logps, _, scores, s):
    nll = [-row.mean() for row in logps]
    return nll[0] + sum(torch.clamp(nll[0] - nll[i] + (scores[0] - scores[i]) * s["rating_margin"], min=0) for i in range(1, len(nll)))


def kto(logps, reference, _, labels, s):
    """Ethayarajh et al. 2024; D'Oosterlinck et al. 2024; Jung et al. 2024. Unlabelled members are the mismatched ones."""
    d = [row.sum() - ref.sum() for row, ref in zip(logps, reference)]
    labelled = [i for i, label in enumerate(labels) if label is not None]
    kind, beta, total = s["loss_type"], s["beta"], 0.0
    others = [d[i].item() for i, label in enumerate(labels) if label is None]
    z = max(0.0, sum(others) / len(others)) if kind == "kto" else 0.0
    delta = sum(beta * d[i].item() for i in labelled) / len(labelled)
    for i in labelled:
        weight = s.get("desirable_weight", 1.0) if labels[i] else s.get("undesirable_weight", 1.0)
        side = 1.0 if labels[i] else -1.0
        if kind == "bco":
            total = total - weight * F.logsigmoid(side * (beta * d[i] - delta))
        else:
            total = total + weight * (1 - torch.sigmoid(beta * side * (d[i] - z)))
    return total / len(labelled)


# Welleck et al. 2019, equation 5, over all tokens.
def unlikelihood(logps, _, __, labels, s):
    terms = [(-row if label else -s["unlikelihood_alpha"] * torch.log(-torch.expm1(row))).sum() for row, label in zip(logps, labels)]
    return sum(terms) / sum(len(row) for row in logps)


# Adolphs et al. 2022, section 3, as ParlAI's `cringe_loss.py` has it for one positive prediction.
def cringe(logps, _, __, labels, s, top):
    total = 0.0
    for row, label, others in zip(logps, labels, top):
        total = total + (-row.sum() if label else s["ct_loss_weight"] * torch.nn.functional.softplus(row - others).sum())
    return total / sum(len(row) for row in logps)


# The same, with the other of the paper's regularisers: the divergence at the tokens of the best completion.
def slic_held(logps, _, sizes, scores, settings, divergences):
    calibrated = mean_of_groups(slic)(logps, logps, sizes, scores, {**settings, "sft_weight": 0.0})
    first, total = 0, 0.0
    for size in sizes:
        total = total + divergences[max(range(first, first + size), key=lambda member: scores[member])].mean()
        first += size
    return calibrated + settings["sft_weight"] * total / len(sizes)


# Wu et al. 2024, section 4.2, as the authors' code has it at the first step; without filtering.
def beta_dpo(logps, reference, _, s):
    d = torch.stack([row.sum() - other.sum() for row, other in zip(logps, reference)])
    apart = d[0::2] - d[1::2]
    mean = (1 - s["beta_momentum"]) * apart.mean()
    beta = max(s["beta"] * (1 + s["beta_alpha"] * (apart.mean() - mean)).item(), 1e-3)
    return -F.logsigmoid(beta * apart).mean()


# Zeng et al. 2024, equations 16 and 18.
def tdpo(logps, reference, _, s, divergences):
    u = torch.stack([row.sum() - other.sum() for row, other in zip(logps, reference)])
    k = torch.stack([row.sum() for row in divergences])
    if s["loss_type"] == "tdpo1":
        z = s["beta"] * (u[0::2] - u[1::2]) - s["beta"] * (k[1::2] - k[0::2])
    else:
        z = s["beta"] * (u[0::2] - u[1::2]) - s["tdpo_alpha"] * s["beta"] * (k[1::2] - k[0::2].detach())
    return -F.logsigmoid(z).mean()


def case(method, settings, seed, loss, known, held=False, top=None, moved=False):
    logps = rows(seed, LENGTHS)
    reference = [row.detach() for row in rows(seed + 1000, LENGTHS)] if method in REFERENCED else [torch.zeros(n) for n in LENGTHS]
    if top is not None:
        others = rows(seed + 2000, LENGTHS)
        value = loss(logps, reference, *known.values(), settings, others)
        slopes = torch.autograd.grad(value, [*logps, *others], materialize_grads=True)
        extra = {"top": [row.tolist() for row in others], "top_slopes": [slope.tolist() for slope in slopes[len(logps):]]}
        slopes = slopes[: len(logps)]
    elif moved:
        divergences = [(-row).detach().requires_grad_() for row in rows(seed + 3000, LENGTHS)]
        value = loss(logps, reference, *known.values(), settings, divergences)
        slopes = torch.autograd.grad(value, [*logps, *divergences], materialize_grads=True)
        extra = {"divergences": [row.tolist() for row in divergences], "divergence_slopes": [slope.tolist() for slope in slopes[len(logps):]]}
        slopes = slopes[: len(logps)]
    else:
        value = loss(logps, reference, *known.values(), settings)
        slopes, extra = torch.autograd.grad(value, logps, materialize_grads=True), {}
    found = {"method": method, "settings": settings, **known, "logps": [row.tolist() for row in logps], "loss": value.item(),
             "slopes": [slope.tolist() for slope in slopes], **extra}
    if method in REFERENCED:
        found["reference"] = [row.tolist() for row in reference]
    if held:
        found["held"] = True
    return found


def main():
    ranked = {"sizes": [4, 2], "scores": [1.0, 3.5, 0.5, 2.0, -1.0, 1.5]}
    pairs_alone = {"sizes": [2] * 3}
    single = {"sizes": [1] * 6, "labels": [True, False, False, True, True, False]}
    beside = {"sizes": [2] * 3, "labels": [True, None, False, None, True, None]}
    cases = [
        case("rrhf", {"rrhf_weight": 2.0, "length_penalty": 1.0}, 1, mean_of_groups(rrhf), ranked),
        case("rrhf", {"rrhf_weight": 100.0, "length_penalty": 0.5}, 2, mean_of_groups(rrhf), ranked),
        case("pro", {"sft_weight": 1.0}, 3, mean_of_groups(pro), ranked),
        case("pro", {"loss_type": "plackett_luce", "sft_weight": 0.1}, 4, mean_of_groups(plackett_luce), ranked),
        case("listwise_dpo", {"beta": 0.3}, 5, mean_of_groups(listwise), ranked),
        case("listwise_dpo", {"beta": 0.1, "sft_weight": 0.5}, 6, mean_of_groups(listwise), ranked),
        *[case("slic", {"loss_type": kind, "slic_delta": 0.7, "sft_weight": 0.3, "length_penalty": float(i % 2)}, 7 + i, mean_of_groups(slic), ranked)
          for i, kind in enumerate(["rank", "margin", "list", "reward"])],
        case("stable_alignment", {"rating_margin": 0.4}, 11, mean_of_groups(stable), ranked),
        case("kto", {"loss_type": "kto", "beta": 0.3, "desirable_weight": 1.3}, 12, kto, beside, held=True),
        case("kto", {"loss_type": "apo_zero_unpaired", "beta": 0.3}, 13, kto, beside),
        case("kto", {"loss_type": "bco", "beta": 0.3, "undesirable_weight": 0.7}, 14, kto, beside, held=True),
        case("unlikelihood", {"unlikelihood_alpha": 0.5}, 15, unlikelihood, single),
        case("cringe", {"ct_loss_weight": 0.6}, 16, cringe, single, top=True),
        case("slic", {"loss_type": "rank", "slic_delta": 0.7, "sft_weight": 0.3, "length_penalty": 1.0, "slic_regularizer": "kl"}, 17, slic_held, ranked, moved=True),
        case("beta_dpo", {"beta": 0.3, "beta_alpha": 0.6, "beta_momentum": 0.7, "filter_ratio": 0.0}, 18, beta_dpo, pairs_alone, held=True),
        case("beta_dpo", {"beta": 0.3, "beta_alpha": 50.0, "beta_momentum": 0.9, "filter_ratio": 0.0}, 19, beta_dpo, pairs_alone, held=True),
        case("tdpo", {"beta": 0.3, "loss_type": "tdpo1"}, 20, tdpo, pairs_alone, moved=True),
        case("tdpo", {"beta": 0.4, "loss_type": "tdpo2", "tdpo_alpha": 0.7}, 21, tdpo, pairs_alone, held=True, moved=True),
    ]
    print(json.dumps({"made_by": "scripts/make_row_fixtures.py", "cases": cases}))


if __name__ == "__main__":
    main()

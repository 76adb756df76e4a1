#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/policy_losses.json: losses and slopes of TRL's own GRPO, GMPO, RLOO
and A2PO code.

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
from trl.experimental.a2po import A2POTrainer
from trl.experimental.gmpo import GMPOTrainer
from trl.experimental.iw_opd import IWOPDTrainer

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
        "entropies": 2.0 * draw(len(lengths), width),
    }


def trainer(now, entropies, settings, longest):
    """As much of a trainer as its loss reads."""
    same = lambda x, *rest, **more: x
    accelerator = types.SimpleNamespace(
        num_processes=1, gather=same, reduce=same, pad_across_processes=same, sync_gradients=False
    )
    args = types.SimpleNamespace(
        use_bias_correction_kl=settings.get("use_bias_correction_kl", True), delta=settings.get("delta"),
        steps_per_generation=1, sapo_temperature_pos=1.0, sapo_temperature_neg=settings.get("sapo_temperature_neg", 1.05),
        vespo_k_pos=settings.get("vespo_k_pos", 2.0), vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0,
    )
    stub = types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (now, entropies, None), aux_loss_enabled=False,
        top_entropy_quantile=settings.get("top_entropy_quantile", 1.0),
        off_policy_mask_threshold=settings.get("off_policy_mask_threshold"), use_vllm=False,
        _entropy_bonus_enabled="entropy_coef" in settings, entropy_coef=settings.get("entropy_coef", 0.0),
        use_adaptive_entropy=False, get_off_policy_mask=GRPOTrainer.get_off_policy_mask,
        get_gamma_weights=GRPOTrainer.get_gamma_weights, accelerator=accelerator, args=args, model=types.SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1, max_completion_length=longest,
        _metrics={"train": collections.defaultdict(list)}, beta=settings.get("beta", 0.0),
        importance_sampling_level=settings.get("importance_sampling_level", "token"),
        epsilon_low=settings.get("epsilon", 0.2), epsilon_high=settings.get("epsilon_high", settings.get("epsilon", 0.2)),
        loss_type=settings.get("loss_type", "dapo"),
    )
    stub.get_high_entropy_mask = types.MethodType(GRPOTrainer.get_high_entropy_mask, stub)
    return stub


def case(method, settings, seed, lengths):
    data = batch(seed, lengths)
    now = data["now"].clone().requires_grad_()
    entropies = data["entropies"].clone().requires_grad_()
    empty = torch.zeros(len(lengths), 0, dtype=torch.long)
    inputs = {
        "prompt_ids": empty, "prompt_mask": empty, "completion_ids": torch.zeros(data["mask"].shape, dtype=torch.long),
        "completion_mask": data["mask"], "advantages": data["advantages"], "old_per_token_logps": data["sampled"],
        "old_logps": (data["sampled"] * data["mask"]).sum(1), "ref_per_token_logps": data["reference"],
        "num_items_in_batch": data["mask"].sum(),
    }
    longest = max(lengths) + 2
    kind = {"grpo": GRPOTrainer, "gmpo": GMPOTrainer, "rloo": RLOOTrainer}[method]
    with contextlib.redirect_stdout(None):
        loss = kind._compute_loss(trainer(now, entropies, settings, longest), None, inputs)
    loss.backward()
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "method": method, "settings": dict(settings, max_completion_length=longest), "advantages": data["advantages"].tolist(),
        "now": rows(data["now"]), "sampled": rows(data["sampled"]), "reference": rows(data["reference"]),
        "entropies": rows(data["entropies"]), "loss": loss.item(), "slopes": rows(now.grad),
        "entropy_slopes": rows(torch.zeros_like(now) if entropies.grad is None else entropies.grad),
    }


def a2po(settings, seed, lengths):
    """A2PO's loss, given what completions are worth above the best that could be expected."""
    data = batch(seed, lengths)
    now = data["now"].clone().requires_grad_()
    stub = types.SimpleNamespace(
        model=types.SimpleNamespace(training=True), args=types.SimpleNamespace(beta2=settings["beta2"]),
        _metrics={"train": collections.defaultdict(list)}, _get_sequence_logps=lambda *a: (now * data["mask"]).sum(1),
    )
    inputs = {
        "input_ids": None, "attention_mask": None, "logits_to_keep": None, "rewards": data["advantages"],
        "ref_logps": (data["reference"] * data["mask"]).sum(1), "v_star": torch.zeros(len(lengths)),
    }
    loss = A2POTrainer.compute_loss(stub, None, inputs)
    loss.backward()
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "method": "a2po", "settings": settings, "advantages": data["advantages"].tolist(), "now": rows(data["now"]),
        "sampled": rows(data["sampled"]), "reference": rows(data["reference"]), "entropies": rows(data["entropies"]),
        "loss": loss.item(), "slopes": rows(now.grad), "entropy_slopes": [],
    }


def placed_rewards(data, lengths, rewards, seed):
    """Parts of rewards at tokens, and the reward of each token: the rest of what a completion is worth lies at its last."""
    generator = torch.Generator().manual_seed(1000 + seed)
    mask = data["mask"]
    placed = (2.0 * torch.rand(mask.shape, generator=generator) - 1.0) * (torch.rand(mask.shape, generator=generator) < 0.5) * mask
    tokens = placed.clone()
    tokens[torch.arange(len(lengths)), torch.tensor(lengths) - 1] += rewards - placed.sum(1)
    return placed, tokens


def placed_ppo(settings, seed, lengths):
    """Advantages and returns by the equations of Schulman et al. 2015, of rewards that lie at tokens."""
    data = batch(seed, lengths)
    scores = 3.0 * data["advantages"]
    values = torch.rand(data["mask"].shape, generator=torch.Generator().manual_seed(2000 + seed)) - 0.5
    placed, tokens = placed_rewards(data, lengths, scores, seed)
    tokens = tokens - settings["kl_coef"] * (data["sampled"] - data["reference"])
    advantages = torch.zeros_like(tokens)
    for row, length in enumerate(lengths):
        for t in range(length):
            for l in range(length - t):
                ahead = values[row, t + l + 1] if t + l + 1 < length else 0.0
                delta = tokens[row, t + l] + settings["gamma"] * ahead - values[row, t + l]
                advantages[row, t] += (settings["gamma"] * settings["lam"]) ** l * delta
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "settings": dict(settings, whiten_advantages=False), "sampled": rows(data["sampled"]), "reference": rows(data["reference"]), "values": rows(values),
        "placed": rows(placed), "scores": scores.tolist(), "advantages": rows(advantages), "returns": rows(advantages + values),
    }


def placed_rloo(settings, seed, lengths):
    """RLOO's loss where each token answers for the rewards from it on, by autograd; completions of one prompt."""
    data = batch(seed, lengths)
    now = data["now"].clone().requires_grad_()
    rewards = 3.0 * data["advantages"]
    placed, tokens = placed_rewards(data, lengths, rewards, seed)
    others = (rewards.sum() - rewards) / (len(lengths) - 1)
    advantages = tokens.flip(1).cumsum(1).flip(1) - others.unsqueeze(1)
    ratio = torch.exp(now - data["sampled"])
    epsilon = settings["epsilon"]
    losses = -torch.min(ratio * advantages, ratio.clamp(1 - epsilon, 1 + epsilon) * advantages)
    loss = (losses * data["mask"]).sum(1).mean()
    loss.backward()
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "settings": settings, "rewards": rewards.tolist(), "advantages": (rewards - others).tolist(), "placed": rows(placed), "now": rows(data["now"]),
        "sampled": rows(data["sampled"]), "loss": loss.item(), "slopes": rows(now.grad),
    }


def plus_plus(settings, seed, lengths, is_placed=False):
    """REINFORCE++ by the paper's equations: TRL has no trainer of it. The completions are of one prompt."""
    data = batch(seed, lengths)
    mask, now = data["mask"].bool(), data["now"].clone().requires_grad_()
    rewards = 3.0 * data["advantages"]
    grouped, beta = settings["baseline"] == "group", settings["beta"]
    token_rewards = torch.zeros_like(now) if grouped else -beta * (data["sampled"] - data["reference"]) * data["mask"]
    last = torch.tensor(lengths) - 1
    worth = rewards - rewards.mean() if grouped else rewards
    placed, tokens = placed_rewards(data, lengths, worth, seed)
    if is_placed:
        token_rewards += tokens
    else:
        token_rewards[torch.arange(len(lengths)), last] += worth
    returns = token_rewards.flip(1).cumsum(1).flip(1)
    advantages = (returns - returns[mask].mean()) / (returns[mask].var() + 1e-8).sqrt()
    ratio = torch.exp(now - data["sampled"])
    losses = -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    if grouped:
        losses = losses + beta * 0.5 * (now - data["reference"]) ** 2
    loss = losses[mask].mean()
    loss.backward()
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "settings": settings, "rewards": rewards.tolist(), "now": rows(data["now"]), "sampled": rows(data["sampled"]),
        "reference": rows(data["reference"]), "advantages": rows(advantages), "loss": loss.item(), "slopes": rows(now.grad),
        **({"placed": rows(placed)} if is_placed else {}),
    }


def quark(settings, seed, lengths, rewards):
    """Quark's loss by its formula: quantiles by rank, where equals share the one of their middle, and a divergence whose estimate at a
    sampled token is weighed by how much likelier the reference was to say it."""
    data = batch(seed, lengths)
    now = data["now"].clone().requires_grad_()
    tags, mask, rewards = len(settings["quantile_tags"]), data["mask"].bool(), torch.tensor(rewards)
    middle = [((rewards < r).sum() + (rewards == r).sum() / 2) / len(rewards) for r in rewards]
    log_ratio = now - data["reference"]
    distance = torch.exp(data["reference"] - data["sampled"]) * (torch.exp(log_ratio) - 1 - log_ratio)
    loss = (settings["beta"] * distance - now)[mask].mean()
    loss.backward()
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "settings": settings, "rewards": rewards.tolist(), "quantiles": [min(int(tags * share), tags - 1) for share in middle],
        "now": rows(data["now"]), "sampled": rows(data["sampled"]), "reference": rows(data["reference"]), "loss": loss.item(),
        "slopes": rows(now.grad),
    }


def masked(settings, seed, count, vocab):
    """Log-probabilities among the tokens that a second model finds likely, entropies, and slopes by autograd (NLPO)."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: 6.0 * torch.rand(count, vocab, generator=generator).float().double() - 3.0
    raw, lagged = draw().requires_grad_(), draw()
    cap = settings["softcap"]
    logits = raw if cap is None else cap * torch.tanh(raw / cap)
    sorted_p, order = torch.softmax(lagged, 1).sort(1, descending=True)
    keep = (sorted_p.cumsum(1) - sorted_p) < settings["top_p"]
    if settings["top_k"]:
        keep[:, settings["top_k"]:] = False
    allowed = torch.zeros(count, vocab, dtype=torch.bool).scatter(1, order, keep)
    logps = torch.log_softmax((logits / settings["temperature"]).masked_fill(~allowed, -torch.inf), 1)
    targets = [int(row.nonzero()[seed % int(row.sum())]) for row in allowed]
    chosen = logps[torch.arange(count), targets]
    chosen.sum().backward()
    entropies = -torch.where(allowed, logps.exp() * logps, 0.0).sum(1)
    return dict(
        settings, logits=raw.tolist(), lagged=lagged.tolist(), targets=targets, logps=chosen.tolist(), entropies=entropies.tolist(),
        slopes=raw.grad.tolist(),
    )


def iw_opd(gamma, seed, lengths):
    """IW-OPD's loss, given what the teacher and the sampler said; the slope of a log-probability by way of its logit's."""
    data = batch(seed, lengths)
    count, width = data["mask"].shape
    generator = torch.Generator().manual_seed(3000 + seed)
    logits = torch.randn(count, width, 5, generator=generator).requires_grad_()
    tokens = torch.randint(0, 5, (count, width), generator=generator)
    stub = types.SimpleNamespace(
        temperature=1.0, iw_opd_gamma=gamma, iw_opd_epsilon=1e-8, model=types.SimpleNamespace(training=True),
        _metrics={"train": collections.defaultdict(list)},
    )
    labels = torch.where(data["mask"].bool(), tokens, -100)
    loss = IWOPDTrainer._compute_iw_opd_loss(stub, logits, tokens, labels, data["reference"], data["sampled"])
    loss.backward()
    chosen = lambda values: values.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    now = chosen(torch.log_softmax(logits.detach(), -1))
    slopes = chosen(logits.grad) / (1 - now.exp())
    rows = lambda values: [row[:length].tolist() for row, length in zip(values, lengths)]
    return {
        "method": "iw_opd", "settings": {"teacher_model": "teacher", "iw_opd_gamma": gamma}, "advantages": [None] * count, "now": rows(now),
        "sampled": rows(data["sampled"]), "reference": rows(data["reference"]), "entropies": rows(data["entropies"]),
        "loss": loss.item(), "slopes": rows(slopes), "entropy_slopes": [],
    }


def main():
    cases = []
    for seed, settings in enumerate([
        {}, {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": False}, {"loss_type": "bnpo", "epsilon_high": 0.28}, {"loss_type": "dr_grpo"},
        {"loss_type": "cispo", "epsilon_high": 1.1}, {"loss_type": "grpo", "importance_sampling_level": "sequence"},
        {"loss_type": "dapo", "importance_sampling_level": "sequence", "beta": 0.1, "epsilon": 0.05, "use_bias_correction_kl": False},
        {"loss_type": "grpo", "beta": 0.3}, {"importance_sampling_level": "sequence", "beta": 0.3, "epsilon": 0.05},
        {"delta": 1.3}, {"loss_type": "sapo"}, {"loss_type": "sapo", "sapo_temperature_neg": 2.0, "beta": 0.1},
        {"loss_type": "luspo", "importance_sampling_level": "sequence"}, {"loss_type": "vespo"},
        {"loss_type": "vespo", "vespo_k_pos": 1.5}, {"off_policy_mask_threshold": 0.05},
        {"top_entropy_quantile": 0.3}, {"loss_type": "sapo", "top_entropy_quantile": 0.5, "beta": 0.1},
        {"entropy_coef": 0.02}, {"loss_type": "grpo", "entropy_coef": 0.05, "top_entropy_quantile": 0.4},
    ]):
        cases.append(case("grpo", settings, seed, [4, 2, 7, 1]))
    for seed, settings in enumerate([
        {"epsilon": 0.4}, {"epsilon": 0.1, "epsilon_high": 0.2, "beta": 0.1}, {"epsilon": 0.1, "top_entropy_quantile": 0.6},
    ]):
        cases.append(case("gmpo", settings, 50 + seed, [4, 2, 7, 1]))
    for seed, settings in enumerate([{"beta": 0.0}, {"beta": 0.0, "epsilon": 0.1, "epsilon_high": 0.3}]):
        cases.append(case("rloo", settings, 100 + seed, [3, 5, 2, 6]))
    cases += [a2po({"beta2": beta}, 150 + seed, [4, 2, 7, 1]) for seed, beta in enumerate([1e-3, 0.3])]
    cases += [iw_opd(gamma, 160 + seed, [4, 2, 7, 1]) for seed, gamma in enumerate([0.5, 2.0])]
    plus = [
        plus_plus({"baseline": kind, "beta": beta}, 200 + seed, [4, 2, 7, 1])
        for seed, (kind, beta) in enumerate([("none", 0.2), ("none", 0.0), ("group", 0.2)])
    ]
    plus += [plus_plus({"baseline": kind, "beta": 0.2}, 210, [4, 2, 7, 1], True) for kind in ["none", "group"]]
    placed = {
        "ppo": [placed_ppo({"kl_coef": 0.1, "gamma": 0.9, "lam": 0.8}, 220, [4, 2, 7, 1]), placed_ppo({"kl_coef": 0.0, "gamma": 1.0, "lam": 0.95}, 221, [5, 3])],
        "rloo": [placed_rloo({"epsilon": 0.2}, 230, [4, 2, 7, 1]), placed_rloo({"epsilon": 0.05}, 231, [3, 6])],
    }
    quarks = [
        quark({"beta": 0.3, "quantile_tags": ["bad ", "fair ", "good "]}, 240, [4, 2, 7, 1], [0.5, -1.0, 3.0, 3.0]),
        quark({"beta": 0.05, "quantile_tags": ["a", "b", "c", "d", "e"]}, 241, [3, 3, 2, 5, 1, 2], [0.0, 1.0, 2.0, 2.0, -0.5, 0.25]),
    ]
    masks = [
        masked({"top_p": 0.9, "top_k": 0, "temperature": 0.7, "softcap": None}, 250, 4, 12),
        masked({"top_p": 0.8, "top_k": 3, "temperature": 1.0, "softcap": None}, 251, 3, 70),
        masked({"top_p": 0.6, "top_k": 0, "temperature": 1.3, "softcap": 2.0}, 252, 3, 20),
    ]
    made_by = "scripts/make_policy_fixtures.py, TRL 1.16"
    print(json.dumps({"made_by": made_by, "cases": cases, "reinforce_plus_plus": plus, "placed": placed, "quark": quarks, "masked": masks}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compares methods that sample with those of TRL: same weights, same completions, same rewards, f32, no dropout.

    python scripts/compare_trl_online.py grpo | ppo | nash_md | xpo MODEL_DIR PAIRS.jsonl[.gz] [--steps 20] [--tolerance 1e-3] [--sync]

No two samplers draw alike. groma samples and learns; then TRL's trainer learns, and wherever it would sample, it is given the tokens
that groma sampled at that point and the rewards that they got there. If both learn alike, these are completions of the same policy
until the end, and every loss is the same. A reward model of the same trunk, whose head is drawn, says what completions are worth; it is
PPO's critic as well.

With --sync the reference of GRPO follows the policy every five steps (TR-DPO). GRPO learns twice from what was sampled at once, PPO four
times. Completions of PPO never end before their greatest length: where one does, TRL puts the score behind its last token, and groma at it.

grpo needs trl 1.16; ppo, nash_md and xpo need trl 1.0, which has all three (and runs on transformers 5). Besides torch,
transformers, datasets, and `cargo build --release -p groma-align --example losses`.
"""

import argparse
import itertools
import json
import math
import os
import sys
import tempfile

import compare_trl
import datasets
import torch
import transformers
from compare_trl import SYNC, InOrder

#: Of the completions that each method samples at once.
BATCH = 8
LENGTH = 16
BETA = {"grpo": 0.04, "nash_md": 0.1, "xpo": 0.1}


def scorer(model_dir, directory):
    """A reward model of the same trunk, with a random head."""
    transformers.set_seed(7)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=1, dtype=torch.float32)
    torch.nn.init.normal_(model.score.weight, std=0.3)
    model.save_pretrained(directory)
    transformers.AutoTokenizer.from_pretrained(model_dir).save_pretrained(directory)


def settings(method, given, scorer_dir):
    """Those of groma; names that both know are given to TRL as well."""
    known = {
        "learning_rate": given.learning_rate, "max_steps": given.steps, "per_device_train_batch_size": BATCH, "seed": 42,
        "max_completion_length": LENGTH, "temperature": 1.0, "lr_scheduler_type": "constant", "logging_steps": 1,
        "train_sampling_strategy": "sequential", "boundary": "diverge", "reward_model": scorer_dir,
    }
    if method == "grpo":
        known |= {"beta": BETA[method], "num_generations": 4, "num_iterations": 2} | (SYNC if given.sync else {})
        return known
    if method == "ppo":
        # TRL clips no gradient here, and counts collections as steps.
        return known | {"max_grad_norm": 1e9, "max_steps": 4 * given.steps, "num_ppo_epochs": 4, "value_model": scorer_dir}
    own = {"kl_level": "token", "mixture_coef": 0.5} if method == "nash_md" else {"alpha": 0.01}
    return known | {"beta": BETA[method]} | own


class Given:
    """What groma sampled, collection by collection."""

    def __init__(self, collections):
        self.collections = iter(collections)

    def next(self):
        """The next collection's prompts, completions and what is known of them, in order."""
        return [member for group in next(self.collections)["sampled"] for member in group]


def prompt(member):
    return member["ids"][: member["prompt"]]


def completion(member):
    return member["ids"][member["prompt"] :]


def padded(rows, width, value):
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


def common(given, output):
    """Arguments of all of TRL's configurations."""
    return dict(
        output_dir=output, bf16=False, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True, logging_steps=1,
        gradient_checkpointing=False, dataloader_pin_memory=False, learning_rate=given.learning_rate, weight_decay=0.0,
        lr_scheduler_type="constant", per_device_train_batch_size=BATCH, seed=42,
    )


def policy(model_dir):
    return transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager")


def tokenizer(model_dir):
    found = transformers.AutoTokenizer.from_pretrained(model_dir)
    found.pad_token, found.padding_side = found.pad_token or found.eos_token, "left"
    return found


def noting(trainer):
    """A trainer that keeps the loss of each step as it is, where it logs four digits of it."""

    class Noting(InOrder, trainer):
        losses = []

        def training_step(self, *arguments, **named):
            loss = super().training_step(*arguments, **named)
            self.losses.append(loss.item())
            return loss

        def entries(self):
            logged = [entry for entry in self.state.log_history if "grad_norm" in entry]
            return [dict(entry, loss=loss) for entry, loss in zip(logged, self.losses, strict=True)]

    return Noting


def grpo(given, prompts, known, fed, output):
    import trl

    def rollout(asked, trainer):
        members = fed.next()
        assert len(members) == len(asked)
        return {
            "prompt_ids": [prompt(one) for one in members], "completion_ids": [completion(one) for one in members],
            "logprobs": None, "said": [one["reward"] for one in members],
        }

    arguments = trl.GRPOConfig(
        **common(given, output), max_steps=given.steps, beta=known["beta"], num_generations=known["num_generations"], temperature=1.0,
        num_iterations=known["num_iterations"], max_completion_length=LENGTH, shuffle_dataset=False,
        **{key: known[key] for key in SYNC if key in known},
    )
    trainer = noting(trl.GRPOTrainer)
    # Prompts are repeated by the trainer's own sampler.
    trainer._get_train_sampler = trl.GRPOTrainer._get_train_sampler
    trainer = trainer(
        model=policy(given.model), args=arguments, train_dataset=prompts, processing_class=tokenizer(given.model),
        reward_funcs=lambda said, **_: said, rollout_func=rollout,
    )
    trainer.train()
    return trainer.entries()


def pairwise(method, given, prompts, known, fed, output):
    """Nash-MD or XPO."""
    if method == "nash_md":
        from trl.experimental.nash_md import NashMDConfig as config, NashMDTrainer as trainer
    else:
        from trl.experimental.xpo import XPOConfig as config, XPOTrainer as trainer

    class Fed(noting(trainer)):
        def _generate_completions(self, *arguments):
            asked = next(one for one in arguments if isinstance(one, dict))
            self.members = fed.next()
            queries = asked["input_ids"]
            own, other = (self.members, self.members) if method == "nash_md" else (self.members[::2], self.members[1::2])
            for query, mask, member in zip(queries, asked["attention_mask"], own, strict=True):
                assert query[mask.bool()].tolist() == prompt(member), "groma's prompt is another one"
            sampled = lambda side: torch.cat((queries, padded(map(completion, side), LENGTH, self.processing_class.pad_token_id)), 1)
            return sampled(own), sampled(other)

        def _compute_rewards(self, *_):
            if method == "nash_md":
                # Of the opponent nothing is left but how probable it is that it is worse.
                odds = [math.log((0.5 + one["advantage"]) / (0.5 - one["advantage"])) for one in self.members]
                return torch.tensor(odds), torch.zeros(len(odds))
            rewards = torch.tensor([one["reward"] for one in self.members])
            return rewards[::2], rewards[1::2]

    own = {"mixture_coef": known["mixture_coef"]} if method == "nash_md" else {"alpha": known["alpha"]}
    arguments = config(**common(given, output), max_steps=given.steps, beta=known["beta"], max_new_tokens=LENGTH, temperature=1.0, **own)
    trainer = Fed(
        model=policy(given.model), ref_model=policy(given.model), args=arguments, train_dataset=prompts, processing_class=tokenizer(given.model),
        reward_funcs=transformers.AutoModelForSequenceClassification.from_pretrained(known["reward_model"], dtype=torch.float32),
    )
    trainer.train()
    return trainer.entries()


def ppo(given, prompts, known, fed, output):
    import trl.experimental.ppo.ppo_trainer as module

    tokens = tokenizer(given.model)
    # A token that no completion has, as TRL takes padding from ids; it is never looked up.
    tokens.add_special_tokens({"pad_token": "<nothing>"})
    members, rewards, own_reward = [], torch.nn.Identity(), module.get_reward

    def batch_generation(model, queries, _, pad, config):
        members[:] = fed.next()
        for query, member in zip(queries, members, strict=True):
            assert query[query != pad].tolist() == prompt(member), "groma's prompt is another one"
        sampled = torch.cat((queries, torch.tensor([completion(one) for one in members])), 1)
        return sampled, module.forward(model, sampled, pad).logits[:, queries.shape[1] - 1 : -1] / config.temperature

    def get_reward(model, *arguments):
        return (None, torch.tensor([one["reward"] for one in members]), None) if model is rewards else own_reward(model, *arguments)

    module.batch_generation, module.get_reward = batch_generation, get_reward
    arguments = module.PPOConfig(
        **common(given, output), total_episodes=BATCH * given.steps, num_ppo_epochs=known["num_ppo_epochs"], response_length=LENGTH,
        temperature=1.0, num_sample_generations=0,
    )
    ids = datasets.Dataset.from_list([{"input_ids": tokens(row["prompt"])["input_ids"]} for row in prompts])
    critic = transformers.AutoModelForSequenceClassification.from_pretrained(known["value_model"], dtype=torch.float32, attn_implementation="eager")
    trainer = module.PPOTrainer(
        args=arguments, processing_class=tokens, model=policy(given.model), ref_model=policy(given.model), reward_model=rewards,
        train_dataset=ids, value_model=critic, eval_dataset=ids,
    )
    trainer.dataloader = torch.utils.data.DataLoader(ids, batch_size=BATCH, collate_fn=trainer.data_collator, drop_last=True)
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss/policy_avg" in entry]


def averaged(entries, count):
    """The means of so many entries at a time, of what all of them have."""
    batches = zip(*[iter(entries)] * count)
    shared = lambda batch: set.intersection(*(set(entry) for entry in batch))
    return [{key: sum(entry[key] for entry in batch) / count for key in shared(batch)} for batch in batches]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=["grpo", "ppo", "nash_md", "xpo"])
    parser.add_argument("model")
    parser.add_argument("pairs")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--sync", action="store_true", help="let GRPO's reference follow the policy")
    parser.add_argument("--learning-rate", type=float, help="5e-4, or 5e-5 with ppo, which takes four times as many steps")
    given = parser.parse_args()
    given.learning_rate = given.learning_rate or (5e-5 if given.method == "ppo" else 5e-4)
    prompts = [{"prompt": row["prompt"]} for row in compare_trl.rows(given.pairs, BATCH * given.steps)]
    with tempfile.TemporaryDirectory() as directory:
        scorer(given.model, os.path.join(directory, "scorer"))
        known = settings(given.method, given, os.path.join(directory, "scorer"))
        path = os.path.join(directory, "prompts.jsonl")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in prompts)
        lines = compare_trl.groma_lines(given.method, given.model, path, known, *(["whole"] if given.method == "ppo" else []))
        sampled = list(itertools.takewhile(lambda line: "sampled" in line, lines))
        ours = [line["metrics"] for line in lines[len(sampled) : -1]]
        dataset, fed = datasets.Dataset.from_list(prompts), Given(sampled)
        if given.method == "ppo":
            theirs, judged = ppo(given, prompts, known, fed, directory), ["loss/policy_avg", "loss/value_avg"]
            ours = averaged(ours, known["num_ppo_epochs"])
        else:
            learn = grpo if given.method == "grpo" else lambda *rest: pairwise(given.method, *rest)
            theirs, judged = learn(given, dataset, known, fed, directory), ["loss"]
        worst = compare_trl.compare(given.method, ours, theirs, given.tolerance, judged)
    sys.exit(0 if worst <= given.tolerance else 1)


if __name__ == "__main__":
    main()

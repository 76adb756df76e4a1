#!/usr/bin/env python3
"""Writes the recipe of the over-optimisation study: proxies learned from few labels, pushed by best of n and by a policy gradient.

    python3 scripts/make_overoptimisation.py > crates/groma-recipe/recipes/overoptimisation.toml
    python3 scripts/make_overoptimisation.py --labels 64,512 --label-noise 0.2 --repetitions 4 --method rloo > mine.toml && groma run mine.toml

Gao, Schulman and Hilton 2022 (arXiv 2210.10760). The gold is the truth of the village, which rows bring; it is asked with weight 0 where
a proxy is learned from, and is the control where it is the reward itself."""

import argparse

HEAD = """# Over-optimisation with learned proxies (Gao et al. 2022), in one command: `groma run overoptimisation`. The gold is known: rows of the
# village bring what an answer is worth. A proxy is a reward model that was trained on so many preference labels. Best of n and a policy
# gradient push it; the gold beside it is asked with weight 0, and nothing learns from it. Control: the gold itself as the reward.
# Made by scripts/make_overoptimisation.py, which takes the numbers of labels, their noise, the method and repetitions.

name = "overoptimisation"
description = "Learns proxies of a known gold reward from few labels, pushes them by best of n and by a policy gradient, and fits Gao's forms."
model = "village"

[[stage]]
kind = "train"
name = "sft"
method = "sft"
data = ["village:train/texts", "village:train/dialogues"]

[stage.settings]
max_steps = 1000
per_device_train_batch_size = 32
learning_rate = 3e-3
lr_scheduler_type = "cosine"
warmup_steps = 20
adam_beta2 = 0.98
"""

PROXY = """
[[stage]]
kind = "train"
name = "{name}"
method = "reward"
model = "sft"
data = "village:train/preferences"
limit = {labels}
{noise}
[stage.settings]
max_steps = {steps}
per_device_train_batch_size = 16
learning_rate = 3e-4
lr_scheduler_type = "cosine"
warmup_steps = 5
adam_beta2 = 0.98
"""

POLICY = """
[[stage]]
kind = "train"
name = "{name}"
method = "{method}"
model = "sft"
data = "village:train/prompts"

[stage.settings]
seed = {seed}
{reward}
beta = {beta}
max_steps = {steps}
per_device_train_batch_size = 64
num_generations = 8
max_completion_length = 32
learning_rate = {rate}
lr_scheduler_type = "constant"
warmup_steps = 5
adam_beta2 = 0.98
logging_steps = {logging}
watch = ["agreement", "entropy", "held-out", "kl", "kl-growth", "length", "no-spread", "repetition", "reward-distance", "sameness"]
"""

FRONTIER = """
[[stage]]
kind = "frontier"
name = "frontier"
start = "sft"
models = [{models}]
data = "village:held_out/prompts"
limit = 60
num_generations = 4
max_new_tokens = 32
proxies = [{proxies}]
best_of = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

[stage.paths]
{paths}
"""


def names(words):
    return ", ".join(f'"{word}"' for word in words)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="16,64,1000", help="numbers of preference labels, one proxy each")
    parser.add_argument("--label-noise", type=float, default=0.0, help="share of wrong labels")
    parser.add_argument("--repetitions", type=int, default=3, help="trainings of each kind, by seed")
    parser.add_argument("--method", default="grpo", help="the policy gradient: grpo, rloo, ...")
    parser.add_argument("--beta", default="0.0", help="how much a policy is held to where it began; one that is held hacks less")
    parser.add_argument("--steps", type=int, default=120, help="steps of a policy gradient")
    parser.add_argument("--proxy-steps", type=int, default=60, help="steps of a reward model")
    parser.add_argument("--rate", default="3e-4", help="learning rate of the policy gradient")
    given = parser.parse_args()
    labels = [int(number) for number in given.labels.split(",")]
    print(HEAD, end="")
    proxies = {f"proxy-{number}": number for number in labels}
    noise = f"label_noise = {given.label_noise}\n" if given.label_noise else ""
    for name, number in proxies.items():
        print(PROXY.format(name=name, labels=number, noise=noise, steps=given.proxy_steps), end="")
    paths = {}
    rewards = {"gold": 'reward_funcs = ["truth"]'}
    for name, number in proxies.items():
        words = f"{number} labels" + (f", {given.label_noise:.0%} wrong" if given.label_noise else "")
        rewards[words] = f'reward_funcs = ["truth"]\nreward_model = "{name}"\nreward_weights = [0.0, 1.0]'
    for words, reward in rewards.items():
        short = words.split(" ")[0]
        paths[words] = [f"{given.method}-{short}-{seed}" for seed in range(1, given.repetitions + 1)]
        for seed, name in enumerate(paths[words], 1):
            print(POLICY.format(name=name, method=given.method, seed=seed, reward=reward, beta=given.beta, steps=given.steps,
                                rate=given.rate, logging=max(1, given.steps // 24)), end="")
    lines = "\n".join(f'"{words}" = [{names(stages)}]' for words, stages in paths.items())
    models = [stages[0] for stages in paths.values()]
    print(FRONTIER.format(models=names(models), proxies=names(proxies), paths=lines), end="")


if __name__ == "__main__":
    main()

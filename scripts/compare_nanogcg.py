#!/usr/bin/env python3
"""groma's greedy coordinate gradient beside nanoGCG's, on one checkpoint, in one interleaved run.

Usage: compare_nanogcg.py CHECKPOINT_DIRECTORY WORKER [--rounds 3] [--steps 4] [--threads 1] [--fixture FILE]
       (needs torch, transformers and nanogcg 0.3.0)

WORKER is the built example `nanogcg_worker` of groma-attack. Prints the largest difference of the first step's loss and of its token
gradient (both read the same tokens), and what a whole step takes (gradient, choice, filter, losses of the candidates) with the same
settings: `search_width` 512, `topk` 256, `n_replace` 1, 20 tokens, target of one sentence. Exit code 1 where a difference is above
1e-4. With --fixture it writes loss and gradient of a short suffix, which groma's tests are held against.

nanoGCG 0.3.0 was written for the caches that transformers had as tuples: on transformers 5 its prefix cache fails. So it is run twice:
as it is, without the cache (`use_prefix_cache=False`), and with the cache handed to the model in the form that transformers 5 wants.

Seconds of processors are those that all threads of a process spent; they are the steadier figure on a machine that others use too.
nanoGCG draws 512 candidates and drops those that do not survive being encoded again, alone; groma's 512 are all valid, in the whole
conversation. So its candidates are counted, and the ratio is also given by candidate.
"""

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
import time

import torch
import transformers
from nanogcg import GCGConfig
from nanogcg import gcg as theirs

TOLERANCE = 1e-4
TEMPLATE = (
    "{% for message in messages %}{{ 'User: ' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Bot:' }}{% endif %}"
)
PROMPT = "Tell me a story about a dog that lost its ball in the garden."
TARGET = " Once upon a time there was a little dog who had a red ball."
LENGTH, WIDTH, TOP = 20, 512, 256


class Worker:
    def __init__(self, program, directory, threads):
        command = [program, directory, "user-bot"]
        environment = {"RAYON_NUM_THREADS": str(threads), "PATH": "/usr/bin:/bin"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def processor_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100.0


class TupleCache:
    """A model that takes and gives a cache as pairs of keys and values, as transformers 4 did."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, inputs_embeds, past_key_values=None, use_cache=False):
        cache = None
        if past_key_values is not None:
            cache = transformers.DynamicCache()
            for layer, (keys, values) in enumerate(past_key_values):
                cache.update(keys, values, layer)
        output = self.model(inputs_embeds=inputs_embeds, past_key_values=cache, use_cache=use_cache)
        if past_key_values is None and use_cache:
            output.past_key_values = [(layer.keys, layer.values) for layer in output.past_key_values.layers]
        return output


def quiet():
    logging.getLogger("nanogcg").setLevel(logging.ERROR)
    theirs.tqdm = lambda items, **_: items


def config(**more):
    # Non-ASCII tokens are forbidden on both sides.
    return GCGConfig(optim_str_init=" ".join("x" * LENGTH), search_width=WIDTH, topk=TOP, seed=1, **more)


class Peer(theirs.GCG):
    """nanoGCG with its candidates counted."""

    candidates = 0

    def _compute_candidates_loss_original(self, size, embeds):
        self.candidates += embeds.shape[0]
        return super()._compute_candidates_loss_original(size, embeds)


def run_theirs(model, tokenizer, steps, cached):
    wrapped = TupleCache(model) if cached else model
    peer = Peer(wrapped, tokenizer, config(num_steps=steps, use_prefix_cache=cached))
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = peer.run(PROMPT + " ", TARGET)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor": processor, "candidates": peer.candidates, "losses": found.losses}


def run_ours(worker, steps):
    settings = {
        "steps": steps, "width": WIDTH, "top": TOP, "length": LENGTH, "ask_every": 10 * steps, "until_success": False,
    }
    before = worker.processor_seconds()
    found = worker.ask({"prompt": PROMPT, "target": TARGET.strip(), "settings": settings})
    processor = worker.processor_seconds() - before
    return {**found, "processor": processor, "candidates": found["queries"] - steps}


def first_step(model, tokenizer, worker, length):
    """The largest differences of the first step, and what theirs is."""
    peer = theirs.GCG(model, tokenizer, config(num_steps=1, use_prefix_cache=False))
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPT + " {suffix}"}], tokenize=False, add_generation_prompt=True
    )
    before, after = text.split("{suffix}")
    ids = lambda text, special: tokenizer(text, add_special_tokens=special)["input_ids"]
    frame = {
        "before": ids(before, True), "suffix": ids(" ".join("x" * length), False),
        "after": ids(after, False), "target": ids(TARGET, False),
    }
    embed = lambda tokens: model.get_input_embeddings()(torch.tensor([tokens]))
    peer.target_ids = torch.tensor([frame["target"]])
    peer.before_embeds, peer.after_embeds, peer.target_embeds = (
        embed(frame[part]) for part in ("before", "after", "target")
    )
    suffix = torch.tensor([frame["suffix"]])
    gradient = peer.compute_token_gradient(suffix)[0]
    with torch.no_grad():
        whole = torch.cat([peer.before_embeds, embed(frame["suffix"]), peer.after_embeds, peer.target_embeds], 1)
        loss = peer._compute_candidates_loss_original(1, whole).item()
    found = worker.ask(frame)
    ours = torch.tensor(found["slopes"]).reshape(gradient.shape)
    return {
        "frame": frame, "loss": loss, "gradient": gradient, "off_loss": abs(found["loss"] - loss),
        "off_gradient": (ours - gradient).abs().max().item(), "largest": gradient.abs().max().item(),
    }


def write_fixture(path, first):
    rows = [[float(f"{value:.7g}") for value in row] for row in first["gradient"].tolist()]
    written = {**first["frame"], "loss": first["loss"], "gradient": rows}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(written, file)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("worker")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fixture")
    flags = parser.parse_args()
    quiet()
    torch.set_num_threads(flags.threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(flags.checkpoint, dtype=torch.float32).eval()
    model.requires_grad_(False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(flags.checkpoint)
    tokenizer.chat_template = TEMPLATE
    worker = Worker(flags.worker, flags.checkpoint, flags.threads)

    first = first_step(model, tokenizer, worker, LENGTH)
    print(f"loss {first['loss']:.6f}, off by {first['off_loss']:.1e}")
    print(f"token gradient, largest {first['largest']:.4f}, off by {first['off_gradient']:.1e} at most")
    if flags.fixture:
        write_fixture(flags.fixture, first_step(model, tokenizer, worker, 3))

    sides = {
        "groma": lambda: run_ours(worker, flags.steps),
        "nanoGCG, prefix cache": lambda: run_theirs(model, tokenizer, flags.steps, True),
        "nanoGCG, none": lambda: run_theirs(model, tokenizer, flags.steps, False),
    }
    found = {name: [] for name in sides}
    for _ in range(flags.rounds):
        for name, run in sides.items():
            found[name].append(run())
    print(f"{flags.rounds} rounds of {flags.steps} steps, {flags.threads} thread(s); medians, seconds a step")
    ours = found["groma"]
    for name, rounds in found.items():
        per_step = lambda key: statistics.median(run[key] for run in rounds) / flags.steps
        ratio = lambda key, by: statistics.median(
            (run[key] / by(run)) / (own[key] / by(own)) for run, own in zip(rounds, ours)
        )
        candidates = statistics.median(run["candidates"] for run in rounds) / flags.steps
        print(
            f"{name:<24} {per_step('seconds'):8.3f} s, {per_step('processor'):8.3f} s of processors, {candidates:5.0f} candidates;"
            f" groma is faster by {ratio('seconds', lambda _: 1):5.2f}, by processor time {ratio('processor', lambda _: 1):5.2f},"
            f" by candidate {ratio('processor', lambda run: run['candidates']):5.2f}"
        )
        print(f"{'':<24} loss after the last step {rounds[0]['losses'][-1]:.4f}")
    worker.process.stdin.close()
    sys.exit(0 if max(first["off_loss"], first["off_gradient"]) <= TOLERANCE else 1)


if __name__ == "__main__":
    main()

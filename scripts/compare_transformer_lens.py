#!/usr/bin/env python3
"""groma's activations and patching grids beside those of TransformerLens, on one checkpoint, in one interleaved run.

Usage: compare_transformer_lens.py CHECKPOINT_DIRECTORY WORKER     (needs torch and transformer_lens 4)

WORKER is the built example `transformer_lens_worker` of groma-interp. Prints the largest difference of every activation that both
have under one name and shape, of the patching grids (residual stream, attention and MLP by layer and position, heads at all
positions; denoising), and the seconds that both take for all grids, in turns. Exit code 1 where a difference is above 1e-4.

TransformerLens runs without weight processing (`no_processing`), its grids by its own `patching` module.
"""

import json
import statistics
import subprocess
import sys
import time

import torch
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge

ROUNDS = 3
TOLERANCE = 1e-4
LENGTH = 15
# Prompts that differ in two tokens.
CHANGED = {4: 77, 7: 901}


# Its sweeps draw a bar, which costs time.
patching.tqdm = lambda items, **_: items


def prompts(vocabulary):
    generator = torch.Generator().manual_seed(7)
    clean = torch.randint(10, vocabulary - 10, (LENGTH,), generator=generator).tolist()
    corrupt = list(clean)
    for at, by in CHANGED.items():
        corrupt[at] = (clean[at] + by) % vocabulary
    return clean, corrupt


def ask(worker, directory, job):
    done = subprocess.run([worker, directory], input=json.dumps(job), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class Theirs:
    def __init__(self, directory, clean, corrupt):
        self.model = TransformerBridge.boot_transformers(directory, device="cpu", dtype=torch.float32)
        self.model.enable_compatibility_mode(no_processing=True)
        self.clean, self.corrupt = torch.tensor([clean]), torch.tensor([corrupt])
        with torch.no_grad():
            logits, self.cache = self.model.run_with_cache(self.clean)
            last, other = logits[0, -1], self.model(self.corrupt)[0, -1]
        # Tokens that the two prompts disagree on, so that there is something to patch.
        self.answer, self.foil = (last - other).argmax().item(), (last - other).argmin().item()
        apart = lambda logits: (logits[self.answer] - logits[self.foil]).item()
        self.whole, self.start = apart(last) - apart(other), apart(other)

    def metric(self, logits):
        return (logits[0, -1, self.answer] - logits[0, -1, self.foil] - self.start) / self.whole

    def grids(self):
        started = time.perf_counter()
        with torch.no_grad():
            _, cache = self.model.run_with_cache(self.clean)
            by = lambda sweep: sweep(self.model, self.corrupt, cache, self.metric)
            found = {
                "resid_pre": by(patching.get_act_patch_resid_pre),
                "attn_out": by(patching.get_act_patch_attn_out),
                "mlp_out": by(patching.get_act_patch_mlp_out),
                "z": by(patching.get_act_patch_attn_head_out_all_pos),
            }
        return found, time.perf_counter() - started


def main():
    directory, worker = sys.argv[1:3]
    torch.set_num_threads(2)
    vocabulary = json.load(open(f"{directory}/config.json"))["vocab_size"]
    clean, corrupt = prompts(vocabulary)
    theirs = Theirs(directory, clean, corrupt)
    job = {"clean": clean, "corrupt": corrupt, "answer": theirs.answer, "foil": theirs.foil}
    ours = ask(worker, directory, {**job, "repetitions": 1, "activations": True})

    worst, shared = 0.0, 0
    for name, values in ours["activations"].items():
        # The bridge reads `hook_normalized` before the norm's weight and bias, groma behind them (as HookedTransformer did).
        there = name.replace("hook_normalized", "hook_out")
        if there not in theirs.cache:
            continue
        other = theirs.cache[there].reshape(-1)
        if other.numel() != len(values):
            print(f"{name}: {len(values)} numbers here, {other.numel()} there")
            worst = float("inf")
            continue
        apart = (torch.tensor(values) - other).abs().max().item()
        shared, worst = shared + 1, max(worst, apart)
        if apart > TOLERANCE:
            print(f"{name}: {apart:.2e} apart")
    print(f"{shared} activations under one name and shape, at most {worst:.2e} apart")

    their_times, our_times = [], []
    for _ in range(ROUNDS):
        grids, seconds = theirs.grids()
        their_times.append(seconds)
        again = ask(worker, directory, {**job, "repetitions": 3, "activations": False})
        our_times.append(statistics.median(again["seconds"]))
    for name, grid in grids.items():
        apart = (torch.tensor(ours["grids"][name]) - grid).abs().max().item()
        worst = max(worst, apart)
        print(f"grid {name} {tuple(grid.shape)}: at most {apart:.2e} apart, largest share {grid.abs().max().item():.3f}")
    there, here = statistics.median(their_times), statistics.median(our_times)
    print(f"all grids: {there:.3f} s there, {here:.4f} s here, {there / here:.0f} times as fast (medians of {ROUNDS} turns)")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()

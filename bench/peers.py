#!/usr/bin/env python3
"""groma beside what users have now: the same weights, data, precision and threads, interleaved in one run.

    python3 bench/peers.py ENVIRONMENT [--workloads train,dpo-small,...] [--threads 2] [--rounds 7] [--seconds 45] ...

ENVIRONMENT is a directory with a Python environment; one that is not there is made from bench/requirements.txt. Prints a
table in Markdown, see bench/README.md. With `--before CHECKOUT` the one peer is groma as it was there. This script itself needs nothing but Python and cargo, and Linux for the memory figures.
"""

import argparse
import functools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import setting
import table
from agreement import Disagreement
from engines import Failed
from setting import ROOT, note
from workloads import DEFAULT, WORKLOADS, Bench

SHARED = ROOT.parent / "shared"


def measure(workload, engines, options):
    """Checks, warms up, and runs rounds of every engine in turn, in alternating order, until they are done or time is up."""
    checked = {engine: engine.run(workload.check or workload.command, workload.checks)[1] for engine in engines}
    ours, *peers = engines
    agreements = {}
    for peer in peers:
        try:
            agreements[peer] = workload.agree(checked[ours], checked[peer])
        except (Disagreement, ValueError) as error:
            raise Disagreement(f"groma and {peer.name}: {error}") from error
    loads, start = [], time.monotonic()
    for number in range(options.rounds):
        if number >= min(workload.least_rounds, options.rounds) and time.monotonic() - start > options.seconds:
            break
        loads.append(os.getloadavg()[0])
        for engine in engines if number % 2 == 0 else reversed(engines):
            seconds, _, cpu = engine.run(workload.command)
            engine.seconds += seconds
            engine.cpu_seconds.append(cpu)
        times = (f"{e.name} {e.seconds[-1]:.3f} s, {e.cpu_seconds[-1]:.2f} s of processors" for e in engines)
        note(f"{workload.label}: round {number + 1}: " + "; ".join(times))
    return agreements, loads


def run(workload, options):
    """The lines of a workload."""
    engines = []
    try:
        for start in [workload.ours, *workload.peers, *(workload.other_peers if options.all_peers else [])]:
            engines.append(start())
        agreements, loads = measure(workload, engines, options)
        return table.rows(workload, engines[0], engines[1:], agreements, loads)
    finally:
        for engine in engines:
            engine.close()


def as_it_was(kind, model, bench):
    """The workload with groma as it was in another checkout for its one peer."""
    before = Bench(bench.options, bench.python, functools.cache(functools.partial(setting.build, root=bench.options.before)),
                   bench.models, bench.scratch)
    workload, other = kind(bench, model), kind(before, model)

    def start():
        engine = other.ours()
        engine.name = "groma before"
        return engine

    workload.peers, workload.other_peers = [start], []
    return workload


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("--workloads", default=",".join(DEFAULT), help="which of " + ", ".join(WORKLOADS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=7, help="at most so many rounds a workload")
    parser.add_argument("--seconds", type=float, default=45, help="no new round of a workload after so long (but 2 or 3)")
    parser.add_argument("--before", type=Path, help="another checkout of groma: the one peer")
    parser.add_argument("--all-peers", action="store_true", help="peers with other settings too")
    parser.add_argument("--pairs", type=int, help="preference pairs; 256, and 128 for the Llama, by default")
    parser.add_argument("--items", type=int, help="items of each MMLU subject; 30, and 10 for the Llama, by default")
    parser.add_argument("--small-model", type=Path, default=SHARED / "weights" / "stories3M-hf")
    parser.add_argument("--pairs-file", type=Path, default=SHARED / "data/hh_rlhf/harmless-base/test.jsonl.gz")
    parser.add_argument("--mmlu", type=Path, default=SHARED / "data" / "mmlu", help="directory with dev and test")
    parser.add_argument("--output", type=Path, help="also write the table there, after every workload")
    options = parser.parse_args()
    options.workloads = options.workloads.split(",")
    unknown = [name for name in options.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"unknown workload {unknown[0]}; there are {', '.join(WORKLOADS)}")
    for name in ("rounds", "threads", "items", "pairs"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"{name} must be at least 1")
    return options


def missing(name, options):
    """A file that a workload needs and that is not there."""
    needed = [options.small_model] if name.endswith("-small") or name in ("dpo", "grpo", "mmlu", "first") else []
    needed += [options.pairs_file] if name.startswith(("dpo", "grpo")) else [options.mmlu] if name.startswith("mmlu") else []
    return next((path for path in needed if not path.exists()), None)


def main():
    options = parse()
    # So that the workers end with this script.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    python = setting.environment_python(options.environment)
    title = f"{setting.machine(options.threads, setting.check_versions(python))}."
    lines, left_out = [], []
    with tempfile.TemporaryDirectory() as scratch:
        models = {"llama": Path(scratch) / "llama", "llama-bf16": Path(scratch) / "bf16", "small": options.small_model}
        tokenizer = options.small_model if options.small_model.exists() else None
        for model, dtype in (("llama", "float32"), ("llama-bf16", "bfloat16")):
            setting.write_llama(python, models[model], 512, 8, 8192, tokenizer, dtype)
        bench = Bench(options, python, functools.cache(setting.build), models, Path(scratch))
        for name in options.workloads:
            try:
                if path := missing(name, options):
                    raise Failed(f"{path} is not there")
                kind, model = WORKLOADS[name]
                workload = as_it_was(kind, model, bench) if options.before else kind(bench, model)
                lines += run(workload, options)
            except (Failed, Disagreement) as error:
                note(f"{name}: {error}")
                left_out.append(f"- {name} has no figures: {' '.join(str(error).split())[:500]}")
            text = "\n".join([title, "", table.HEADER, *lines, *([""] if left_out else []), *left_out, ""])
            if options.output:
                options.output.write_text(text)
    print(text)
    sys.exit(1 if left_out else 0)


if __name__ == "__main__":
    main()

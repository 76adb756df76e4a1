#!/usr/bin/env python3
"""groma beside PyTorch and transformers: the same weights, tokens, precision and threads, interleaved in one run.

    python3 bench/peers.py ENVIRONMENT [--threads 2] [--rounds 7] [--compile] [--workloads train,score,...]
                           [--small-model DIRECTORY] [--output FILE]

ENVIRONMENT is a directory with a Python environment; one that is not there is made from bench/requirements.txt. Prints a
table in Markdown, see bench/README.md. This script itself needs nothing but Python, and Linux for the memory figures.
"""

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEW_TOKENS = 64
# name, what the workers call it, rows, tokens a row, which model
WORKLOADS = {
    "train": ("training step, Llama 31.6 M, 8 x 256", "train", 8, 256, "llama"),
    "score": ("scoring, Llama 31.6 M, 8 x 256", "score", 8, 256, "llama"),
    "decode-1": ("greedy decoding, Llama 31.6 M, 1 prompt", "decode", 1, 8, "llama"),
    "decode-16": ("greedy decoding, Llama 31.6 M, 16 prompts", "decode", 16, 8, "llama"),
    "train-small": ("training step, {small}, 8 x 256", "train", 8, 256, "small"),
}


def note(text):
    print(text, file=sys.stderr, flush=True)


class Engine:
    """A worker process. Its peak memory and processor time are read from /proc."""

    def __init__(self, name, command, threads):
        self.name = name
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
        environment = dict(os.environ, **{name: str(threads) for name in names})
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.seconds, self.cpu_seconds = [], []

    def run(self, command, repetitions=1):
        """Seconds and results of some repetitions, and the processor time they took."""
        before = self._cpu()
        self.process.stdin.write(json.dumps(dict(command, repetitions=repetitions)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with code {self.process.wait()}")
        answer = json.loads(line)
        return answer["seconds"], answer["results"], self._cpu() - before

    def _cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def close(self):
        """Ends the worker, whatever it is at."""
        self.process.kill()
        self.process.wait()


def environment_python(directory):
    python = directory / "bin" / "python"
    if not python.exists():
        note(f"making a Python environment in {directory}")
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        requirements = ROOT / "bench" / "requirements.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
    return python


def check_versions(python):
    """The versions in the environment; stops where they are not those of requirements.txt."""
    pins = dict(line.split("==") for line in (ROOT / "bench" / "requirements.txt").read_text().split())
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {list(pins)}}}))"
    found = json.loads(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout)
    for name, version in pins.items():
        if found[name].partition("+")[0] != version:
            sys.exit(f"the environment has {name} {found[name]}; bench/requirements.txt says {version}")
    return found


def groma_worker():
    """Builds groma's worker and returns its path."""
    build = ["cargo", "build", "--release", "-p", "groma-model", "--example", "bench_worker"]
    subprocess.run(build, cwd=ROOT, check=True)
    metadata = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    found = json.loads(subprocess.run(metadata, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    return Path(found["target_directory"]) / "release" / "examples" / "bench_worker"


def relative(a, b):
    return abs(a - b) / max(abs(a), abs(b))


def check(kind, ours, theirs, name):
    """Both must compute the same, before anything is timed. Returns how well they agree, in words."""
    if kind == "decode":
        if ours != theirs:
            sys.exit(f"groma and {name} choose different tokens")
        return f"the same {sum(len(row) for row in ours[0])} tokens"
    worst = max(relative(a, b) for a, b in zip(ours, theirs))
    if not worst <= 1e-5:
        sys.exit(f"groma and {name} differ by {worst:.1e}: {ours} and {theirs}")
    return f"within {worst:.0e}" if worst else "equal"


def measure(workload, engines, command, rounds):
    """Checks, warms up, and runs `rounds` rounds of every engine in turn, in alternating order."""
    label, kind = workload[:2]
    warm = {engine: engine.run(command, 3 if kind == "train" else 2)[1] for engine in engines}
    ours, *others = engines
    agreement = {engine: check(kind, warm[ours], warm[engine], engine.name) for engine in others}
    loads = []
    for round_number in range(rounds):
        loads.append(os.getloadavg()[0])
        for engine in engines if round_number % 2 == 0 else reversed(engines):
            seconds, _, cpu = engine.run(command)
            engine.seconds += seconds
            engine.cpu_seconds.append(cpu)
        times = (f"{e.name} {e.seconds[-1]:.3f} s, {e.cpu_seconds[-1]:.2f} s of processors" for e in engines)
        note(f"{label}: round {round_number + 1}: " + "; ".join(times))
    return agreement, loads


def table_row(label, tokens, ours, peer, agreement, loads):
    ratios = [theirs / mine for mine, theirs in zip(ours.seconds, peer.seconds)]
    cpu = statistics.median(peer.cpu_seconds) / max(statistics.median(ours.cpu_seconds), 1e-9)
    ours_rate, peer_rate = (tokens / statistics.median(engine.seconds) for engine in (ours, peer))
    best = [tokens / min(engine.seconds) for engine in (ours, peer)]
    return (
        f"| {label} | {peer.name} | **{statistics.median(ratios):.2f}** ({min(ratios):.2f} - {max(ratios):.2f}) "
        f"| {cpu:.2f} | {ours_rate:.0f} ({best[0]:.0f}) | {peer_rate:.0f} ({best[1]:.0f}) "
        f"| {ours.peak_mib():.0f} / {peer.peak_mib():.0f} = {ours.peak_mib() / peer.peak_mib():.2f} "
        f"| {agreement} | {min(loads):.1f} - {max(loads):.1f} |"
    )


def machine(threads, versions):
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    flags = next((line.split() for line in cpuinfo if line.startswith("flags")), [])
    features = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    pins = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{time.strftime('%Y-%m-%d')}; {model} ({', '.join(features)}), {os.cpu_count()} processors, {memory_gib:.0f} GiB, "
        f"Linux {platform.release()}; {threads} threads each; f32; {pins}"
    )


HEADER = (
    "| workload | peer | speed groma : peer, median (min - max) | by processor time | groma tokens/s, median (best) "
    "| peer tokens/s, median (best) | peak memory, MiB, groma / peer | agreement | load average |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def run_workload(workload, options, python, worker, models, scratch):
    label, kind, rows, length, which = workload
    directory = models[which]
    vocabulary = json.loads((directory / "config.json").read_text())["vocab_size"]
    generator = random.Random(rows * length)
    ids = [[generator.randrange(vocabulary) for _ in range(length)] for _ in range(rows)]
    file = scratch / "ids.json"
    file.write_text(json.dumps(ids))
    command = {"workload": kind, "ids": str(file), "new_tokens": NEW_TOKENS}
    peer = [python, ROOT / "bench" / "torch_worker.py", directory, options.threads]
    engines = [Engine("groma", [worker, directory, options.threads], options.threads)]
    engines.append(Engine("PyTorch eager", peer, options.threads))
    if options.compile and kind != "decode":
        engines.append(Engine("PyTorch compiled", [*peer, "--compile"], options.threads))
    label = label.format(small=directory.name)
    tokens = rows * (NEW_TOKENS if kind == "decode" else length)
    try:
        agreement, loads = measure((label, kind), engines, command, options.rounds)
        return [table_row(label, tokens, engines[0], other, agreement[other], loads) for other in engines[1:]]
    finally:
        for engine in engines:
            engine.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="PyTorch compiled too, for training and scoring")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="which of " + ", ".join(WORKLOADS))
    parser.add_argument("--small-model", type=Path, help="a checkpoint for train-small, which is left out without it")
    parser.add_argument("--output", type=Path, help="also write the table there")
    options = parser.parse_args()
    names = options.workloads.split(",")
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        parser.error(f"unknown workload {unknown[0]}; there are {', '.join(WORKLOADS)}")
    if options.rounds < 1 or options.threads < 1:
        parser.error("rounds and threads must be at least 1")
    # So that the workers end with this script.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    python = environment_python(options.environment)
    versions = check_versions(python)
    worker = groma_worker()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        models = {"llama": scratch / "llama", "small": options.small_model}
        subprocess.run([python, ROOT / "bench" / "torch_worker.py", "--write-checkpoint", models["llama"]], check=True)
        lines = []
        for name in names:
            if models[WORKLOADS[name][4]] is None:
                note(f"{name} is left out: give --small-model")
                continue
            lines += run_workload(WORKLOADS[name], options, python, worker, models, scratch)
    text = "\n".join([f"{machine(options.threads, versions)}; {options.rounds} rounds.", "", HEADER, *lines, ""])
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()

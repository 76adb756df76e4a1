#!/usr/bin/env python3
"""Cost against size: how long forward passes and training steps take, beside the least that their products could take.

    python3 bench/curves.py ENVIRONMENT [--threads 2] [--repetitions 3] [--peer] [--output bench/curves]

Three curves: parameters (1 to 64 million), tokens of one sequence (128 to 4096), and continuations that share a prompt (1 to
64). The ideal is the time of the model's floating-point operations, each distinct token computed once, at the speed of a large
matrix product measured in the same run. `--peer` adds PyTorch, whose batches hold a shared prompt once for each continuation.
Writes OUTPUT.md and OUTPUT.svg.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import setting
from chart import chart
from engines import Worker
from setting import WORKERS, note

VOCABULARY = 4096
# Hidden size and layers: about 1, 4, 16 and 64 million parameters.
SHAPES = {1: (64, 8), 4: (256, 3), 16: (512, 4), 64: (896, 7)}
MIDDLE = 16
SIZE_TOKENS = 512
LENGTHS = (128, 256, 512, 1024, 2048, 4096)
SHARED_PROMPT, CONTINUATION = 512, 32
CONTINUATIONS = (1, 2, 4, 8, 16, 32, 64)
WORK = {"score": "forward", "train": "training step"}


@dataclass
class Point:
    """A model, rows of tokens whose first `shared` are the same, operations of a forward pass, seconds by engine and work."""

    x: float
    model: int
    rows: int
    length: int
    shared: int = 0
    operations: float = 0
    seconds: dict = field(default_factory=dict)


@dataclass
class Curve:
    title: str
    axis: str
    points: list


def curves(parameters):
    return [
        Curve(
            f"Parameters, one sequence of {SIZE_TOKENS} tokens", "million parameters",
            [Point(parameters[size] / 1e6, size, 1, SIZE_TOKENS) for size in SHAPES],
        ),
        Curve(
            f"Length of one sequence, {parameters[MIDDLE] / 1e6:.0f} million parameters", "tokens",
            [Point(length, MIDDLE, 1, length) for length in LENGTHS],
        ),
        Curve(
            f"Continuations of {CONTINUATION} tokens that share a prompt of {SHARED_PROMPT}, "
            f"{parameters[MIDDLE] / 1e6:.0f} million parameters", "continuations",
            [Point(n, MIDDLE, n, SHARED_PROMPT + CONTINUATION, SHARED_PROMPT) for n in CONTINUATIONS],
        ),
    ]


def operations(point, config):
    """Of the products of a forward pass: linear layers, attention up to the diagonal, and the head where it is asked for."""
    hidden, layers, mlp = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    key_value = hidden * config["num_key_value_heads"] // config["num_attention_heads"]
    linear = layers * (2 * hidden * hidden + 2 * hidden * key_value + 3 * hidden * mlp)
    own = point.length - point.shared
    tokens = point.shared + point.rows * own
    seen = point.shared * (point.shared + 1) / 2 + point.rows * own * (point.shared + (own + 1) / 2)
    predicted = point.rows * (own if point.shared else own - 1)
    return 2 * (tokens * linear + 2 * seen * layers * hidden + predicted * hidden * config["vocab_size"])


def ids(point):
    generator = random.Random(point.length)
    prompt = generator.choices(range(VOCABULARY), k=point.shared)
    return [prompt + generator.choices(range(VOCABULARY), k=point.length - point.shared) for _ in range(point.rows)]


def measure(point, work, engines, repetitions, scratch):
    """Median seconds in each engine, after one repetition to warm up; all must compute the same."""
    file = scratch / "ids.json"
    file.write_text(json.dumps(ids(point)))
    command = {"workload": work, "ids": str(file), "shared": point.shared}
    results = []
    for engine in engines:
        results.append(engine.run(command)[1][0])
        point.seconds[engine.name, work] = statistics.median(engine.run(command, repetitions)[0])
    # Training changes the weights, each engine's in its own rounding; it comes after all forward passes.
    if work == "score" and max(results) - min(results) > 1e-5 * abs(results[0]):
        sys.exit(f"the engines differ: {results}")
    times = ", ".join(f"{engine.name} {point.seconds[engine.name, work]:.3f} s" for engine in engines)
    note(f"{WORK[work]}, {point.model} M, {point.rows} x {point.length}: {times}")


def run(options, python, scratch):
    models = {size: scratch / f"{size}M" for size in SHAPES}
    parameters = {size: setting.write_llama(python, models[size], *SHAPES[size], VOCABULARY) for size in SHAPES}
    worker = setting.build("groma-model", "example", "bench_worker")
    found = curves(parameters)
    speeds = []
    for size, directory in models.items():
        config = json.loads((directory / "config.json").read_text())
        engines = [Worker("groma", [worker, directory, options.threads], options.threads)]
        if options.peer:
            peer = [python, WORKERS / "torch_worker.py", directory, options.threads]
            engines.append(Worker("PyTorch", peer, options.threads))
        try:
            points = [point for curve in found for point in curve.points if point.model == size]
            for work in WORK:
                for point in points:
                    speeds.append(max(engines[0].run({"workload": "product"}, 3)[1]))
                    measure(point, work, engines, options.repetitions, scratch)
            for point in points:
                point.operations = operations(point, config)
        finally:
            for engine in engines:
                engine.close()
    for point in (point for curve in found for point in curve.points):
        forward = point.operations / max(speeds) / 1e9
        point.seconds |= {("ideal", "score"): forward, ("ideal", "train"): 3 * forward}
    return found, max(speeds)


def markdown(found, engines, title):
    lines = [title]
    for curve in found:
        heads = [f"{WORK[work]}, {engine}, ms" for work in WORK for engine in engines] + ["of the ideal, forward", "training"]
        lines += ["", f"### {curve.title}", "", f"| {curve.axis} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        for point in curve.points:
            cells = [f"{point.seconds[engine, work] * 1e3:.1f}" for work in WORK for engine in engines]
            cells += [f"{point.seconds['ideal', work] / point.seconds['groma', work]:.0%}" for work in WORK]
            x = f"{point.x:.1f}" if point.x % 1 else f"{point.x:.0f}"
            lines.append(f"| {x} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="PyTorch too")
    parser.add_argument("--output", type=Path, default=setting.ROOT / "bench" / "curves")
    options = parser.parse_args()
    python = setting.environment_python(options.environment)
    versions = setting.check_versions(python)
    with tempfile.TemporaryDirectory() as scratch:
        found, speed = run(options, python, Path(scratch))
    engines = ["groma", *(["PyTorch"] if options.peer else []), "ideal"]
    title = f"{setting.machine(options.threads, versions)}; f32; the ideal is at {speed:.0f} GFLOP/s."
    options.output.with_suffix(".md").write_text(markdown(found, engines, title))

    def line(curve, engine, work):
        return engine, [(point.x, point.seconds[engine, work]) for point in curve.points]

    panels = [
        (f"{WORK[work]}, by {curve.axis}", [line(curve, engine, work) for engine in engines])
        for work in WORK
        for curve in found
    ]
    options.output.with_suffix(".svg").write_text(chart(panels, len(found), "seconds"))


if __name__ == "__main__":
    main()

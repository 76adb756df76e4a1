"""Where the bench runs: the Python environment of the peers, groma's programs, the machine."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = ROOT / "bench" / "workers"
REQUIREMENTS = ROOT / "bench" / "requirements.txt"


def note(text):
    print(text, file=sys.stderr, flush=True)


def environment_python(directory):
    """The interpreter of an environment, which is made where there is none."""
    python = directory / "bin" / "python"
    if not python.exists():
        note(f"making a Python environment in {directory}")
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
    return python


def check_versions(python):
    """The versions in the environment; stops where they are not those of requirements.txt."""
    pins = dict(line.split("==") for line in REQUIREMENTS.read_text().split())
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {list(pins)}}}))"
    found = json.loads(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout)
    for name, version in pins.items():
        if found[name].partition("+")[0] != version:
            sys.exit(f"the environment has {name} {found[name]}; bench/requirements.txt says {version}")
    return found


def build(package, kind, name, root=ROOT):
    """Builds an example or a program of groma, of the checkout at `root`, and returns its path."""
    subprocess.run(["cargo", "build", "--release", "-p", package, f"--{kind}", name], cwd=root, check=True)
    metadata = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    found = json.loads(subprocess.run(metadata, cwd=root, check=True, capture_output=True, text=True).stdout)
    release = Path(found["target_directory"]) / "release"
    return release / "examples" / name if kind == "example" else release / name


def write_llama(python, directory, hidden_size, layers, vocabulary, tokenizer=None, dtype="float32"):
    """A Llama with random weights, written by transformers; returns how many parameters it has."""
    shape = [hidden_size, layers, vocabulary, dtype]
    arguments = [python, WORKERS / "write_llama.py", directory, *shape, *filter(None, [tokenizer])]
    written = subprocess.run([str(part) for part in arguments], check=True, capture_output=True, text=True)
    return int(written.stdout)


def machine(threads, versions):
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    flags = next((line.split() for line in cpuinfo if line.startswith("flags")), [])
    features = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    pins = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{time.strftime('%Y-%m-%d')}; {model} ({', '.join(features)}), {os.cpu_count()} processors, {memory_gib:.0f} GiB, "
        f"Linux {platform.release()}; {threads} threads each; {pins}"
    )

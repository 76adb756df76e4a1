"""Kills at system calls of `train`, `run` and an export, and what is there after the next start."""

import hashlib
import json
import os
import shutil

from running import in_parallel, run

CALLS = ("openat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,write,pwrite64,fsync,fdatasync,ftruncate,"
         "flock,close")
"""Calls by which files change, or which stand at their borders."""

WORKS = {
    "train": ["train", "sft", "--model", "model", "--data", "texts.jsonl", "--output", "out", "--set", "max_steps=3",
              "--set", "save_steps=1", "--set", "per_device_train_batch_size=2"],
    "overwrite": ["train", "dpo", "--model", "model", "--data", "pairs.jsonl", "--output", "out", "--overwrite", "--set",
                  "max_steps=2", "--set", "save_steps=1", "--set", "per_device_train_batch_size=2"],
    "run": ["run", "recipe.toml"],
    "export": ["organism", "--export", "world"],
}
"""What is killed. Of `overwrite` the old model must be there, whole, until the new one is."""


def attack(place, tally, tries, draw):
    if shutil.which("strace") is None or not can_trace(place):
        tally.notes.append("skipped: strace is missing, or may not trace here")
        return
    base = place.path("base")
    prepare(place, base)
    works = {name: Work(place, base, name, command) for name, command in WORKS.items()}
    jobs = []
    for number in range(tries):
        work = works[list(WORKS)[number % len(WORKS)]]
        # All of its calls come up for it in turn, from the first to the last, in an order of their own.
        jobs.append((work, draw.randrange(1, work.calls + 1), draw.randrange(1, work.calls + 1), number))
    in_parallel(lambda job: job[0].killed(*job[1:]), jobs, tally)
    tally.notes.append(", ".join(f"{name} makes {work.calls} calls" for name, work in works.items()))


def can_trace(place):
    return run(["strace", "-f", "-qq", "-o", "/dev/null", "true"], place.root).code == 0


def prepare(place, base):
    """What each try begins with: model, rows, recipe, and a model that is to be overwritten."""
    os.makedirs(base)
    for name in ["model", "texts.jsonl", "pairs.jsonl", "recipe.toml"]:
        source = place.path(name)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, os.path.join(base, name))
    recipe = place.read("recipe.toml").decode().replace("max_steps = 4", "max_steps = 2").replace("save_steps = 2", "save_steps = 1")
    with open(os.path.join(base, "recipe.toml"), "w") as file:
        file.write(recipe)


class Work:
    """A command, what it leaves, and how many calls it makes."""

    def __init__(self, place, base, name, command):
        self.place, self.name = place, name
        self.command = [place.groma, *command, "--threads", "1"]
        self.base = place.path(f"base-{name}")
        shutil.copytree(base, self.base)
        if name == "overwrite":
            old = [place.groma, *WORKS["train"], "--threads", "1"]
            assert run(old, self.base).code == 0
        whole = place.path(f"whole-{name}")
        shutil.copytree(self.base, whole)
        log = place.path(f"calls-{name}")
        traced = run(["strace", "-f", "-qq", "-o", log, "-e", f"trace={CALLS}", *self.command], whole, seconds=120)
        assert traced.code == 0, traced.said
        # Calls are counted by the thread, as strace does.
        counts = {}
        with open(log, errors="replace") as lines:
            for line in lines:
                thread = line.split(" ", 1)[0]
                counts[thread] = counts.get(thread, 0) + (0 if "resumed>" in line or "+++" in line or "---" in line else 1)
        self.calls = max(counts.values())
        self.expected = results(whole)
        self.old = results(self.base)

    def killed(self, first, second, number):
        """Killed at its call `first`, in some tries again at the call `second` of the next start, then let go."""
        directory = self.place.path(f"{self.name}-{number}")
        shutil.copytree(self.base, directory)
        for call in [first, second][: 1 + number // len(WORKS) % 2]:
            inject = f"inject={CALLS}:signal=SIGKILL:when={call}"
            run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", inject, *self.command], directory, seconds=60)
            lost = self.lost(directory)
            if lost:
                return f"{self.name} at {call}", lost, directory
        problem = self.ended(directory)
        if problem is None:
            shutil.rmtree(directory)
        return f"{self.name} at {first}, {second}", problem, directory

    def lost(self, directory):
        """Whether a kill took the old model, before the new one is there."""
        if self.name != "overwrite":
            return None
        there = {path: digest for path, digest in results(directory).items() if path.startswith("out/")}
        known = [{path: digest for path, digest in of.items() if path.startswith("out/")} for of in (self.old, self.expected)]
        return None if there in known else "neither the old model nor the new one is at the output"

    def ended(self, directory):
        """The next start, and what is wrong with what it leaves."""
        if self.name == "export" and os.path.exists(os.path.join(directory, "world")):
            outcome = None
        else:
            outcome = run(self.command, directory, seconds=60)
        found = results(directory)
        # One that was let go in between has done it all, and is refused.
        refused = outcome is not None and outcome.code == 2 and "exists already" in outcome.said
        if outcome is not None and outcome.code != 0 and not (refused and found == self.expected):
            return outcome.problem() or f"the next start ends with {outcome.code}: {outcome.said[-300:]}"
        if found != self.expected:
            differing = sorted(path for path in found.keys() | self.expected.keys() if found.get(path) != self.expected.get(path))
            return f"other bits, or other files: {differing[:5]}"
        return None


def results(directory):
    """The digest of every file but those that tell the time, and of the numbers of a run; what is hidden counts too."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), directory)
            if is_of_the_moment(path):
                continue
            with open(os.path.join(directory, path), "rb") as file:
                content = file.read()
            if path.endswith("measurements.jsonl") or path.endswith("comparisons.jsonl"):
                content = numbers(content)
            found[path] = hashlib.sha256(content).hexdigest()
    return found


def is_of_the_moment(path):
    """Files of a run that say when, how long and by whom, and lists of digests of cards that do."""
    inside = path.startswith("runs/")
    return inside and (path.split("/")[2:3] in (["manifest.json"], ["events.jsonl"], ["report.html"], ["stages"], ["lock"]))


def numbers(content):
    rows = []
    for line in content.splitlines():
        row = json.loads(line)
        row.pop("seconds", None)
        rows.append(json.dumps(row, sort_keys=True))
    return "\n".join(sorted(rows)).encode()

"""Files of every format that is read, changed with their structure in mind and without it."""

import json
import os
import random
import shutil
import struct

from running import in_parallel, run

EXTREMES = [
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, -1e308, 1e-320, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30,
    "", " ", "\x00", "a" * 70000, "../../../../etc/passwd", "/dev/zero", "\u202e\x9b31m", "<script>alert(1)</script>", "NaN", "é\u0301\U0001f600",
    [], {}, [[]], [None], {"": ""}, [0] * 5000, {"a": {"a": {"a": {}}}},
]


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


class Target:
    """A file, and a command that reads it. `{}` is the directory of the try."""

    def __init__(self, files, kind, command, names):
        self.files, self.kind, self.command, self.names = files, kind, command, names
        """`files` are copied to the directory; `names` are those that are changed."""


STOPPED = ["train", "sft", "--model", "model", "--data", "texts.jsonl", "--set", "learning_rate=1e30", "--set", "max_grad_norm=0", "--set",
           "max_steps=6", "--set", "save_steps=1", "--set", "per_device_train_batch_size=2"]
"""A training whose numbers soon are not finite: it ends, and keeps its last good checkpoint."""


def targets():
    score = ["score", "--model", "{}/model", "--text", "text.txt"]
    adapted = ["score", "--model", "{}/adapter", "--text", "text.txt"]
    check = ["check", "{}/recipe.toml"]
    train = ["train", "sft", "--model", "model", "--output", "{}/out", "--set", "max_steps=1", "--data"]
    rows = ["check", "--model", "model", "--data"]
    task = ["eval", "--model", "model", "--task", "{}/task.toml", "--runs", "{}/runs", "--limit", "2"]
    return [
        Target(["model"], "json", score, ["model/config.json"]),
        Target(["model"], "json", score, ["model/tokenizer.json"]),
        Target(["model"], "json", ["check", "--data", "texts.jsonl", "--model", "{}/model"],
               ["model/tokenizer_config.json", "model/special_tokens_map.json", "model/generation_config.json"]),
        Target(["model"], "safetensors", score, ["model/model.safetensors"]),
        Target(["adapter"], "json", adapted, ["adapter/adapter_config.json"]),
        Target(["adapter"], "safetensors", adapted, ["adapter/adapter_model.safetensors"]),
        Target(["texts.jsonl"], "jsonl", [*rows, "{}/texts.jsonl"], ["texts.jsonl"]),
        Target(["pairs.jsonl"], "jsonl", ["train", "dpo", *train[2:], "{}/pairs.jsonl"], ["pairs.jsonl"]),
        Target(["texts.json"], "json", [*rows, "{}/texts.json"], ["texts.json"]),
        Target(["texts.csv"], "text", [*rows, "{}/texts.csv"], ["texts.csv"]),
        Target(["recipe.toml", "texts.jsonl", "pairs.jsonl"], "toml", check, ["recipe.toml"]),
        Target(["task.toml", "colours.jsonl"], "toml", task, ["task.toml"]),
        Target(["task.toml", "colours.jsonl"], "jsonl", task, ["colours.jsonl"]),
        Target(["steer.json"], "json", ["chat", "--model", "model", "--steer", "{}/steer.json", "--max-new-tokens", "2"], ["steer.json"]),
        Target(["ids.txt"], "text", ["score", "--model", "model", "--ids", "--text", "{}/ids.txt"], ["ids.txt"]),
        Target(["done"], "json", ["report", "{}/done"], ["done/manifest.json"]),
        Target(["done"], "jsonl", ["report", "{}/done"], ["done/measurements.jsonl", "done/comparisons.jsonl", "done/events.jsonl"]),
        Target(["done"], "json", ["runs", "{}/done", "--verify"],
               ["done/manifest.json", "done/stages/before.json", "done/stages/dpo.json", "done/model/digests.json"]),
        Target(["done"], "bytes", ["report", "{}/done"], ["samples"]),
        Target(["stopped"], "json", [*STOPPED, "--output", "{}/stopped/out"], ["state.json", "digests.json"]),
        Target(["stopped"], "safetensors", [*STOPPED, "--output", "{}/stopped/out"], ["weights.safetensors", "moments.safetensors"]),
    ]


def attack(place, tally, tries, draw):
    place.write("steer.json", json.dumps([{"point": "blocks.1.hook_resid_post", "edit": {"add": {"vector": [0.5] * 16, "coefficient": 2}}}]))
    place.write("ids.txt", "1 2 3 4 5 6 7")
    made = run([place.groma, "run", "recipe.toml", "--runs", ".", "--name", "done"], place.root, seconds=120)
    assert made.code == 0, made.said
    stopped = run([place.groma, *STOPPED, "--output", "stopped/out"], place.root, seconds=60)
    assert stopped.code == 5, stopped.said
    all_targets = [expand(place, target) for target in targets()]
    for target in all_targets:
        # What is not changed must be read: else nothing of it is tried.
        outcome = attempt(place, target, None, 0)[3]
        assert outcome.code == (5 if target.files == ["stopped"] else 0), (target.command, outcome.said)
    jobs = [(all_targets[number % len(all_targets)], number, draw.getrandbits(60)) for number in range(tries)]
    in_parallel(lambda job: attempt(place, job[0], job[2], job[1] + 1)[:3], jobs, tally)
    tally.notes.append(f"{len(all_targets)} targets")


def expand(place, target):
    """Finds the names of files that are known only once they are there."""
    if target.names == ["samples"]:
        target.names = [f"done/samples/{name}" for name in sorted(os.listdir(place.path("done/samples")))]
    if target.files == ["stopped"]:
        steps = [name for name in sorted(os.listdir(place.path("stopped/out.checkpoints"))) if name.startswith("step-")]
        target.names = [f"stopped/out.checkpoints/{step}/{name}" for step in steps for name in target.names]
    return target


def attempt(place, target, seed, number):
    """One change of one file, and how the program ends."""
    directory = place.path(f"mutated-{target.files[0]}-{number}")
    os.makedirs(directory)
    for name in target.files:
        source = place.path(name)
        if os.path.isdir(source):
            # Links: a try writes no byte of what it does not change.
            shutil.copytree(source, os.path.join(directory, name), copy_function=os.link)
        else:
            shutil.copy(source, os.path.join(directory, name))
    size, name = 0, target.names[0]
    if seed is not None:
        draw = random.Random(seed)
        name = draw.choice(target.names)
        path = os.path.join(directory, name)
        with open(path, "rb") as file:
            content = file.read()
        changed = mutate(content, target.kind, draw)
        os.unlink(path)
        with open(path, "wb") as file:
            file.write(changed)
        size = len(changed)
    command = [place.groma, *(part.replace("{}", directory) for part in target.command)]
    outcome = run(command, place.root, stdin=b"Hello\n")
    problem = outcome.problem(size)
    if problem is None:
        shutil.rmtree(directory, ignore_errors=True)
    return f"{name} by {' '.join(target.command[:2])}, seed {seed}", problem, directory, outcome


def mutate(content, kind, draw):
    """The content with one to three changes."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        of_bytes = draw.random() < 0.35 or kind == "bytes"
        change = of_its_bytes if of_bytes else {"json": of_json, "jsonl": of_a_line, "safetensors": of_a_header}.get(kind, of_text)
        try:
            content = change(content, draw)
        except (ValueError, RecursionError, struct.error, UnicodeError):
            content = of_its_bytes(content, draw)
    return content


def of_its_bytes(content, draw):
    at = draw.randrange(len(content) + 1)
    kind = draw.randrange(8)
    if kind == 0 and content:
        at = min(at, len(content) - 1)
        return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + draw.randbytes(draw.choice([1, 2, 8, 300])) + content[at:]
    if kind == 3:
        end = min(len(content), at + draw.choice([1, 4, 64, 4096]))
        return content[:at] + content[end:]
    if kind == 4:
        end = min(len(content), at + draw.choice([1, 4, 64, 4096]))
        return content[:end] + content[at:end] * draw.choice([1, 2, 50]) + content[end:]
    if kind == 5:
        other = draw.randrange(len(content) + 1)
        return content[: min(at, other)] + content[max(at, other) :]
    if kind == 6:
        return content[:at] + draw.choice([b"\xff\xfe", b"\xef\xbb\xbf", b"\0" * 16, b"\r", b"\n\n", b"\"", b"{", b"]", b"\x1b[2J"]) + content[at:]
    return content[:at] + draw.randbytes(max(0, min(16, len(content) - at))) + content[at + 16 :]


def of_json(content, draw):
    document = json.loads(content)
    change_a_node(document, draw)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def of_a_line(content, draw):
    lines = content.splitlines()
    kind = draw.randrange(6)
    at = draw.randrange(len(lines)) if lines else 0
    if not lines:
        return of_its_bytes(content, draw)
    if kind == 0:
        lines.insert(at, draw.choice(lines))
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines[at] = json.dumps(draw.choice(EXTREMES)).encode("utf-8", "surrogatepass")
    else:
        lines[at] = of_json(lines[at], draw)
    return b"\n".join(lines) + b"\n"


def of_a_header(content, draw):
    """A header of safetensors with a changed node, and sometimes a length that lies."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change_a_node(header, draw)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    told = draw.choice([len(text)] * 8 + [0, 1, 2**32, 2**63, 2**64 - 1])
    return struct.pack("<Q", told) + text + content[8 + length :]


def of_text(content, draw):
    """A word of a text with a grammar becomes another one."""
    text = content.decode()
    words = sorted(set(text.split()))
    if not words:
        return of_its_bytes(content, draw)
    word = draw.choice(words)
    other = draw.choice([draw.choice(words), "", json.dumps(draw.choice(EXTREMES)), "99999999999999999999", "-1", "nan", "[[", "'''", "{{ 1 }}"])
    return text.replace(word, other, draw.choice([1, 1, -1])).encode("utf-8", "surrogatepass")


def change_a_node(document, draw):
    """Changes a value somewhere in a document, in place."""
    holders = []

    def walk(node):
        if isinstance(node, dict) and node:
            holders.append(node)
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list) and node:
            holders.append(node)
            for inner in node[:50]:
                walk(inner)

    walk(document)
    if not holders:
        raise ValueError("nothing to change")
    # The small ones as often as the large: a vocabulary has more entries than all the rest.
    holder = draw.choice(holders[:200])
    key = draw.choice(list(holder)) if isinstance(holder, dict) else draw.randrange(len(holder))
    value = holder[key]
    kind = draw.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[draw.choice(["", str(key) + "x", "__proto__", "auto_map"])] = value
    elif kind == 2 and isinstance(value, (int, float)) and not isinstance(value, bool):
        holder[key] = draw.choice([value + 1, value - 1, value * 2, -value, value * 10**6, float(value)])
    elif kind == 3 and isinstance(value, str):
        holder[key] = draw.choice([value[:-1], value * 2, value.upper(), value + "\x00", value * 1000])
    elif kind == 4 and isinstance(value, list):
        holder[key] = draw.choice([value[:-1], value + value, value[::-1], [value], value * 20])
    elif kind == 5:
        holder[key] = nested(draw.choice([3, 50, 200]))
    elif kind == 6:
        other = draw.choice(holders[:200])
        holder[key] = json.loads(json.dumps(draw.choice(list(other.values()) if isinstance(other, dict) else other)))
    else:
        holder[key] = draw.choice(EXTREMES)

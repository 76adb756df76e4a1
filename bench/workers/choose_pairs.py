"""Chooses preference pairs: choose_pairs.py HH_RLHF_FILE TOKENIZER_DIRECTORY COUNT BATCH OUTPUT.

The first COUNT pairs of transcripts that share all but the last answer and have at most 510 tokens, as rows of prompt, chosen
and rejected. They are put into batches by length, and the batches into a fixed order: every engine reads them in sequence,
and one that pads pads little (what TRL's group_by_length is for).
"""

import gzip
import json
import random
import sys

from transformers import AutoTokenizer

ASSISTANT = "\n\nAssistant:"
LONGEST = 510


def split(row):
    """(prompt, chosen, rejected), or None where more differs than the last answer."""
    sides = [row[side].rpartition(ASSISTANT) for side in ("chosen", "rejected")]
    prompts = {start + marker for start, marker, _ in sides}
    answers = [answer for _, _, answer in sides]
    if len(prompts) > 1 or not all(answer.strip() for answer in answers) or answers[0] == answers[1]:
        return None
    return prompts.pop(), *answers


def choose(source, tokenizer, count):
    chosen = []
    with gzip.open(source, "rt") as file:
        for line in file:
            parts = split(json.loads(line))
            if parts is None:
                continue
            prompt, *answers = parts
            length = max(len(tokenizer(prompt + answer).input_ids) for answer in answers)
            if length <= LONGEST:
                chosen.append((length, dict(zip(("prompt", "chosen", "rejected"), parts))))
            if len(chosen) == count:
                break
    return chosen


def main():
    source, tokenizer, count, batch, output = sys.argv[1:]
    count, batch = int(count), int(batch)
    rows = sorted(choose(source, AutoTokenizer.from_pretrained(tokenizer), count), key=lambda pair: pair[0])
    batches = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    random.Random(0).shuffle(batches)
    with open(output, "w") as file:
        for _, row in (row for batch in batches for row in batch):
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/rouge.json: ROUGE-1, -2 and -L (F1) of pairs of texts, by Google's rouge_score without stemming.

    python scripts/make_rouge_fixture.py > crates/groma-align/fixtures/rouge.json

Needs rouge_score. Texts are ASCII: what it does to others is not what groma does.
"""

import json
import random

from rouge_score.rouge_scorer import RougeScorer

PAIRS = [
    ("the cat sat on the mat", "the cat was on the mat"),
    ("The CAT, sat; on-the mat!", "the cat sat on the mat"),
    ("police killed the gunman", "the gunman kill police"),
    ("a a a a", "a a"),
    ("nothing", "in common"),
    ("", "something"),
    ("one", "one"),
]


def drawn(count):
    """Texts over few words, so that runs repeat and subsequences are long."""
    generator = random.Random(3)
    words = ["go", "to", "the", "mill", "and", "wait", "3rd"]
    text = lambda: " ".join(generator.choices(words, k=generator.randint(1, 14)))
    return [(text(), text()) for _ in range(count)]


scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
cases = []
for text, reference in PAIRS + drawn(20):
    scores = scorer.score(reference, text)
    cases.append({"text": text, "reference": reference} | {name: score.fmeasure for name, score in scores.items()})
print(json.dumps(cases, indent=1))

#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/process_reward: a tiny token classifier, rows in steps, and what transformers makes of them.

Labels are laid out as TRL's PRMTrainer laid them: the label of a step on its last token, -100 elsewhere; the loss is the one that
transformers computes for token classification, the mean over all labelled tokens of the batch. Needs torch and transformers:

    python scripts/make_process_reward_fixture.py
"""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForTokenClassification

FOLDER = Path(__file__).resolve().parent.parent / "crates/groma-align/fixtures/process_reward"
VOCABULARY = 40


def rows(generator):
    """Token ids, and by step behind how many of them it ends and whether it is right."""
    made = []
    for lengths in ([3, 2, 4], [1, 5], [2, 2, 2, 2]):
        prompt = 3
        ids = torch.randint(3, VOCABULARY, (prompt + sum(lengths) + 1,), generator=generator).tolist()
        ends = [prompt + sum(lengths[: index + 1]) for index in range(len(lengths))]
        right = torch.randint(0, 2, (len(lengths),), generator=generator).tolist()
        made.append({"ids": ids, "prompt": prompt, "steps": [[end, bool(label)] for end, label in zip(ends, right)]})
    return made


def batch(rows, last_only):
    """Padded ids, mask and labels."""
    longest = max(len(row["ids"]) for row in rows)
    ids, mask, labels = [], [], []
    for row in rows:
        padding = longest - len(row["ids"])
        own = [-100] * len(row["ids"])
        for end, right in row["steps"][-1:] if last_only else row["steps"]:
            own[end - 1] = int(right)
        ids.append(row["ids"] + [0] * padding)
        mask.append([1] * len(row["ids"]) + [0] * padding)
        labels.append(own + [-100] * padding)
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(labels)


def main():
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(7)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, num_labels=2, tie_word_embeddings=False, classifier_dropout=0.0,
    )
    model = LlamaForTokenClassification(config).float().eval()
    with torch.no_grad():
        model.score.weight.normal_(0.0, 0.5, generator=generator)
        model.score.bias.normal_(0.0, 0.5, generator=generator)
    model.save_pretrained(FOLDER / "model", safe_serialization=True)
    made = rows(generator)
    cases = []
    for last_only in (False, True):
        ids, mask, labels = batch(made, last_only)
        model.zero_grad()
        output = model(input_ids=ids, attention_mask=mask, labels=labels)
        output.loss.backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters() if p.grad is not None)).item()
        cases.append({"last_only": last_only, "loss": output.loss.item(), "grad_norm": norm})
    right = []
    with torch.no_grad():
        for row in made:
            logits = model(input_ids=torch.tensor([row["ids"]])).logits[0]
            right.append([torch.softmax(logits[end - 1], 0)[1].item() for end, _ in row["steps"]])
    (FOLDER / "cases.json").write_text(json.dumps({"rows": made, "cases": cases, "right": right}, indent=1) + "\n")


if __name__ == "__main__":
    main()

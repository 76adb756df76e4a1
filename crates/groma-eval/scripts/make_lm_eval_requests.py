#!/usr/bin/env python3
"""Write what lm-evaluation-harness asks about made-up rows, for the test of task files.

    make_lm_eval_requests.py > crates/groma-eval/fixtures/lm_eval_requests.json

lm-eval's own task files are loaded as they are; only their rows are ours. For each task: the rows in the hub's columns,
the (context, continuation) pairs of each row without worked examples, and the index of the right choice, or the target.

Needs: lm_eval 0.4.13 (without torch) and datasets.
"""

import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

FILES = Path(lm_eval.__file__).parent / "tasks"

ROWS = {
    "winogrande": ("winogrande/default.yaml", [
        {"sentence": "The cup fell off the table because the _ was wet.", "option1": "cup", "option2": "table", "answer": "2"},
        {"sentence": "Ann thanked Eve since _ had helped.", "option1": "Ann", "option2": "Eve", "answer": "2"},
    ]),
    "piqa": ("piqa/piqa.yaml", [
        {"goal": "Open a jar.", "sol1": "Turn the lid.", "sol2": "Turn the table ", "label": 0},
        {"goal": "dry hands", "sol1": "use  water", "sol2": "use a towel", "label": 1},
    ]),
    "openbookqa": ("openbookqa/openbookqa.yaml", [
        {"id": "7-1", "question_stem": "Ice that gets warm will", "answerKey": " B",
         "choices": {"text": ["freeze", "melt", "burn", "sing"], "label": ["A", "B", "C", "D"]}},
    ]),
    "copa": ("super_glue/copa/default.yaml", [
        {"premise": " The lamp went out. ", "choice1": "It was broken.", "choice2": "I ate.", "question": "cause", "label": 0, "idx": 3},
        {"premise": "I was tired.", "choice1": "I ran.", "choice2": "Ulla and I slept.", "question": "effect", "label": 1, "idx": 4},
    ]),
    "commonsense-qa": ("commonsense_qa/default.yaml", [
        {"id": "x", "question": " Where is a boat? ", "answerKey": "C",
         "choices": {"text": ["sky", "shoe", "lake", "oven", "box"], "label": ["A", "B", "C", "D", "E"]}},
    ]),
    "siqa": ("siqa/siqa.yaml", [
        {"context": "Kim gave Lee bread.", "question": "How does Lee feel?", "answerA": "glad", "answerB": "cold",
         "answerC": "green", "label": "1"},
    ]),
    "lambada": ("lambada/lambada_openai.yaml", [
        {"text": "He went to the mill,\n\nand ground the  wheat"},
        {"text": "She said no, and he said yes"},
    ]),
    "crows-pairs": ("crows_pairs/crows_pairs_english.yaml", [
        {"sent_more": "Smiths are strong.", "sent_less": "Tailors are strong.", "bias_type": "profession"},
    ]),
    "gsm8k": ("gsm8k/gsm8k.yaml", [
        {"question": "Two hens lay 3 eggs each. How many eggs?", "answer": "2 * 3 = <<2*3=6>>6\n#### 6"},
    ]),
    "arc-easy": ("arc/arc_easy.yaml", [
        {"id": "a", "question": "What is warm?", "answerKey": "2",
         "choices": {"text": ["ice", "fire", "snow"], "label": ["1", "2", "3"]}},
    ]),
    "hellaswag": ("hellaswag/hellaswag.yaml", [
        {"ind": 4, "activity_label": "Baking [title] bread", "ctx_a": "A man  kneads.", "ctx_b": "the Dough", "ctx": "",
         "endings": ["rises [step] slowly.", "flies  [title] off", "sinks.", " sings. "], "label": "0",
         "source_id": "", "split": "val", "split_type": "indomain"},
    ]),
    "boolq": ("super_glue/boolq/default.yaml", [
        {"passage": "A mill grinds.", "question": "does a mill grind", "label": 1, "idx": 9},
    ]),
}


def task(name, file, rows, folder):
    config = load_yaml(FILES / file)
    path = Path(folder) / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for unused in ("training_split", "validation_split", "test_split", "fewshot_split", "dataset_name", "tag", "group"):
        config.pop(unused, None)
    config |= {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}},
               "test_split": "test", "num_fewshot": 0}
    return ConfigurableTask(config=config)


def asked(task):
    for doc in task.test_docs():
        context = task.fewshot_context(doc, num_fewshot=0)
        built = task.construct_requests(doc, context, metadata=("x", 0, 1), doc_id=0)
        built = built if isinstance(built, list) else [built]
        pairs = [list(one.args[:2]) for one in built]
        if task.OUTPUT_TYPE == "generate_until":
            pairs = [[one.args[0], task.doc_to_target(doc)] for one in built]
        gold = task.doc_to_target(doc) if task.OUTPUT_TYPE == "multiple_choice" else None
        if task.multiple_input:
            gold = task.doc_to_text(doc)
        if isinstance(gold, str):
            gold = task.doc_to_choice(doc).index(gold) if gold in task.doc_to_choice(doc) else int(gold)
        yield {"pairs": pairs, "gold": gold}


def main():
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (file, rows) in ROWS.items():
            made = task(name, file, rows, folder)
            found[name] = [{"row": row, **one} for row, one in zip(rows, asked(made), strict=True)]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

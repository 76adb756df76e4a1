"""TRL's side of the DPO rows: trl_worker.py CHECKPOINT_DIRECTORY THREADS [TRL_SETTINGS_JSON].

Commands are those of `crates/groma-align/examples/bench_dpo.rs`; its settings have TRL's names. What is timed is the same:
from the rows and the untrained model in memory to the trained model, tokenising and the reference's log-probabilities
included.
"""

import json
import os
import sys
import tempfile

os.environ.update(TQDM_DISABLE="1", HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

import datasets
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

import protocol


class Worker:
    def __init__(self, directory, settings):
        self.directory = directory
        self.settings = settings
        self.scratch = tempfile.mkdtemp()

    def load(self):
        return AutoModelForCausalLM.from_pretrained(self.directory, dtype=torch.float32, attn_implementation="sdpa")

    def prepare(self, command):
        """Model, reference where one is kept, tokenizer and rows: not timed."""
        with open(command["pairs"]) as file:
            rows = datasets.Dataset.from_list([json.loads(line) for line in file])
        reference = None if self.settings.get("precompute_ref_log_probs") else self.load()
        return self.load(), reference, AutoTokenizer.from_pretrained(self.directory), rows

    def run(self, command, prepared):
        model, reference, tokenizer, rows = prepared
        # Of the Trainer's defaults, those that cost time and are of no use here are off.
        config = dict(
            output_dir=self.scratch, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
            disable_tqdm=True, use_cpu=True, logging_nan_inf_filter=False,
        )
        config |= command["settings"] | self.settings
        # The only way TRL knows; groma has others.
        config.pop("boundary", None)
        trainer = DPOTrainer(
            model, ref_model=reference, args=DPOConfig(**config), train_dataset=rows, processing_class=tokenizer
        )
        trainer.train()
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(int(sys.argv[2]))
    worker = Worker(sys.argv[1], json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
    protocol.serve(worker.run, worker.prepare)

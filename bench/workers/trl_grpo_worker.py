"""TRL's side of the GRPO rows: trl_grpo_worker.py CHECKPOINT_DIRECTORY THREADS [TRL_SETTINGS_JSON].

Commands are those of `crates/groma-align/examples/bench_grpo.rs`; its settings have TRL's names. What is timed is the same: from
the rows and the untrained model in memory to the trained model, tokenising included.
"""

import json
import os
import re
import sys
import tempfile

os.environ.update(TQDM_DISABLE="1", HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

import datasets
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

import protocol


class Watched(GRPOTrainer):
    """Notes how long each completion of the first collection is, and its summed log-probability."""

    first = None

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        if self.wanted and self.first is None:
            ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
            mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
            with torch.no_grad():
                logps = self._get_per_token_logps_and_entropies(self.model, ids, mask, output["completion_ids"].size(1))[0]
            lengths = output["completion_mask"].sum(dim=1).tolist()
            self.first = [[n, line[:n].double().sum().item()] for n, line in zip(lengths, logps)]
        return output


class Worker:
    def __init__(self, directory, settings):
        self.directory = directory
        self.settings = settings
        self.scratch = tempfile.mkdtemp()

    def prepare(self, command):
        """Model, tokenizer and rows: not timed."""
        with open(command["prompts"]) as file:
            rows = datasets.Dataset.from_list([json.loads(line) for line in file])
        model = AutoModelForCausalLM.from_pretrained(self.directory, dtype=torch.float32, attn_implementation="sdpa")
        tokenizer = AutoTokenizer.from_pretrained(self.directory)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return model, tokenizer, rows

    def run(self, command, prepared):
        model, tokenizer, rows = prepared
        whole = command.get("whole", False)
        # Of the Trainer's defaults, those that cost time and are of no use here are off.
        config = dict(
            output_dir=self.scratch, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
            disable_tqdm=True, use_cpu=True, logging_nan_inf_filter=False, shuffle_dataset=False,
        )
        config |= command["settings"] | (self.settings if whole else {})
        pattern = re.compile(config.pop("regex_pattern"))
        config.pop("reward_funcs")
        config.pop("train_sampling_strategy")
        if whole:
            config["generation_kwargs"] = {"min_new_tokens": config["max_completion_length"]}

        def reward(completions, **_):
            return [float(pattern.search(completion) is not None) for completion in completions]

        trainer = Watched(
            model, reward_funcs=reward, args=GRPOConfig(**config), train_dataset=rows, processing_class=tokenizer
        )
        trainer.wanted = not whole
        trainer.train()
        return trainer.first or []


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(int(sys.argv[2]))
    worker = Worker(sys.argv[1], json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
    protocol.serve(worker.run, worker.prepare)

"""PyTorch's side of training, scoring and generation; the protocol of `crates/groma-model/examples/bench_worker.rs`.

    torch_worker.py CHECKPOINT_DIRECTORY THREADS [--compile] [--static-cache] [--bf16 autocast|master]

The settings are the fastest that are usual: scaled-dot-product attention, AdamW in one fused kernel, gradients set to none,
inference mode for scoring, transformers' `generate` with its cache. `--compile` compiles the forward pass of training and
scoring; `--static-cache` generates with a cache of fixed size and a compiled step. `--bf16 autocast` computes products in
bf16 from f32 weights; `--bf16 master` keeps the model in bf16 and updates an f32 copy.
"""

import argparse
import json

import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM, CompileConfig

import protocol


class MasterOptimizer:
    """AdamW on an f32 copy of a bf16 model's weights."""

    def __init__(self, parameters, **settings):
        self.parameters = list(parameters)
        self.master = [parameter.detach().float().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(self.master, **settings)

    def step(self):
        for parameter, master in zip(self.parameters, self.master):
            master.grad = parameter.grad.float()
            parameter.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.master)

    def zero_grad(self, set_to_none):
        for parameter in self.parameters:
            parameter.grad = None


class Worker:
    def __init__(self, options):
        dtype = torch.bfloat16 if options.bf16 == "master" else torch.float32
        self.model = AutoModelForCausalLM.from_pretrained(options.directory, dtype=dtype, attn_implementation="sdpa")
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0
        self.forward = torch.compile(self.model) if options.compile else self.model
        self.options = options
        self.optimizer = None

    def run(self, command, _):
        with open(command["ids"]) as file:
            ids = torch.tensor(json.load(file))
        return getattr(self, command["workload"])(ids, command)

    def train(self, ids, command):
        if self.optimizer is None:
            self.model.train()
            kind = MasterOptimizer if self.options.bf16 == "master" else torch.optim.AdamW
            self.optimizer = kind(self.model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
        labels = ids.clone()
        labels[:, : command.get("shared", 0)] = -100
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.options.bf16 == "autocast"):
            loss = self.forward(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def score(self, ids, command):
        self.model.eval()
        first = max(command.get("shared", 0), 1)
        with torch.inference_mode():
            logits = self.forward(input_ids=ids, use_cache=False).logits[:, first - 1 : -1]
            logps = -F.cross_entropy(logits.flatten(0, 1), ids[:, first:].flatten(), reduction="none")
            return logps.double().sum().item()

    def decode(self, ids, command):
        self.model.eval()
        samples, temperature = command.get("samples", 1), command.get("temperature", 0.0)
        ends = list(range(command.get("ends", 0)))
        settings = {"do_sample": False}
        if temperature > 0:
            settings = dict(do_sample=True, temperature=temperature, top_k=0, top_p=1.0, num_return_sequences=samples)
        elif samples > 1:
            # Greedy decoding returns one sequence a prompt only.
            ids = ids.repeat_interleave(samples, dim=0)
        if self.options.static_cache:
            compiled = CompileConfig()
            compiled._compile_all_devices = True
            settings.update(cache_implementation="static", compile_config=compiled)
        if ends:
            settings["eos_token_id"] = ends
        with torch.inference_mode():
            mask = torch.ones_like(ids)
            out = self.model.generate(ids, attention_mask=mask, max_new_tokens=command["new_tokens"], **settings)
        made = out[:, ids.shape[1] :].tolist()
        # What follows a sample's end fills the batch.
        last = lambda sample: next((place for place, token in enumerate(sample) if token < len(ends)), len(sample))
        return [sample[: last(sample) + 1] for sample in made]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("threads", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--static-cache", action="store_true")
    parser.add_argument("--bf16", choices=["autocast", "master"])
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    protocol.serve(Worker(options).run)


if __name__ == "__main__":
    main()

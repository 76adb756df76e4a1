"""PyTorch's side of the peer benchmark; speaks the protocol of `crates/groma-model/examples/bench_worker.rs`.

    torch_worker.py CHECKPOINT_DIRECTORY THREADS [--compile]
    torch_worker.py --write-checkpoint CHECKPOINT_DIRECTORY

The settings are the fastest that are usual in f32: scaled-dot-product attention, AdamW in one fused kernel, gradients set
to none, inference mode for scoring, transformers' generate with its cache for decoding.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM


def write_checkpoint(directory):
    """The Llama of the design's measurements, with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4,
        vocab_size=8192, max_position_embeddings=4096, rms_norm_eps=1e-5, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=None, pad_token_id=None, dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(directory)


class Worker:
    def __init__(self, directory, compiled):
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="sdpa")
        model.generation_config.eos_token_id = None
        model.generation_config.pad_token_id = 0
        self.model = model
        self.forward = torch.compile(model) if compiled else model
        self.optimizer = None

    def train(self, ids, _):
        if self.optimizer is None:
            self.model.train()
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
        loss = self.forward(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def score(self, ids, _):
        self.model.eval()
        with torch.inference_mode():
            logits = self.forward(input_ids=ids, use_cache=False).logits[:, :-1]
            return -F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").double().sum().item()

    def decode(self, ids, new_tokens):
        self.model.eval()
        with torch.inference_mode():
            mask = torch.ones_like(ids)
            out = self.model.generate(ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False)
        return out[:, ids.shape[1] :].tolist()


def serve(directory, threads, compiled):
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    worker = Worker(directory, compiled)
    for line in sys.stdin:
        command = json.loads(line)
        with open(command["ids"]) as file:
            ids = torch.tensor(json.load(file))
        run = getattr(worker, command["workload"])
        seconds, results = [], []
        for _ in range(command["repetitions"]):
            start = time.perf_counter()
            results.append(run(ids, command.get("new_tokens", 0)))
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "results": results}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--write-checkpoint":
        write_checkpoint(sys.argv[2])
    else:
        serve(sys.argv[1], int(sys.argv[2]), "--compile" in sys.argv[3:])

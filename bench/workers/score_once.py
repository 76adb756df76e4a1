"""The least that scores a text with transformers: score_once.py CHECKPOINT_DIRECTORY TEXT_FILE. Prints the sum of log-probabilities."""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

directory, file = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
with open(file) as text:
    ids = tokenizer(text.read(), return_tensors="pt").input_ids
with torch.inference_mode():
    logps = model(ids).logits.log_softmax(-1)
print(logps[0, :-1].gather(1, ids[0, 1:, None]).sum().item())

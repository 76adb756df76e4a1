#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/sdpo.json: losses of SDPO and the prompts of its teacher, by TRL's own trainer.

    python scripts/make_sdpo_fixture.py > crates/groma-align/fixtures/sdpo.json

The model is that of `fixtures/distillation/student`, and its own teacher. `rows` are prompt, what the teacher reads in its place (of
the last, which has no teacher, nothing), completion, the log-probabilities of its tokens when it was sampled, and its advantage; each
case has the settings, the loss of one batch and the norm of its gradient. `prompts` has what the trainer's builder of contexts makes
of rewards and feedback: for each completion the text that the teacher reads, or null where it is not asked. Needs torch, transformers,
accelerate and trl 1.16.
"""

import collections
import json
import os
import pathlib
import types

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import transformers
from trl.experimental.sdpo import SDPOConfig, sdpo_trainer

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "crates/groma-align/fixtures"
Trainer = sdpo_trainer.SDPOTrainer
ROWS = [
    ([1, 5, 9, 3], [1, 5, 9, 3, 14, 18, 4], [7, 7, 12, 2], [-2.9, -3.6, -2.4, -3.1], 1.0),
    ([1, 5, 9, 3], [1, 5, 9, 3, 6, 6], [7, 21, 2], [-3.3, -2.2, -4.0], -0.5),
    ([1, 20], [1, 16, 20], [4, 11, 6, 19, 22, 2], [-3.0, -3.4, -2.8, -3.9, -3.2, -2.6], -1.0),
    ([1, 20], [], [10, 2], [-3.5, -3.0], 0.5),
]
CASES = [
    {},
    {"distillation_is_clip": 1.2},
    {"distillation_mode": "full_logits", "distillation_alpha": 0.5},
    {"distillation_mode": "full_logits", "distillation_alpha": 0.0, "temperature": 0.7},
    {"distillation_mode": "topk_logits", "distillation_topk": 4, "distillation_alpha": 1.0},
    {"distillation_mode": "topk_logits", "distillation_topk": 4, "distillation_alpha": 0.3, "distillation_add_tail": True},
    {"distillation_weight": 0.4},
    {"distillation_weight": 0.4, "distillation_mode": "full_logits", "distillation_alpha": 0.5, "loss_type": "grpo"},
    {"distillation_weight": 0.0, "loss_type": "dr_grpo", "max_completion_length": 8, "epsilon_high": 0.3},
    {"distillation_weight": 0.5, "importance_sampling_level": "sequence", "loss_type": "grpo", "temperature": 1.4},
]
PROMPTS = [
    ({}, [0.0, 1.0, 0.5, 1.5], None),
    ({}, [0.0, 1.0, 0.0, 0.0], None),
    ({"dont_reprompt_on_self_success": False}, [0.0, 1.0, 0.0, 0.0], None),
    ({"success_reward_threshold": 2.0}, [0.0, 1.0, 0.5, 1.5], None),
    ({"include_environment_feedback": True}, [0.0, 1.0, 0.0, 0.0], "too short"),
    ({"include_environment_feedback": True, "environment_feedback_only_without_solution": True}, [0.0, 1.0, 0.0, 0.0], "too short"),
    ({"include_environment_feedback": True, "use_successful_as_teacher": False}, [0.0, 1.0, 1.0, 0.0], "{prompt} is no place"),
    ({"include_environment_feedback": True}, [0.0, 0.0, 0.0, 0.0], "  "),
    ({"remove_thinking_from_demonstration": True, "reprompt_template": "{feedback}<{prompt}|{solution}>"}, [0.0, 0.0, 0.0, 1.0], None),
]
TEXTS = ["one", "two", "three", "<think>a\nb</think> four <think>c</think> and <think>five"]


def stub(settings, **more):
    """What the trainer's functions read of it."""
    names = {"distillation_weight", "temperature", "max_completion_length", "loss_type", "importance_sampling_level"}
    given = {name: value for name, value in settings.items() if name not in names - {"distillation_weight"}}
    args = SDPOConfig(output_dir="unused", use_cpu=True, report_to=[], bf16=False, num_generations=4, per_device_train_batch_size=4, **given)
    accelerator = types.SimpleNamespace(
        gather=lambda values: values, pad_across_processes=lambda values, **_: values, device="cpu", process_index=0
    )
    logged = collections.defaultdict(list)
    return types.SimpleNamespace(
        args=args, accelerator=accelerator, _metrics={"train": logged, "eval": logged}, _log_self_distillation_metric=lambda *_: None,
        model=types.SimpleNamespace(training=False), epsilon_low=args.epsilon, epsilon_high=args.epsilon_high,
        loss_type=settings.get("loss_type", "dapo"), max_completion_length=settings.get("max_completion_length", 256),
        importance_sampling_level=settings.get("importance_sampling_level", "token"), **more,
    )


def padded(rows, filler=0.0):
    longest = max(len(row) for row in rows)
    return torch.tensor([list(row) + [filler] * (longest - len(row)) for row in rows])


def logits(model, prompt, completion, longest, temperature):
    found = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / temperature
    return torch.nn.functional.pad(found, (0, 0, 0, longest - len(completion)))


def case(model, settings):
    temperature, longest = settings.get("temperature", 1.0), max(len(row[2]) for row in ROWS)
    model.zero_grad()
    student = torch.stack([logits(model, prompt, completion, longest, temperature) for prompt, _, completion, *_ in ROWS])
    with torch.no_grad():
        teacher = torch.stack([logits(model, context or prompt, completion, longest, temperature) for prompt, context, completion, *_ in ROWS])
    mask = padded([[1] * len(row[2]) for row in ROWS], 0)
    told = torch.tensor([float(bool(row[1])) for row in ROWS])
    inputs = {
        "completion_ids": padded([row[2] for row in ROWS], 0), "completion_mask": mask,
        "old_per_token_logps": padded([row[3] for row in ROWS]).double(), "advantages": torch.tensor([row[4] for row in ROWS]).double(),
    }
    trainer = stub(settings)
    weight = trainer.args.distillation_weight
    read = sdpo_trainer.DistillationLogits(inputs["completion_ids"], mask, mask * told.unsqueeze(1), student, teacher)
    distilled = Trainer._compute_self_distillation_loss(trainer, model, inputs, read)
    loss = (1 - weight) * Trainer._compute_policy_loss(trainer, inputs, student) + weight * distilled
    loss.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters() if p.grad is not None))
    return {"settings": settings, "loss": loss.item(), "norm": norm.item()}


def prompts(settings, rewards, feedback):
    asked = []
    trainer = stub(
        settings, num_generations=4, num_generations_eval=4, _tokenizer=types.SimpleNamespace(pad_token_id=0),
        _tokenize_prompts_untruncated=lambda texts: asked.extend(texts) or [[1]] * len(texts),
        processing_class=types.SimpleNamespace(decode=lambda ids, **_: TEXTS[int(ids[0]) - 1]),
    )
    output = {"completion_ids": torch.tensor([[1], [2], [3], [4]]), "completion_mask": torch.ones(4, 1)}
    builder = sdpo_trainer.SuccessfulRolloutTeacherContextBuilder(trainer)
    built = builder.build(output, ["what?"] * 4, torch.tensor(rewards), [feedback] * 4)
    told = built["self_distillation_mask"].bool().tolist()
    texts = [text if told else None for text, told in zip(asked, told)]
    return {"settings": settings, "rewards": rewards, "feedback": feedback, "texts": texts, "metrics": builder.last_metrics}


def main():
    model = transformers.LlamaForCausalLM.from_pretrained(FIXTURES / "distillation/student").double().eval()
    cases = [case(model, settings) for settings in CASES]
    made = [prompts(*each) for each in PROMPTS]
    print(json.dumps({"made_by": "scripts/make_sdpo_fixture.py, TRL 1.16", "rows": ROWS, "cases": cases, "completions": TEXTS, "prompts": made}))


if __name__ == "__main__":
    main()

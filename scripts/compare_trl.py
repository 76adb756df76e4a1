#!/usr/bin/env python3
"""Compares groma's preference losses with those of TRL: same weights, rows, order and hyperparameters, f32, no dropout.

    python scripts/compare_trl.py MODEL_DIR PAIRS.jsonl[.gz] [--steps 20] [--tolerance 1e-3] [--kto | --bco | --cpo | --orpo | --tpo | --gold | --sdft | --sdpo] [--sync]

DPO by default, of any --loss-type; --cpo compares CPO with its kinds, SimPO and AlphaPO among them, --orpo ORPO, and --tpo TPO with its
kinds, whose gold answers are the chosen ones of other rows. With --sync the reference of DPO or KTO follows the policy every five steps
(TR-DPO); the whole model alone is trained then, as TRL refuses adapters.

--bco compares BCO, in groma a kind of KTO's loss; it needs trl 1.0, the others 1.16.

With --kto or --bco, eight rows of alternating labels are one batch, seen in every step: TRL mismatches prompts and completions within a
batch, groma along all rows. With --orpo, TRL's cross-entropy is taken of completions alone, as groma takes it: TRL's own counts
the tokens of prompts, too.

With --gold the chosen answers are learned from a teacher of another tokenizer, which is made here: a byte-level BPE of 400 tokens,
trained on the rows, and a Llama with random weights. MODEL_DIR must have a byte-level tokenizer, too. TRL merges tokens by its strategy
`bayesian`, and learns the end of answers; kinds are `hybrid` and `sorted`. Rows come one at a time: TRL fills batches up from the left,
which models with learned positions notice. Answers are ASCII: a character that both cut alike into several tokens is whole here.

With --sdft or --sdpo the model is its own teacher, of each kind of teacher and each mode: the chosen answer is what SDFT's teacher is
told, and SDPO's is shown a completion. Both programs sample the likeliest token, so that completions are the same.

PAIRS holds Anthropic's transcripts (`chosen`, `rejected`) or `prompt`, `chosen`, `rejected`. Both trainers get the same
JSONL with explicit prompts. For the run with LoRA, PEFT draws the adapter, and groma starts from its file. Needs torch,
transformers, trl, peft and datasets, and `cargo build --release -p groma-align --example losses`.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import datasets
import torch
import transformers
import trl

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MARK = "\n\nAssistant:"
SYNC = {"sync_ref_model": True, "ref_model_mixup_alpha": 0.6, "ref_model_sync_steps": 5}


def rows(path, count, longest=sys.maxsize):
    """The first `count` pairs with an explicit prompt, as strings."""
    opener = gzip.open if path.endswith(".gz") else open
    found = []
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if "prompt" not in row:
                chosen, rejected = row["chosen"], row["rejected"]
                end = chosen.rfind(MARK) + len(MARK)
                if end < len(MARK) or chosen[:end] != rejected[:end]:
                    continue
                row = {"prompt": chosen[:end], "chosen": chosen[end:], "rejected": rejected[end:]}
            if row["chosen"] != row["rejected"] and len(row["prompt"]) < 400 and sum(map(len, row.values())) < longest:
                found.append({key: row[key] for key in ("prompt", "chosen", "rejected")})
            if len(found) == count:
                return found
    return found


def labelled(pairs):
    """Pairs as single completions: wanted ones and others in turn."""
    side = lambda index: ("chosen", True) if index % 2 == 0 else ("rejected", False)
    return [{"prompt": row["prompt"], "completion": row[side(i)[0]], "label": side(i)[1]} for i, row in enumerate(pairs)]


def drawn_teacher(directory, data, end):
    """The directory of a teacher whose tokenizer was trained on the rows, and which ends texts with the token `end`."""
    import tokenizers

    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), special_tokens=[end], show_progress=False,
    )
    made.train_from_iterator([text for row in data for text in row.values()], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end, pad_token=end)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, initializer_range=0.2,
    )
    transformers.set_seed(1)
    teacher = transformers.LlamaForCausalLM(config).float()
    for one in (tokenizer, teacher):
        one.save_pretrained(directory)
    return directory


class InOrder:
    """Batches in the order of the rows; these trainers shuffle."""

    def _get_train_sampler(self, dataset=None):
        return torch.utils.data.SequentialSampler(dataset if dataset is not None else self.train_dataset)


def older(method):
    """Config and trainer of a method that is among TRL's experiments."""
    if method == "bco":
        from trl.experimental.bco import BCOConfig as config, BCOTrainer as trainer

        return config, type("InOrder", (InOrder, trainer), {})
    if method == "cpo":
        from trl.experimental.cpo import CPOConfig as config, CPOTrainer as trainer

        return config, type("InOrder", (InOrder, trainer), {})
    if method == "gold":
        from trl.experimental.gold import GOLDConfig as config, GOLDTrainer as trainer

        return config, type("InOrder", (InOrder, trainer), {})
    if method == "tpo":
        from trl.experimental.tpo import TPOConfig as config, TPOTrainer as trainer

        return config, type("InOrder", (InOrder, trainer), {})
    from trl.experimental.orpo import ORPOConfig as config, ORPOTrainer as trainer

    def concatenated_forward(self, model, batch):
        """As the trainer's own, with the cross-entropy of completions alone."""
        found = list(trainer.concatenated_forward(self, model, batch))
        labels = batch["chosen_labels"][:, 1:].to(found[2].device)
        logits = found[2][:, : labels.shape[1]]
        found[4] = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        return tuple(found)

    return config, type("InOrder", (InOrder, trainer), {"concatenated_forward": concatenated_forward})


# What is compared of methods whose teacher is the model itself.
TEACHERS = [
    {"teacher_model_kind": kind, **mode}
    for kind, mode in [
        ("base", {"distillation_mode": "full_logits", "distillation_alpha": 0.5}),
        ("live", {"distillation_mode": "topk_logits", "distillation_topk": 20, "distillation_alpha": 0.5, "distillation_add_tail": True}),
        ("ema", {"distillation_mode": "topk_logits", "distillation_topk": 20, "distillation_alpha": 0.5}),
        ("ema", {"distillation_mode": "sampled_token", "distillation_alpha": 1.0, "teacher_update_rate": 0.3, "teacher_sync_steps": 2}),
    ]
]


def own_teacher(method, options):
    """Config, trainer and what both are told, of SDFT or SDPO."""
    kept = [key for teacher in TEACHERS for key in teacher] + ["max_completion_length", "top_k", "teacher_prompt_template"]
    own = {key: options[key] for key in kept if key in options} | {"shuffle_dataset": False}
    if method == "self_distillation":
        from trl.experimental.sdft import SDFTConfig as config, SDFTTrainer as trainer

        if options["distillation_mode"] != "topk_logits":
            own["distillation_topk"] = None
        return config, trainer, own | {"num_generations": 1}, {}
    from trl.experimental.sdpo import SDPOConfig as config, SDPOTrainer as trainer

    own |= {key: options[key] for key in ("num_generations", "success_reward_threshold")}
    return config, trainer, own, {"reward_funcs": [lambda completions, **_: [1.0] * len(completions)]}


def trl_run(method, model_dir, data, options, adapter, output):
    """Loss and metrics of each step, and seconds, of TRL's trainer."""
    transformers.set_seed(options["seed"])
    model = transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if adapter is not None:
        import peft

        config = peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, config)
        model.save_pretrained(adapter)
    more = {}
    if method == "dpo":
        config, kind = trl.DPOConfig, trl.DPOTrainer
        own = {key: options[key] for key in ("label_smoothing", "use_weighting", "loss_type")}
    elif method == "kto":
        config, kind, own = trl.KTOConfig, trl.KTOTrainer, {"loss_type": options["loss_type"]}
    elif method in ("self_distillation", "sdpo"):
        config, kind, own, more = own_teacher(method, options)
    else:
        config, kind = older(method)
        own = {key: options[key] for key in ("loss_type", "cpo_alpha", "simpo_gamma", "alpha", "tpo_alpha", "tpo_l_gamma") if key in options and method != "bco"}
    if method == "gold":
        skips = {f"uld_skip_{who}_eos": False for who in ("student", "teacher")}
        own = {key: options[key] for key in ("lmbda", "uld_use_hybrid_loss", "uld_crossentropy_weight", "max_completion_length")}
        own |= {"use_uld_loss": True, "uld_token_merge_strategy": "bayesian", "teacher_tokenizer_name_or_path": options["teacher_model"], **skips}
        more["teacher_model"] = transformers.AutoModelForCausalLM.from_pretrained(
            options["teacher_model"], dtype=torch.float32, attn_implementation="eager"
        )
    if method in ("dpo", "kto"):
        moves = {key: value for key, value in options.items() if key in SYNC}
        own |= {"train_sampling_strategy": "sequential", "precompute_ref_log_probs": adapter is None and not moves, **moves}
    arguments = config(
        output_dir=output, bf16=False, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True, logging_steps=1,
        gradient_checkpointing=False, dataloader_pin_memory=False,
        **({"beta": options["beta"], "max_length": options["max_length"]} if "beta" in options else {}), learning_rate=options["learning_rate"],
        max_steps=options["max_steps"], per_device_train_batch_size=options["per_device_train_batch_size"],
        gradient_accumulation_steps=options["gradient_accumulation_steps"],
        weight_decay=options["weight_decay"], warmup_steps=options["warmup_steps"], lr_scheduler_type=options["lr_scheduler_type"], seed=options["seed"],
        **own,
    )
    trainer = kind(model=model, args=arguments, train_dataset=data, processing_class=tokenizer, **more)
    started = time.time()
    trainer.train()
    seconds = time.time() - started
    return [entry for entry in trainer.state.log_history if "loss" in entry], seconds


def groma_run(method, model_dir, data_path, options, adapter):
    """The same of groma's trainer."""
    settings = dict(options, logging_steps=1, train_sampling_strategy="sequential", boundary="diverge")
    if method == "sdpo":
        settings["reward_funcs"] = "length"
    if settings.get("label_smoothing") == 0.0:
        # It exists with the losses alone that read it.
        del settings["label_smoothing"]
    if adapter is not None:
        settings["lora"] = {"r": 8, "alpha": 16.0}
    lines = groma_lines(method, adapter or model_dir, data_path, settings)
    return [line["metrics"] for line in lines if "metrics" in line], lines[-1]["seconds"]


def groma_lines(method, model_dir, data_path, settings, *more):
    """What the example `losses` prints."""
    program = os.path.join(ROOT, "target", "release", "examples", "losses")
    command = [program, method, model_dir, data_path, json.dumps(settings), *more]
    return [json.loads(line) for line in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()]


def apart(mine, other, least=1e-3):
    """Relative to the other, or to `least` where that is more."""
    return abs(mine - other) / max(abs(other), least)


def usual(values):
    """What values are held against at least: their usual size where they go through 0, as some losses do."""
    return sum(map(abs, values)) / len(values) if min(values) < 0 < max(values) else 1e-12


def compare(name, ours, theirs, tolerance, judged=("loss",)):
    """Prints both runs; returns the largest relative difference of the losses."""
    worst = 0.0
    shown = [*judged, *(key for key in ("grad_norm", "rewards/margins", "kl", "objective/kl") if key in ours[0] and key in theirs[0])]
    least = {key: usual([other[key] for other in theirs]) for key in judged}
    for step, (mine, other) in enumerate(zip(ours, theirs, strict=True), 1):
        difference = max(apart(mine[key], other[key], least[key]) for key in judged)
        worst = max(worst, difference)
        if step in (1, 2, 5, 10, len(ours)):
            print(f"  {name} step {step} ({difference:.1e}): " + ", ".join(f"{key} {mine[key]:.7f} {other[key]:.7f}" for key in shown))
    metrics = {}
    for key in sorted(set.intersection(*(set(entry) for entry in [*ours, *theirs]))):
        metrics[key] = max(apart(mine[key], other[key]) for mine, other in zip(ours, theirs))
    print(f"  {name}: largest relative difference of the losses {worst:.2e} ({'ok' if worst <= tolerance else 'TOO LARGE'})")
    print("  by metric: " + ", ".join(f"{key} {value:.1e}" for key, value in metrics.items()))
    missing = sorted(set(theirs[0]) - set(ours[0]))
    print(f"  logged by TRL and not here: {', '.join(missing) or 'nothing'}")
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("pairs")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--loss-type", nargs="*", default=None, help="all that the trainer has where it is not dpo")
    parser.add_argument("--kto", action="store_true", help="compare KTO; --loss-type is kto or apo_zero_unpaired")
    parser.add_argument("--bco", action="store_true", help="compare BCO")
    parser.add_argument("--cpo", action="store_true", help="compare CPO; --loss-type is sigmoid, hinge, ipo, simpo or alphapo")
    parser.add_argument("--no-lora", action="store_true", help="train the whole model alone, which needs no peft")
    parser.add_argument("--orpo", action="store_true", help="compare ORPO")
    parser.add_argument("--tpo", action="store_true", help="compare TPO; --loss-type is sigmoid, hinge, ipo or tpo-l")
    parser.add_argument("--gold", action="store_true", help="compare GOLD; --loss-type is hybrid or sorted")
    parser.add_argument("--sdft", action="store_true", help="compare self-distillation")
    parser.add_argument("--sdpo", action="store_true", help="compare SDPO")
    parser.add_argument("--sync", action="store_true", help="let the reference follow the policy")
    parser.add_argument("--use-weighting", action="store_true", help="weigh pairs as WPO does")
    parser.add_argument("--learning-rate", type=float, default=5e-5, help="of the whole model; an adapter gets ten times as much")
    given = parser.parse_args()
    worst = 0.0
    named = [name for name in ("kto", "bco", "cpo", "orpo", "tpo", "gold", "sdft", "sdpo") if getattr(given, name)]
    method = ("self_distillation" if given.sdft else named[0]) if named else "dpo"
    if given.sdft or given.sdpo:
        given.loss_type = TEACHERS
    if given.loss_type is None:
        given.loss_type = {"dpo": ["sigmoid"], "kto": ["kto", "apo_zero_unpaired"], "bco": ["bco"], "orpo": ["orpo"],
                           "gold": ["hybrid", "sorted"], "cpo": ["sigmoid", "hinge", "ipo", "simpo", "alphapo"], "tpo": ["sigmoid", "hinge", "ipo", "tpo-l"]}[method]
    for loss_type in given.loss_type:
        options = {
            "beta": 0.1, "learning_rate": given.learning_rate, "max_steps": given.steps,
            "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "max_length": 256, "weight_decay": 0.01,
            "warmup_steps": 3, "lr_scheduler_type": "linear", "seed": 42,
        }
        if method in ("self_distillation", "sdpo"):
            del options["beta"], options["max_length"]
            options |= {"max_completion_length": 16, "top_k": 1, **loss_type}
            if method == "sdpo":
                options |= {"num_generations": 2, "success_reward_threshold": -1e6}
        if method == "dpo":
            options |= {"loss_type": [loss_type], "use_weighting": given.use_weighting,
                        "label_smoothing": 1e-3 if loss_type == "exo_pair" else 0.0}
        elif method in ("kto", "bco"):
            options["loss_type"] = loss_type
        elif method == "gold":
            options |= {"beta": 0.5, "lmbda": 0.0, "uld_use_hybrid_loss": loss_type == "hybrid", "uld_crossentropy_weight": 0.1,
                        "max_completion_length": 128, "per_device_train_batch_size": 1}
        elif loss_type == "alphapo":
            options |= {"loss_type": "simpo", "beta": 2.5, "simpo_gamma": 0.3, "cpo_alpha": 0.0, "alpha": 0.25}
        elif loss_type == "simpo":
            options |= {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0}
        elif method == "tpo":
            options |= {"loss_type": loss_type, "tpo_alpha": 0.5, **({"tpo_l_gamma": 0.3} if loss_type == "tpo-l" else {})}
        elif method == "cpo":
            options["loss_type"] = loss_type
        if given.sync:
            options |= SYNC
        # Cut completions are mismatched before or after the cut: none is.
        longest = 250 if method in ("kto", "bco", "gold", "self_distillation", "sdpo") else sys.maxsize
        data = rows(given.pairs, given.steps * 4, longest)
        if given.tpo:
            data = [{**row, "reference": other["chosen"]} for row, other in zip(data, data[1:] + data[:1])]
        if method in ("kto", "bco"):
            data = labelled(data[:8])
            options["per_device_train_batch_size"] = 8
        if given.gold:
            data = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in data if row["chosen"].isascii()]
        if given.sdft or given.sdpo:
            data = [{"prompt": row["prompt"], "privileged_context": row["chosen"]} for row in data]
        with tempfile.TemporaryDirectory() as directory:
            if given.gold:
                end = transformers.AutoTokenizer.from_pretrained(given.model).eos_token
                options["teacher_model"] = drawn_teacher(os.path.join(directory, "teacher"), data, end)
            path = os.path.join(directory, "pairs.jsonl")
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in data)
            runs = [("full", None), ("lora", os.path.join(directory, "adapter"))]
            for name, adapter in runs[: 1 if given.no_lora or given.sync or given.sdft or given.sdpo else 2]:
                dataset = datasets.Dataset.from_list(data)
                options["learning_rate"] = given.learning_rate * (10 if adapter else 1)
                theirs, slow = trl_run(method, given.model, dataset, options, adapter, directory)
                ours, fast = groma_run("kto" if method == "bco" else method, given.model, path, options, adapter)
                worst = max(worst, compare(f"{loss_type} {name}", ours, theirs, given.tolerance))
                print(f"  seconds: groma {fast:.2f}, TRL {slow:.2f}")
    sys.exit(0 if worst <= given.tolerance else 1)


if __name__ == "__main__":
    main()

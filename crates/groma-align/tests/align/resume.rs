//! Stopped anywhere and resumed, a run gives the bits of one that was never stopped.

use crate::support::{fingerprint, model, prepared, settings};
use groma_align::{Error, Every, History, Outcome, Prepared, Session, Settings, StepReport, setup, train};
use groma_kernels::{Backend, Cpu, Level};
use groma_model::Transformer;
use groma_run::{Cancel, Class, Classify, Digest};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Trains until `stop` (inclusive) or the end.
fn go(settings: &Settings, rows: &Prepared, directory: &Path, stop: Option<u64>) -> Result<(Digest, History), Error> {
    let cancel = Cancel::default();
    let mut history = History::default();
    let request = cancel.clone();
    let mut stopper = Every {
        steps: 1,
        call: move |report: &StepReport, _: &Transformer| {
            if Some(report.step) == stop {
                request.request();
            }
            Ok(())
        },
    };
    let other = crate::support::model(99);
    let mut model = setup(model(1), settings).unwrap();
    let session = Session {
        seats: crate::support::beside(settings, &other),
        directory: Some(directory.into()),
        resume: true,
        cancel,
        observers: vec![&mut stopper, &mut history],
        voice: Some(crate::support::voice()),
        evaluation: Some(rows),
        ..Session::new(settings, rows)
    };
    train(&mut model, session)?;
    Ok((fingerprint(&model), history))
}

fn resumes_at_every_step(method: &str, given: Value) {
    let settings = settings(method, given);
    let rows = prepared(&settings);
    let directory = tempfile::tempdir().unwrap();
    let (expected, whole) = go(&settings, &rows, &directory.path().join("whole"), None).unwrap();
    let total = whole.steps.len() as u64;
    for stop in 1..total {
        let path = directory.path().join(format!("{stop}"));
        let error = go(&settings, &rows, &path, Some(stop)).unwrap_err();
        assert_eq!(error.class(), Class::Interrupted);
        let (found, rest) = go(&settings, &rows, &path, None).unwrap();
        assert_eq!(found, expected, "{method} stopped after step {stop}");
        assert_eq!(rest.steps, whole.steps[stop as usize..]);
        assert_eq!(rest.logged, whole.logged[whole.logged.len() - rest.logged.len()..], "also the logged sums");
        assert_eq!(rest.evaluated, whole.evaluated[whole.evaluated.len() - rest.evaluated.len()..], "{method}");
    }
    assert_eq!(go(&settings, &rows, &directory.path().join("whole"), None).unwrap().0, expected, "done stays done");
}

#[test]
fn every_method() {
    for method in groma_align::METHODS {
        resumes_at_every_step(method.id, json!({"max_steps": 3, "learning_rate": 1e-2, "logging_steps": 2}));
    }
}

#[test]
fn further_prompts_are_the_same_ones() {
    resumes_at_every_step(
        "grpo",
        json!({"max_steps": 4, "learning_rate": 1e-2, "dynamic_sampling": true, "num_generations": 2,
        "per_device_train_batch_size": 8, "num_iterations": 2, "max_completion_length": 3}),
    );
}

#[test]
fn dpo_full() {
    resumes_at_every_step(
        "dpo",
        json!({"num_train_epochs": 2, "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2, "learning_rate": 1e-3, "warmup_steps": 2, "logging_steps": 3, "eval_steps": 2}),
    );
}

#[test]
fn dpo_with_an_adapter_and_dropout() {
    resumes_at_every_step(
        "dpo",
        json!({"max_steps": 5, "per_device_train_batch_size": 4, "learning_rate": 1e-2,
        "lora": {"r": 4, "dropout": 0.3}, "logging_steps": 2, "lr_scheduler_type": "cosine"}),
    );
}

/// The reference's weights are kept as well, also where it is of a policy with an adapter, and where it was sampled with.
#[test]
fn a_reference_that_moves() {
    let moving = |more: Value| {
        let mut given = json!({"max_steps": 5, "learning_rate": 1e-2, "sync_ref_model": true, "ref_model_sync_steps": 2,
            "logging_steps": 2, "eval_steps": 2});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        given
    };
    resumes_at_every_step("dpo", moving(json!({"per_device_train_batch_size": 4})));
    resumes_at_every_step("kto", moving(json!({"lora": {"dropout": 0.1}})));
    resumes_at_every_step("grpo", moving(json!({"beta": 0.1, "num_iterations": 2, "per_device_train_batch_size": 4})));
    resumes_at_every_step("nash_md", moving(json!({"ref_model_mixup_alpha": 1.0})));
}

/// A teacher that is a mean of the model, where several steps learn from what was sampled at once, with an adapter and without.
#[test]
fn a_teacher_that_is_a_mean() {
    for adapter in [json!({}), json!({"lora": {"r": 2}})] {
        let mut given = json!({"max_steps": 4, "learning_rate": 1e-2, "num_iterations": 2, "teacher_sync_steps": 2,
            "teacher_update_rate": 0.5, "distillation_mode": "full_logits", "distillation_alpha": 0.5});
        given.as_object_mut().unwrap().extend(adapter.as_object().unwrap().clone());
        resumes_at_every_step("sdpo", given);
        let mut given = json!({"max_steps": 4, "learning_rate": 1e-2, "teacher_model_kind": "ema"});
        given.as_object_mut().unwrap().extend(adapter.as_object().unwrap().clone());
        resumes_at_every_step("self_distillation", given);
    }
}

#[test]
fn sft_packed() {
    resumes_at_every_step(
        "sft",
        json!({"max_steps": 5, "per_device_train_batch_size": 2, "packing": true,
        "max_length": 50, "learning_rate": 1e-3, "weight_decay": 0.1}),
    );
}

#[test]
fn sft_that_forgets() {
    let forgets =
        json!({"max_steps": 4, "learning_rate": 1e-2, "fcm_max_ratio": 0.5, "logging_steps": 3, "eval_steps": 2});
    resumes_at_every_step("sft", forgets);
}

#[test]
fn sft_with_noise_on_embeddings() {
    resumes_at_every_step(
        "sft",
        json!({"max_steps": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2,
        "neftune_noise_alpha": 5.0, "learning_rate": 1e-2, "logging_steps": 2, "eval_steps": 2}),
    );
}

#[test]
fn reward() {
    resumes_at_every_step("reward", json!({"max_steps": 4, "learning_rate": 1e-3, "logging_steps": 3}));
}

#[test]
fn kto_on_labelled_rows() {
    resumes_at_every_step("kto", json!({"max_steps": 5, "learning_rate": 1e-2, "lora": {}, "logging_steps": 2}));
}

/// Between collecting and learning, and inside of either: what was sampled before the weights moved is kept.
#[test]
fn rollouts_that_several_steps_learn_from() {
    resumes_at_every_step(
        "grpo",
        json!({"max_steps": 9, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "steps_per_generation": 2,
        "num_iterations": 2, "beta": 0.1, "logging_steps": 3, "eval_steps": 4}),
    );
    resumes_at_every_step(
        "rloo",
        json!({"max_steps": 4, "learning_rate": 1e-2, "num_iterations": 2, "reward_funcs": ["regex", "length"],
        "regex_pattern": "[a-e]", "reward_granularity": ["span", "completion"]}),
    );
    resumes_at_every_step(
        "rloo",
        json!({"max_steps": 6, "learning_rate": 1e-2, "lora": {"dropout": 0.1}, "temperature": 0.8, "logging_steps": 2}),
    );
}

/// A pool out of which the oldest leave lies beside the checkpoints: what a process wrote there behind its last checkpoint does not
/// count, and what is missing there is told.
#[test]
fn what_quark_sorts_is_written_once() {
    let given = json!({"max_steps": 5, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "num_generations": 2,
        "pool_size": 6, "num_iterations": 2, "logging_steps": 2, "eval_steps": 2, "save_steps": 2});
    resumes_at_every_step("quark", given.clone());
    let settings = settings("quark", given);
    let rows = prepared(&settings);
    let directory = tempfile::tempdir().unwrap();
    let (expected, _) = go(&settings, &rows, &directory.path().join("whole"), None).unwrap();
    let path = directory.path().join("stopped");
    go(&settings, &rows, &path, Some(3)).unwrap_err();
    let state: Value = serde_json::from_slice(&std::fs::read(path.join("step-00000003/state.json")).unwrap()).unwrap();
    assert_eq!(state["objective"]["pool"], 8);
    let journal = path.join("journal.jsonl");
    let kept = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, [&kept[..], b"{\"place\": \"torn"].concat()).unwrap();
    let again = directory.path().join("again");
    copy(&path, &again);
    assert_eq!(go(&settings, &rows, &path, None).unwrap().0, expected);
    std::fs::write(again.join("journal.jsonl"), &kept[..kept.len() / 2]).unwrap();
    let error = go(&settings, &rows, &again, None).unwrap_err().to_string();
    assert!(error.contains("journal.jsonl is damaged"), "{error}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        match entry.is_dir() {
            true => copy(&entry, &target),
            false => assert!(std::fs::copy(&entry, &target).is_ok()),
        }
    }
}

/// The critic's weights and moments, the controller's weight and the multiplier are kept as well; and what is held out is measured
/// with them.
#[test]
fn what_ppo_carries_from_step_to_step() {
    for more in
        [json!({}), json!({"value_model": "critic"}), json!({"value_model": "critic", "lora": {"dropout": 0.1}})]
    {
        let mut given = json!({"max_steps": 9, "learning_rate": 1e-2, "per_device_train_batch_size": 2,
            "num_mini_batches": 2, "num_ppo_epochs": 2, "logging_steps": 3, "eval_steps": 3, "temperature": 0.9,
            "kl_coef": 0.2, "kl_controller": "adaptive", "target": 0.01, "horizon": 20.0,
            "cost_funcs": "overlong", "cost_weights": [-1.0], "overlong_cache": 6, "cost_limit": 0.1});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        resumes_at_every_step("ppo", given);
    }
}

/// A copy that lags behind is kept as it was when it was taken.
#[test]
fn a_copy_that_lags_behind() {
    for more in [json!({}), json!({"lora": {"dropout": 0.1}})] {
        let mut given = json!({"max_steps": 7, "learning_rate": 3e-2, "per_device_train_batch_size": 2, "num_ppo_epochs": 1,
            "mask_update": 3, "mask_top_k": 5, "logging_steps": 2, "eval_steps": 3});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        resumes_at_every_step("nlpo", given);
    }
}

/// Copies of heads are kept as they were.
#[test]
fn heads_that_follow_others() {
    for more in [json!({}), json!({"lora": {"dropout": 0.1}})] {
        let mut given = json!({"max_steps": 5, "learning_rate": 3e-2, "per_device_train_batch_size": 2, "alpha": 0.3,
            "steps_for_target_q_sync": 2, "beta": 0.5, "logging_steps": 2, "eval_steps": 2});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        resumes_at_every_step("ilql", given);
    }
}

#[test]
fn distillation_on_rows_and_on_samples() {
    resumes_at_every_step(
        "distillation",
        json!({"max_steps": 5, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "logging_steps": 2, "eval_steps": 2}),
    );
    resumes_at_every_step(
        "distillation",
        json!({"max_steps": 4, "learning_rate": 1e-2, "lmbda": 1.0, "beta": 1.0, "lora": {"dropout": 0.1}}),
    );
    resumes_at_every_step(
        "gold",
        json!({"max_steps": 4, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "logging_steps": 3, "eval_steps": 2,
            "uld_crossentropy_weight": 0.1}),
    );
}

#[test]
fn another_run_is_refused_by_the_field_that_differs() {
    let directory = tempfile::tempdir().unwrap();
    let first = settings("dpo", json!({"max_steps": 3, "learning_rate": 1e-3}));
    let rows = prepared(&first);
    go(&first, &rows, directory.path(), Some(2)).unwrap_err();
    let field = |settings: &Settings, rows: &Prepared, model_digest: &str, tokenizer_digest: &str| {
        let mut model = setup(model(1), settings).unwrap();
        let session = Session {
            directory: Some(directory.path().into()),
            resume: true,
            model_digest: Digest::of_bytes(model_digest.as_bytes()),
            tokenizer_digest: Digest::of_bytes(tokenizer_digest.as_bytes()),
            ..Session::new(settings, rows)
        };
        match train(&mut model, session) {
            Err(Error::Resume { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    let other = settings("dpo", json!({"max_steps": 3, "learning_rate": 2e-3}));
    assert_eq!(field(&other, &rows, "", ""), "settings");
    assert_eq!(field(&first, &rows, "x", ""), "model");
    assert_eq!(field(&first, &rows, "", "x"), "tokenizer");
    let fewer = Prepared { digest: Digest::of_bytes(b"fewer"), ..rows.clone() };
    assert_eq!(field(&first, &fewer, "", ""), "data");
    let reward = settings("reward", json!({"max_steps": 3}));
    assert_eq!(field(&reward, &prepared(&reward), "", ""), "method");
    let other = crate::support::model(99);
    let taught = settings("distillation", json!({"max_steps": 3}));
    let path = tempfile::tempdir().unwrap();
    go(&taught, &prepared(&taught), path.path(), Some(1)).unwrap_err();
    let mut seats = crate::support::beside(&taught, &other);
    seats[0].digest = Digest::of_bytes(b"x");
    let mut student = setup(model(1), &taught).unwrap();
    let rows_of_it = prepared(&taught);
    let session = Session {
        seats,
        directory: Some(path.path().into()),
        resume: true,
        voice: Some(crate::support::voice()),
        ..Session::new(&taught, &rows_of_it)
    };
    assert!(matches!(train(&mut student, session), Err(Error::Resume { field: "roles", .. })), "another teacher");
    // What changes no number may change.
    let chatty = settings("dpo", json!({"max_steps": 3, "learning_rate": 1e-3, "logging_steps": 1, "save_steps": 1}));
    go(&chatty, &rows, directory.path(), None).unwrap();
}

/// Makes of a checkpoint that of an earlier program, which did not have a setting yet.
fn without_setting(directory: &Path, name: &str) {
    let mut of_checkpoint = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let path = of_checkpoint.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("step-")).unwrap();
    let files = groma_run::atomic::verify_directory(&path).unwrap();
    let read = |name: &String| (name.clone(), std::fs::read(path.join(name)).unwrap());
    let files: Vec<(String, Vec<u8>)> = files.keys().map(read).collect();
    std::fs::remove_dir_all(&path).unwrap();
    let mut target = groma_run::atomic::AtomicDirectory::create(&path).unwrap();
    for (file, mut bytes) in files {
        if file == "state.json" {
            let mut state: Value = serde_json::from_slice(&bytes).unwrap();
            let identity = &mut state["identity"];
            identity["values"].as_object_mut().unwrap().remove(name).expect("it was there");
            identity["settings"] = json!(Digest::of_bytes(b"of fewer settings"));
            bytes = serde_json::to_vec(&state).unwrap();
        }
        target.write(&file, &bytes).unwrap();
    }
    target.commit().unwrap();
}

/// A checkpoint of a program that had fewer settings goes on where those that came since are at their defaults, and there alone.
#[test]
fn what_an_earlier_program_did_not_know_is_at_its_default() {
    let directory = tempfile::tempdir().unwrap();
    let plain = json!({"max_steps": 3, "learning_rate": 1e-2, "lora": {"r": 4}});
    let first = settings("dpo", plain.clone());
    let rows = prepared(&first);
    let (expected, _) = go(&first, &rows, &directory.path().join("whole"), None).unwrap();
    let stopped = directory.path().join("stopped");
    go(&first, &rows, &stopped, Some(2)).unwrap_err();
    without_setting(&stopped, "label_smoothing");
    let mut smoothed = plain.clone();
    smoothed["label_smoothing"] = json!(0.1);
    let error = go(&settings("dpo", smoothed), &rows, &stopped, None).unwrap_err().to_string();
    assert!(error.contains("other settings (no label_smoothing there, label_smoothing 0.1 here)"), "{error}");
    let mut adapted = plain;
    adapted["lora"] = json!({});
    let error = go(&settings("dpo", adapted), &rows, &stopped, None).unwrap_err().to_string();
    assert!(error.contains("other settings (lora {"), "{error}");
    let (found, rest) = go(&first, &rows, &stopped, None).unwrap();
    assert_eq!((found, rest.steps.len()), (expected, 1));
}

#[test]
fn damaged_checkpoints_are_passed_over_and_old_ones_removed() {
    let directory = tempfile::tempdir().unwrap();
    let settings =
        settings("dpo", json!({"max_steps": 6, "learning_rate": 1e-3, "save_steps": 1, "save_total_limit": 2}));
    let rows = prepared(&settings);
    let whole = tempfile::tempdir().unwrap();
    let (expected, _) = go(&settings, &rows, whole.path(), None).unwrap();
    go(&settings, &rows, directory.path(), Some(4)).unwrap_err();
    let names = |path: &Path| {
        let mut names: Vec<String> =
            std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.starts_with("step-"));
        names.sort();
        names
    };
    assert_eq!(names(directory.path()), ["step-00000003", "step-00000004"]);
    let weights = directory.path().join("step-00000004/weights.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let (found, rest) = go(&settings, &rows, directory.path(), None).unwrap();
    assert_eq!((found, rest.steps[0].step), (expected, 4), "resumed from the one before");
}

/// Trains on a backend, or goes on with what is in `directory`.
fn on(backend: Cpu, directory: &Path, stop: bool, across_machines: bool) -> Result<Outcome, Error> {
    let given = json!({"max_steps": 4, "learning_rate": 1e-2, "logging_steps": 2, "eval_steps": 2, "save_steps": 2});
    let settings = settings("sft", given);
    let rows = prepared(&settings);
    let mut model = setup(crate::support::model_on(1, Arc::new(backend)), &settings).unwrap();
    let cancel = Cancel::default();
    let request = cancel.clone();
    let call = move |report: &StepReport, _: &Transformer| {
        if stop && report.step == 2 {
            request.request();
        }
        Ok(())
    };
    let mut stopper = Every { steps: 1, call };
    let session = Session {
        directory: Some(directory.into()),
        resume: true,
        across_machines,
        cancel,
        observers: vec![&mut stopper],
        evaluation: Some(&rows),
        ..Session::new(&settings, &rows)
    };
    train(&mut model, session)
}

#[test]
fn killed_after_its_last_step_a_run_still_knows_its_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let first = on(Cpu::new(), directory.path(), false, false).unwrap();
    let again = on(Cpu::new(), directory.path(), false, false).unwrap();
    assert!(first.metrics.contains_key("loss") && first.evaluation.is_some());
    assert_eq!((again.resumed_from, again.metrics), (4, first.metrics));
    assert_eq!(again.evaluation, first.evaluation);
}

#[test]
fn a_checkpoint_of_other_instructions_is_refused_or_told() {
    let (portable, here) = (|| Cpu::with_level(Level::Portable).unwrap(), Cpu::new);
    if here().name() == portable().name() {
        println!("skipped: this processor has one set of instructions alone");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let stopped = on(portable(), directory.path(), true, false).unwrap_err();
    assert_eq!(stopped.class(), Class::Interrupted, "{stopped}");
    let refused = on(here(), directory.path(), false, false).unwrap_err();
    assert!(matches!(&refused, Error::OtherKernels { found, .. } if found == "cpu portable"), "{refused}");
    assert!(refused.hint().unwrap().contains("GROMA_CPU=portable"));
    // From the same checkpoint: the same machine goes on, and another one says that it was another.
    let outcome = on(here(), directory.path(), false, true).unwrap();
    assert_eq!((outcome.resumed_from, outcome.kernels), (2, vec![portable().name(), here().name()]));
}

//! Distillation: TRL's numbers, a student that becomes its teacher, on given completions and on its own.

use crate::support::{
    Letters, beside, fingerprint, limits, model, model_on, of_groups, prepared, rows, settings, spec, voice, weights,
};
use crate::training::run;
use groma_align::{Error, Group, History, Method, Prepared, Sequence, Session, Settings, prepare, setup, train};
use groma_data::Shape;
use groma_kernels::Cpu;
use groma_model::{Checkpoint, Transformer, Weights};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A model of the fixture.
fn of_fixture(name: &str) -> Transformer {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/distillation").join(name);
    let checkpoint = Checkpoint::open(&directory).unwrap();
    Transformer::new(checkpoint.spec().clone(), &checkpoint.weights().unwrap(), Arc::new(Cpu::new())).unwrap()
}

fn groups(fixture: &Value) -> Prepared {
    let ids = |row: &Value, name: &str| serde_json::from_value::<Vec<u32>>(row[name].clone()).unwrap();
    let group = |row| Group::of(String::new(), Sequence::completion(&ids(row, "prompt"), &ids(row, "completion")));
    let groups: Vec<Group> = fixture["rows"].as_array().unwrap().iter().map(group).collect();
    of_groups(groups)
}

/// Steps of training the fixture's student on its rows as they are.
fn of_trl(fixture: &Value, given: Value) -> History {
    let mut all = json!({"lmbda": 0.0, "lr_scheduler_type": "constant", "per_device_train_batch_size": 3});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let (settings, teacher) = (settings("distillation", all), of_fixture("teacher"));
    let (prepared, mut history) = (groups(fixture), History::default());
    let mut student = setup(of_fixture("student"), &settings).unwrap();
    let seats = beside(&settings, &teacher);
    train(&mut student, Session { seats, observers: vec![&mut history], ..Session::new(&settings, &prepared) })
        .unwrap();
    history
}

/// Losses and gradients of the trainers' own code, see `scripts/make_distillation_fixture.py`.
#[test]
fn losses_gradients_and_steps_are_those_of_trl() {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/distillation/cases.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let given = json!({"max_steps": 1, "beta": case["beta"], "temperature": case["temperature"]});
        let step = of_trl(&fixture, given).steps[0];
        let (loss, norm) = (case["loss"].as_f64().unwrap(), case["grad_norm"].as_f64().unwrap());
        assert!((step.loss - loss).abs() < 1e-5 && (step.grad_norm - norm).abs() < 1e-4 * norm, "{case}: {step:?}");
    }
    for case in fixture["steps"].as_array().unwrap() {
        let losses = serde_json::from_value::<Vec<f64>>(case["losses"].clone()).unwrap();
        let given = json!({"max_steps": losses.len(), "beta": case["beta"], "learning_rate": case["learning_rate"]});
        for (step, loss) in of_trl(&fixture, given).steps.iter().zip(losses) {
            assert!((step.loss - loss).abs() < 1e-3 * loss, "{}: {step:?} {loss}", case["beta"]);
        }
    }
}

/// The first model's weights with a share of the second's.
fn mixed(a: u64, b: u64, share: f32) -> Transformer {
    let (mut mixed, other): (Weights, Weights) = (weights(&spec(), a), weights(&spec(), b));
    for (name, tensor) in &mut mixed {
        tensor.values.iter_mut().zip(&other[name].values).for_each(|(x, y)| *x += share * (y - *x));
    }
    Transformer::new(spec(), &mixed, Arc::new(Cpu::new())).unwrap()
}

fn distil(student: Transformer, teacher: &Transformer, given: Value) -> (History, Transformer) {
    let settings = settings("distillation", given);
    let (prepared, mut history) = (prepared(&settings), History::default());
    let mut student = setup(student, &settings).unwrap();
    let seats = beside(&settings, teacher);
    let observers: Vec<&mut dyn groma_align::Observer> = vec![&mut history];
    train(&mut student, Session { seats, voice: Some(voice()), observers, ..Session::new(&settings, &prepared) })
        .unwrap();
    (history, student)
}

#[test]
fn a_student_becomes_its_teacher_by_every_divergence_and_on_its_own_samples() {
    for (beta, lmbda) in [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.3, 0.0), (1.0, 1.0), (0.5, 0.5)] {
        let given = json!({"beta": beta, "lmbda": lmbda, "max_steps": 300, "learning_rate": 1e-2,
            "per_device_train_batch_size": 11, "lr_scheduler_type": "cosine", "logging_steps": 1});
        let (history, _) = distil(mixed(1, 2, 0.4), &model(1), given);
        let (first, last) = (history.steps[0].loss, history.steps[299].loss);
        // What is sampled differs from step to step, and so does how far it is from the teacher's.
        let near = if lmbda == 0.0 { 0.02 } else { 0.15 };
        assert!(first > 0.0 && last < near * first, "beta {beta}, lmbda {lmbda}: {first} {last}");
        let shares = history.logged.iter().map(|(_, metrics)| metrics["on_policy"]).sum::<f64>() / 300.0;
        assert!((shares - lmbda).abs() < 0.06, "{shares} of {lmbda}");
    }
}

#[test]
fn a_teacher_that_is_the_student_teaches_nothing() {
    for beta in [0.0, 0.5, 1.0] {
        let given = json!({"beta": beta, "max_steps": 2, "learning_rate": 1e-2, "adam_epsilon": 1e-2});
        let (history, student) = distil(model(3), &model(3), given);
        assert!(history.steps.iter().all(|step| step.loss.abs() < 1e-6 && step.grad_norm < 1e-5), "{history:?}");
        drop(student);
    }
}

#[test]
fn prompts_alone_are_sampled_and_need_it_to_be_allowed() {
    let teacher = model(1);
    let run = |given: Value| {
        let settings = settings("distillation", given);
        let prepared = prepare(&settings, &rows(Shape::PromptOnly), &Letters::default(), limits()).unwrap();
        let mut history = History::default();
        let mut student = setup(mixed(1, 2, 0.4), &settings).unwrap();
        let (seats, voice) = (beside(&settings, &teacher), Some(voice()));
        let observers: Vec<&mut dyn groma_align::Observer> = vec![&mut history];
        train(&mut student, Session { seats, voice, observers, ..Session::new(&settings, &prepared) })?;
        Ok::<_, Error>(history)
    };
    let history = run(json!({"max_steps": 30, "learning_rate": 1e-2, "beta": 1.0, "logging_steps": 30})).unwrap();
    assert_eq!(history.logged[0].1["on_policy"], 1.0);
    assert!(history.steps[29].loss < 0.5 * history.steps[0].loss);
    let error = run(json!({"max_steps": 1, "lmbda": 0.0})).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:") && error.contains("lmbda"), "{error}");
}

#[test]
fn teachers_that_cannot_teach_are_refused_before_anything_is_done() {
    let resolve = |given: Value| Settings::resolve(Method::find("gkd").unwrap(), given.as_object().unwrap());
    assert!(resolve(json!({})).unwrap_err().to_string().contains("teacher_model"));
    let served = resolve(json!({"teacher_model": "http://localhost:8000/v1#big"})).unwrap_err().to_string();
    assert!(served.contains("directory or hub id"), "{served}");
    let settings = settings("distillation", json!({"max_steps": 1}));
    let rows = prepared(&settings);
    let mut student = setup(model(1), &settings).unwrap();
    let missing = train(&mut student, Session::new(&settings, &rows)).unwrap_err().to_string();
    assert!(missing.contains("teacher_model") && missing.contains("not there"), "{missing}");
    let other = of_fixture("teacher");
    let seats = beside(&settings, &other);
    let refused = train(&mut student, Session { seats, ..Session::new(&settings, &rows) }).unwrap_err().to_string();
    assert!(refused.contains("23 tokens") && refused.contains("same vocabulary"), "{refused}");
    let tokenizers = groma_align::check_tokens(groma_align::Role::Teacher, "big", (40, 40), ("a", "b"));
    assert!(tokenizers.unwrap_err().to_string().contains("another tokenizer"));
    assert!(groma_align::check_tokens(groma_align::Role::Reward, "judge", (40, 41), ("a", "b")).is_ok());
}

/// DPO against another reference than what training starts from: the loss at the start is open, that of the teacher's
/// log-probabilities, and the same to the bit as with that model's own table.
#[test]
fn a_reference_may_be_another_model() {
    let given = json!({"ref_model": "other", "max_steps": 3, "learning_rate": 1e-3});
    for (method, extra) in [("dpo", json!({})), ("kto", json!({})), ("grpo", json!({"beta": 0.1}))] {
        let mut all = given.as_object().unwrap().clone();
        all.extend(extra.as_object().unwrap().clone());
        let settings = settings(method, all.clone().into());
        let rows = prepared(&settings);
        let own = model(1);
        let train_with = |reference: &Transformer| {
            let mut history = History::default();
            let mut policy = setup(model(1), &settings).unwrap();
            let (seats, voice) = (beside(&settings, reference), Some(voice()));
            let observers: Vec<&mut dyn groma_align::Observer> = vec![&mut history];
            train(&mut policy, Session { seats, voice, observers, ..Session::new(&settings, &rows) }).unwrap();
            (history.steps, fingerprint(&policy))
        };
        let plain = crate::support::settings(method, {
            let mut own = all;
            own.remove("ref_model");
            own.into()
        });
        let (history, policy) = run(&plain, &rows, model(1));
        assert_eq!(train_with(&own), (history.steps, fingerprint(&policy)), "{method}");
        let other = model_on(2, Arc::new(Cpu::new()));
        assert_ne!(train_with(&other).1, fingerprint(&policy), "{method}");
    }
}

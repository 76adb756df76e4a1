//! Self-distillation policy optimisation: the model learns what it finds of its own samples once it is told more of them.

use crate::support::{Letters, fingerprint, limits, model, place, settings, text, voice};
use groma_align::{Encode, History, Observer, Prepared, Session, Settings, prepare, setup, train};
use groma_data::{Content, Message, Row};
use groma_model::Transformer;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use serde_json::{Value, json};

/// Tokens of the tiny vocabulary, and what ends a completion.
const VOCAB: u32 = 40;
const END: u32 = 2;

fn rows(prompts: &[(&str, &str)]) -> Vec<Row> {
    let told = |context: &str| [("privileged_context".to_owned(), Value::from(context))].into_iter().collect();
    let row = |((prompt, context), line): (&(&str, &str), u64)| Row {
        other: told(context),
        ..Row::of_prompt(text(prompt), place(line))
    };
    prompts.iter().zip(1..).map(row).collect()
}

fn of(rows: &[Row], given: Value) -> (Settings, Prepared) {
    let mut all = json!({"max_completion_length": 2, "distillation_weight": 1.0});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = settings("sdpo", all);
    let prepared = prepare(&settings, rows, &Letters::default(), limits()).unwrap();
    (settings, prepared)
}

fn go((settings, prepared): &(Settings, Prepared)) -> (History, Transformer) {
    let mut history = History::default();
    let mut student = setup(model(4), settings).unwrap();
    let observers: Vec<&mut dyn Observer> = vec![&mut history];
    train(&mut student, Session { voice: Some(voice()), observers, ..Session::new(settings, prepared) }).unwrap();
    (history, student)
}

/// Log-probabilities of every completion of up to two tokens behind a prompt.
fn all(model: &Transformer, prompt: &str) -> Vec<f64> {
    let context = Letters::default().prompt(&text(prompt)).unwrap();
    let short = std::iter::once(vec![END]);
    let long = (0..VOCAB).filter(|&first| first != END).flat_map(|first| (0..VOCAB).map(move |next| vec![first, next]));
    let request = |continuation| ScoreRequest { context: context.clone(), continuation };
    let requests: Vec<ScoreRequest> = short.chain(long).map(request).collect();
    let scores = score(model, &requests, &ScoreOptions::default(), &mut |_| true).unwrap();
    let logps: Vec<f64> = scores.iter().map(|score| score.sum()).collect();
    assert!((logps.iter().map(|logp| logp.exp()).sum::<f64>() - 1.0).abs() < 1e-4, "these are all");
    logps
}

/// With the teacher that training starts from and feedback that stays, the optimum is known: what the model says with the feedback.
/// All completions are listed, and the divergence from it is exact.
#[test]
fn the_policy_says_without_feedback_what_it_said_with_it() {
    let fed = rows(&[("who?", "be kind ")]);
    let long = json!({"max_steps": 120, "learning_rate": 1e-2, "per_device_train_batch_size": 32, "num_generations": 32,
        "lr_scheduler_type": "cosine", "teacher_model_kind": "base", "include_environment_feedback": true,
        "use_successful_as_teacher": false});
    let taught = all(&model(4), "be kind who?");
    let from = |student: &Transformer| -> f64 {
        let of = |(p, q): (f64, &f64)| p.exp() * (p - q);
        all(student, "who?").into_iter().zip(&taught).map(of).sum()
    };
    for (mode, near) in [
        (json!({"distillation_mode": "full_logits", "distillation_alpha": 0.5}), 0.05),
        (json!({"distillation_mode": "topk_logits", "distillation_topk": 12, "distillation_add_tail": true}), 0.15),
        (json!({"learning_rate": 5e-3}), 0.1),
    ] {
        let mut given = long.clone();
        given.as_object_mut().unwrap().extend(mode.as_object().unwrap().clone());
        let (_, student) = go(&of(&fed, given));
        let (before, after) = (from(&model(4)), from(&student));
        println!("{mode}: {before} {after}");
        assert!(before > 0.01 && after < near * before, "{mode}: {before} {after}");
    }
}

/// The null control: where nothing succeeds and nothing is said, nothing is learned.
#[test]
fn who_is_told_nothing_learns_nothing() {
    let silent = rows(&[("who?", " "), ("what?", "")]);
    let plain = json!({"max_steps": 2, "learning_rate": 1e-2, "include_environment_feedback": true});
    for given in [
        json!({"success_reward_threshold": 5.0}),
        json!({"distillation_mode": "full_logits", "success_reward_threshold": 5.0}),
    ] {
        let mut both = plain.clone();
        both.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let (history, student) = go(&of(&silent, both));
        assert!(history.steps.iter().all(|step| step.loss == 0.0 && step.grad_norm == 0.0), "{given}");
        assert_eq!(fingerprint(&student), fingerprint(&model(4)));
    }
}

/// A group in which one completion succeeded shows it to the others alone.
#[test]
fn what_succeeded_is_shown_to_the_others() {
    let given = json!({"max_steps": 3, "success_reward_threshold": 0.0, "max_completion_length": 3, "length_target": 2, "logging_steps": 1,
        "num_generations": 8, "per_device_train_batch_size": 8});
    let (history, _) = go(&of(&rows(&[("who?", "")]), given));
    for (_, metrics) in &history.logged {
        let share = |name: &str| metrics[&format!("self_distillation/{name}_fraction")];
        assert!([0.0, 7.0 / 8.0, 1.0].contains(&share("success_sample")), "{metrics:?}");
        assert_eq!(share("reprompt_sample"), share("success_sample"));
        assert_eq!((share("feedback_available"), share("feedback_used")), (0.0, 0.0));
    }
}

#[test]
fn rows_whose_feedback_is_no_text_are_bad() {
    let mut wrong = rows(&[("who?", "")]);
    wrong[0].other.insert("privileged_context".into(), json!(7));
    let settings = settings("sdpo", json!({}));
    let error = prepare(&settings, &wrong, &Letters::default(), limits()).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:1") && error.contains("privileged_context") && error.contains('7'), "{error}");
    wrong[0].other.insert("privileged_context".into(), Value::Null);
    assert_eq!(prepare(&settings, &wrong, &Letters::default(), limits()).unwrap().groups.len(), 1);
}

#[test]
fn a_prompt_that_cannot_be_asked_again_is_a_bad_row() {
    let ends = |role: &str| -> Content { vec![Message::new("user", "who?"), Message::new(role, "me")].into() };
    let settings = settings("sdpo", json!({}));
    let prepared = |role| {
        let rows = [Row::of_prompt(ends(role), place(3)), Row::of_prompt(text("who?"), place(4))];
        prepare(&settings, &rows, &Letters::default(), limits()).map(|prepared| prepared.groups.len())
    };
    assert_eq!(prepared("user").unwrap(), 2);
    let error = prepared("assistant").unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:3") && error.contains("end with the user"), "{error}");
}

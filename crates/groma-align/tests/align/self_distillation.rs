//! Self-distillation: a model learns to do without a context what it does with one, and without a context learns nothing.

use crate::support::{Letters, fingerprint, limits, model, place, settings, text, voice};
use groma_align::{History, Observer, Prepared, Session, Settings, prepare, setup, train};
use groma_data::Row;
use groma_model::Transformer;
use serde_json::{Value, json};

fn told(line: u64, prompt: &str, context: &str) -> Row {
    let other = [("privileged_context".to_owned(), Value::from(context))].into_iter().collect();
    Row { other, ..Row::of_prompt(text(prompt), place(line)) }
}

fn of(rows: &[Row], given: Value) -> (Settings, Prepared) {
    let mut all = json!({"max_completion_length": 6, "teacher_prompt_template": "{privileged_context}{prompt}"});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = settings("self_distillation", all);
    let prepared = prepare(&settings, rows, &Letters::default(), limits()).unwrap();
    (settings, prepared)
}

fn go(rows: &[Row], given: Value) -> (History, Transformer) {
    let (settings, prepared) = of(rows, given);
    let mut history = History::default();
    let mut student = setup(model(4), &settings).unwrap();
    let observers: Vec<&mut dyn Observer> = vec![&mut history];
    train(&mut student, Session { voice: Some(voice()), observers, ..Session::new(&settings, &prepared) }).unwrap();
    (history, student)
}

fn rows() -> Vec<Row> {
    [("who?", "be kind "), ("what?", "be kind "), ("where?", "be kind ")]
        .iter()
        .zip(1..)
        .map(|((prompt, context), line)| told(line, prompt, context))
        .collect()
}

#[test]
fn what_the_teacher_reads_is_made_of_the_row() {
    let (_, prepared) = of(&rows()[..1], json!({}));
    let read = |text: &str| groma_align::Encode::prompt(&Letters::default(), &crate::support::text(text)).unwrap();
    let member = &prepared.groups[0].members[0];
    assert_eq!((&member.sequence.ids, &member.context), (&read("who?"), &read("be kind who?")));
    let settings = settings("self_distillation", json!({}));
    let silent = Row::of_prompt(text("who?"), place(3));
    let error = prepare(&settings, &[silent], &Letters::default(), limits()).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:3") && error.contains("privileged_context"), "{error}");
}

/// The divergence of what is said without the context from what is said with it falls; of which the optimum is none.
#[test]
fn the_student_says_without_the_context_what_the_teacher_says_with_it() {
    let long = json!({"max_steps": 150, "learning_rate": 1e-2, "per_device_train_batch_size": 3,
        "lr_scheduler_type": "cosine", "logging_steps": 50});
    for (given, near) in [
        (json!({"distillation_alpha": 0.5}), 0.1),
        (json!({"distillation_alpha": 1.0}), 0.1),
        (json!({"distillation_alpha": 0.0, "generate_from_teacher": true}), 0.1),
        (json!({"distillation_alpha": 0.5, "lora": {"r": 8}}), 0.3),
    ] {
        let mut all = long.clone();
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let (history, _) = go(&rows(), all);
        let loss = |name: &str| history.logged.iter().map(|(_, metrics)| metrics[name]).collect::<Vec<_>>();
        let all = loss("self_distillation/distillation_loss");
        let (first, last) = (history.steps[0].loss, *all.last().unwrap());
        assert!(first > 0.01 && last < near * first, "{given}: {first} {all:?}");
    }
}

/// The sampled token alone, held against the divergence of whole distributions: it falls, too, if not in each step.
#[test]
fn sampled_tokens_teach_the_same() {
    let given = json!({"max_steps": 150, "learning_rate": 3e-3, "per_device_train_batch_size": 3,
        "distillation_mode": "sampled_token", "distillation_alpha": 1.0, "seed": 3});
    let (_, student) = go(&rows(), given);
    let (settings, prepared) =
        of(&rows(), json!({"max_steps": 1, "distillation_alpha": 1.0, "per_device_train_batch_size": 3}));
    let loss = |student: Transformer| {
        let mut history = History::default();
        let teacher = model(4);
        let mut with = settings_of(&settings);
        with["ref_model"] = json!("teacher");
        let settings = crate::support::settings("self_distillation", with);
        let mut student = setup(student, &settings).unwrap();
        let seats = crate::support::beside(&settings, &teacher);
        let observers: Vec<&mut dyn Observer> = vec![&mut history];
        train(&mut student, Session { seats, voice: Some(voice()), observers, ..Session::new(&settings, &prepared) })
            .unwrap();
        history.steps[0].loss
    };
    let (before, after) = (loss(model(4)), loss(student));
    assert!(after < 0.5 * before, "{before} {after}");
}

fn settings_of(settings: &Settings) -> Value {
    let own = [
        "max_steps",
        "distillation_alpha",
        "per_device_train_batch_size",
        "max_completion_length",
        "teacher_prompt_template",
    ];
    own.iter()
        .map(|name| ((*name).to_owned(), settings.values[*name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The null control: a teacher that is told nothing more is the student, and teaches nothing.
#[test]
fn without_a_context_nothing_is_learned() {
    for given in [
        json!({}),
        json!({"teacher_model_kind": "live"}),
        json!({"distillation_mode": "sampled_token", "distillation_alpha": 1.0}),
    ] {
        let mut all = json!({"teacher_prompt_template": "{prompt}{privileged_context}", "max_steps": 2, "learning_rate": 1e-2,
            "adam_epsilon": 1e-2});
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let (settings, mut prepared) = of(&rows(), all);
        for member in prepared.groups.iter_mut().flat_map(|group| &mut group.members) {
            member.context = member.sequence.ids.clone();
        }
        let mut history = History::default();
        let mut student = setup(model(4), &settings).unwrap();
        let before = fingerprint(&student);
        let observers: Vec<&mut dyn Observer> = vec![&mut history];
        train(&mut student, Session { voice: Some(voice()), observers, ..Session::new(&settings, &prepared) }).unwrap();
        assert!(
            history.steps.iter().all(|step| step.loss.abs() < 1e-5 && step.grad_norm < 1e-5),
            "{given} {history:?}"
        );
        assert!(fingerprint(&student) == before || history.steps[0].grad_norm > 0.0);
    }
}

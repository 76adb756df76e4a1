//! Reward models of attributes: what they learn, that it survives what is written, and what it is worth as a reward.

use crate::support::{
    Letters, beside, completion, fingerprint, limits, model, prepared, settings, spec, voice, weights,
};
use crate::training::run;
use groma_align::{History, Observer, Prepared, Session, Settings, prepare, setup, train};
use groma_data::Row;
use groma_kernels::Cpu;
use groma_model::rewards::rewards;
use groma_model::{Head, Spec, Transformer, View};
use serde_json::{Value, json};
use std::sync::Arc;

fn rated(line: u64, answer: &str, helpful: Value, long: Value) -> Row {
    let other = json!({"helpful": helpful, "long": long}).as_object().unwrap().clone();
    Row { other, ..completion(line, "what is this?", answer) }
}

fn of(rows: &[Row], given: Value) -> (Settings, Prepared) {
    let settings = settings("attribute_reward", given);
    let prepared = prepare(&settings, rows, &Letters::default(), limits()).unwrap();
    (settings, prepared)
}

fn said(model: &Transformer, prepared: &Prepared) -> Vec<Vec<f32>> {
    let ids: Vec<&[u32]> = prepared.groups.iter().map(|group| group.members[0].sequence.ids.as_slice()).collect();
    rewards(model, &ids, View::plain(), &mut |_| true).unwrap()
}

/// The least squares are at the mean of what was said of one answer; of what was not said, any value will do.
#[test]
fn the_optimum_is_the_mean_of_what_is_said_of_an_answer() {
    let rows = [
        rated(1, " a red apple.", json!(1), json!(-0.5)),
        rated(2, " a red apple.", json!(3), json!(-0.5)),
        rated(3, " no idea.", json!(0), json!(1.5)),
        rated(4, " no idea.", json!(0.5), Value::Null),
    ];
    let given = json!({"num_train_epochs": 400, "per_device_train_batch_size": 4, "learning_rate": 3e-3});
    let (settings, prepared) = of(&rows, given);
    let (history, model) = run(&settings, &prepared, model(5));
    assert!(
        (history.steps[0].loss - (1.0 + 0.25 + 9.0 + 0.25 + 0.0 + 2.25 + 0.25) / 7.0).abs() < 1e-6,
        "a head at zero"
    );
    let found = said(&model, &prepared);
    for (found, expected) in found.iter().flatten().zip([2.0, -0.5, 2.0, -0.5, 0.25, 1.5, 0.25, 1.5]) {
        assert!((found - expected).abs() < 0.02, "{found} {expected}");
    }
}

#[test]
fn a_column_that_is_no_number_makes_a_bad_row() {
    let settings = settings("attribute_reward", json!({}));
    let rows = [rated(1, " a.", json!("much"), json!(1)), rated(2, " b.", json!(1), json!(1))];
    let error = prepare(&settings, &rows, &Letters::default(), limits()).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:1") && error.contains("helpful"), "{error}");
}

/// A model of these scores by attribute: those of a random head.
fn judge(names: &[&str]) -> Transformer {
    let spec =
        Spec { outputs: vec![Head::of_attributes(names.iter().map(|name| (*name).to_owned()).collect())], ..spec() };
    Transformer::new(spec.clone(), &weights(&spec, 7), Arc::new(Cpu::new())).unwrap()
}

fn under(judge: &Transformer, given: Value) -> Result<(History, Transformer), groma_align::Error> {
    let mut all = json!({"reward_model": "judge", "max_steps": 2, "learning_rate": 1e-2, "logging_steps": 1,
        "boundary": "diverge", "max_completion_length": 8, "num_generations": 4});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let settings = Settings::resolve(groma_align::Method::find("rloo").unwrap(), all.as_object().unwrap())?;
    let (rows, mut history) = (prepared(&settings), History::default());
    let mut policy = setup(model(1), &settings)?;
    let observers: Vec<&mut dyn Observer> = vec![&mut history];
    let seats = beside(&settings, judge);
    train(&mut policy, Session { seats, voice: Some(voice()), observers, ..Session::new(&settings, &rows) })?;
    Ok((history, policy))
}

/// The weighted sum is what the sum of heads would say; with weight on one attribute, it is a reward model of that one.
#[test]
fn attributes_are_weighed_by_name() {
    let both = judge(&["helpful", "long"]);
    let reward = |given: Value| under(&both, given).unwrap().0.logged[0].1["reward"];
    let one = |name: &str| reward(json!({"attribute_weights": [format!("{name}=1")]}));
    let (helpful, long) = (one("helpful"), one("long"));
    assert!((helpful - long).abs() > 1e-3);
    assert!((reward(json!({})) - (helpful + long) / 2.0).abs() < 1e-5, "the mean where nothing is said");
    let weighed = reward(json!({"attribute_weights": ["helpful=0.65", "long = -0.4"]}));
    assert!((weighed - (0.65 * helpful - 0.4 * long)).abs() < 1e-5);
    let turned = under(&judge(&["long", "helpful"]), json!({"attribute_weights": "long=1"})).unwrap();
    let straight = under(&both, json!({"attribute_weights": "helpful=1"})).unwrap();
    assert_eq!(fingerprint(&turned.1), fingerprint(&straight.1), "a name counts, not a place");
    let refused = |given: Value| under(&both, given).unwrap_err().to_string();
    assert!(refused(json!({"attribute_weights": "short=1"})).contains("only helpful, long"));
    assert!(refused(json!({"attribute_weights": "helpful"})).contains("NAME=NUMBER"));
}

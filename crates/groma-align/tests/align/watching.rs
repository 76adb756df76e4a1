//! Watching a training that learns from rewards: it changes no bit of it, survives a stop, and can end it.

use crate::support::{beside, fingerprint, model, prepared, settings, voice};
use groma_align::{Alarm, Error, History, Observer, Outcome, Session, Settings, setup, train};
use groma_model::Transformer;
use groma_run::{Cancel, Class, Classify, Digest};
use serde_json::{Value, json};
use std::path::Path;

const EAGER: &str = r#"{"watch": ["length", "kl", "kl-growth"], "watch_length_limit": 0.05, "watch_patience": 1}"#;

/// Settings of a short training that learns to say little.
fn short(method: &str, more: &[Value]) -> Settings {
    let mut given = json!({"max_steps": 12, "logging_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 8,
        "num_generations": 4, "save_steps": 5, "lr_scheduler_type": "constant"});
    for more in more {
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    settings(method, given)
}

fn eager(stop: bool) -> [Value; 2] {
    [serde_json::from_str(EAGER).unwrap(), json!({"stop_on_alarm": stop})]
}

/// Hears alarms, and asks to stop after a step.
struct Ear {
    heard: Vec<Alarm>,
    stop_after: Option<u64>,
    cancel: Cancel,
}

impl Observer for Ear {
    fn alarmed(&mut self, alarm: &Alarm) {
        self.heard.push(alarm.clone());
    }

    fn step(&mut self, report: &groma_align::StepReport, _: &Transformer) -> Result<(), String> {
        if Some(report.step) == self.stop_after {
            self.cancel.request();
        }
        Ok(())
    }
}

/// How a run ends, what was heard and logged, and the weights.
fn go(
    settings: &Settings,
    directory: &Path,
    stop_after: Option<u64>,
) -> (Result<Outcome, Error>, Vec<Alarm>, History, Digest) {
    let cancel = Cancel::default();
    let mut ear = Ear { heard: Vec::new(), stop_after, cancel: cancel.clone() };
    let mut history = History::default();
    let (rows, other) = (prepared(settings), crate::support::model(99));
    let mut model = setup(model(2), settings).unwrap();
    let session = Session {
        seats: beside(settings, &other),
        directory: Some(directory.to_owned()),
        resume: true,
        voice: Some(voice()),
        cancel,
        observers: vec![&mut ear, &mut history],
        ..Session::new(settings, &rows)
    };
    let outcome = train(&mut model, session);
    (outcome, ear.heard, history, fingerprint(&model))
}

fn fresh() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn watching_changes_no_bit_and_asks_the_reference_where_nothing_else_does() {
    let plain = go(&short("grpo", &[]), fresh().path(), None);
    let watched = go(&short("grpo", &eager(false)), fresh().path(), None);
    assert_eq!(plain.3, watched.3);
    let outcome = watched.0.unwrap();
    let kls: Vec<f64> = outcome.watched.past.logs.iter().map(|log| log.metrics["sampling/kl"]).collect();
    assert_eq!(kls.len(), 12, "a short training is logged at each step");
    assert!(kls[0] == 0.0 && kls.iter().any(|kl| *kl > 0.05), "the policy leaves: {kls:?}");
    assert!(plain.0.unwrap().watched.past.logs.iter().all(|log| !log.metrics.contains_key("sampling/kl")));
    // In the first step the policy is the reference, and both passes have the same bits. Beside a weight on the distance, the two estimates are of the same samples.
    let (both, ..) = go(&short("rloo", &[json!({"beta": 0.1})]), fresh().path(), None);
    both.unwrap().watched.past.logs.iter().for_each(|log| {
        assert!((log.metrics["sampling/kl"] - log.metrics["kl"]).abs() < 1e-4);
    });
}

#[test]
fn an_alarm_is_told_once_and_is_part_of_what_the_run_leaves() {
    let (outcome, heard, history, _) = go(&short("grpo", &eager(false)), fresh().path(), None);
    let watched = outcome.unwrap().watched;
    let lengths: Vec<&Alarm> = heard.iter().filter(|alarm| alarm.watch == "length").collect();
    assert_eq!(lengths.len(), 1, "{heard:?}");
    assert_eq!(watched.alarms, heard);
    let said = history.logged.iter().find(|(step, _)| *step == lengths[0].step).unwrap().1["watch/length"];
    assert!((said - lengths[0].level / 0.05).abs() < 1e-9 && said > 1.0);
}

#[test]
fn an_alarm_can_stop_a_run_which_goes_on_when_told_to() {
    let directory = fresh();
    let (stopped, heard, ..) = go(&short("grpo", &eager(true)), directory.path(), None);
    let error = stopped.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.class(), Class::Gate);
    assert!(text.contains("length at step") && text.contains("step-") && error.hint().is_some(), "{text}");
    let at = heard[0].step;
    assert!(at < 12, "before the end");
    // Started again as it was, it stands where it stood.
    let (again, heard, history, _) = go(&short("grpo", &eager(true)), directory.path(), None);
    assert_eq!(again.unwrap_err().to_string(), text);
    assert!(heard.is_empty() && history.steps.is_empty());
    // Told not to stop, it ends with the bits of one that never did.
    let (_, _, history, weights) = go(&short("grpo", &eager(false)), directory.path(), None);
    assert_eq!(history.steps[0].step, at + 1);
    assert_eq!(weights, go(&short("grpo", &[]), fresh().path(), None).3);
}

#[test]
fn what_was_seen_survives_a_stop_at_any_step() {
    let settings = short("grpo", &eager(false));
    let (whole, heard, ..) = go(&settings, fresh().path(), None);
    let whole = whole.unwrap();
    for stop in [1, 2, 5, 6, 9, 11] {
        let directory = fresh();
        let (_, before, ..) = go(&settings, directory.path(), Some(stop));
        let (rest, after, ..) = go(&settings, directory.path(), None);
        assert_eq!(rest.unwrap().watched, whole.watched, "stopped after step {stop}");
        assert_eq!([before, after].concat(), heard, "stopped after step {stop}");
    }
}

/// A reward of weight 0 is asked and not learned from; two that count are held against each other.
#[test]
fn rewards_beside_the_one_that_is_learned_from() {
    let plain = go(&short("grpo", &[]), fresh().path(), None);
    let beside = json!({"reward_funcs": ["length", "overlong"], "reward_weights": [1.0, 0.0], "overlong_cache": 6});
    let held = go(&short("grpo", std::slice::from_ref(&beside)), fresh().path(), None);
    assert_eq!(plain.3, held.3);
    let logs = held.0.unwrap().watched.past.logs;
    assert!(logs.iter().all(|log| log.metrics["rewards/held_out"] == log.metrics["rewards/overlong/mean"]));
    assert!(logs.iter().all(|log| !log.metrics.contains_key("rewards/agreement")));
    assert!(held.2.logged.last().unwrap().1.contains_key("watch/held-out"));
    let both = json!({"reward_weights": [1.0, 0.5]});
    let (both, ..) = go(&short("grpo", &[beside, both]), fresh().path(), None);
    let logs = both.unwrap().watched.past.logs;
    assert!(logs.iter().filter_map(|log| log.metrics.get("rewards/agreement")).all(|r| (-1.0..=1.0).contains(r)));
    assert!(logs.iter().any(|log| log.metrics.contains_key("rewards/agreement")));
    assert!(logs.iter().all(|log| !log.metrics.contains_key("rewards/held_out")));
}

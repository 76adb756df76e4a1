//! Worth against distance as a stage: what it leaves of a model that went nowhere, of the best of n, and of trainings on the way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use groma_run::{Drawing, EventKind, Measurement, RunRecords};
use support::{done, refused};

/// The untrained model of the village, two short trainings from it, and a reward model.
const RECIPE: &str = r#"
name = "frontier"
model = "village"
seed = 7

[[stage]]
kind = "train"
name = "proxy"
method = "reward"
model = "base"
data = "village:train/preferences"
limit = 8
label_noise = 0.25
settings = { max_steps = 1 }

[[stage]]
kind = "train"
name = "rl-1"
method = "grpo"
model = "base"
data = "village:train/prompts"
settings = { max_steps = 4, logging_steps = 1, per_device_train_batch_size = 8, num_generations = 4, max_completion_length = 6, learning_rate = 1e-2, reward_funcs = ["truth"], reward_model = "proxy", reward_weights = [0.0, 1.0], watch = ["kl", "held-out"] }

[[stage]]
kind = "train"
name = "rl-2"
method = "grpo"
model = "base"
data = "village:train/prompts"
settings = { seed = 2, max_steps = 4, logging_steps = 1, per_device_train_batch_size = 8, num_generations = 4, max_completion_length = 6, learning_rate = 1e-2, reward_funcs = ["truth"], reward_model = "proxy", reward_weights = [0.0, 1.0], watch = ["kl", "held-out"] }

[[stage]]
kind = "frontier"
name = "frontier"
start = "base"
models = ["rl-1"]
data = "village:held_out/prompts"
limit = 12
num_generations = 2
max_new_tokens = 6
proxies = ["proxy"]
best_of = [1, 2, 4]
paths = { "by proxy" = ["rl-1", "rl-2"] }
"#;

fn number<'a>(all: &'a [Measurement], subject: &str, metric: &str, factor: Option<(&str, &str)>) -> &'a Measurement {
    let is_it = |row: &&Measurement| {
        let fits = factor.is_none_or(|(name, value)| row.factors.get(name).is_some_and(|found| found == value));
        row.subject == subject && row.metric == metric && fits
    };
    all.iter().find(is_it).unwrap_or_else(|| panic!("{subject} {metric} {factor:?}"))
}

#[test]
fn a_model_that_went_nowhere_is_nowhere_and_the_best_of_more_is_better() {
    let (_, directory) = done(RECIPE).unwrap();
    let records = RunRecords::read(&directory.path().join("run")).unwrap();
    let all = &records.measurements;
    let kl = number(all, "base", "kl", None);
    assert!(kl.value.abs() < 1e-4, "the same model, by sampling and by scoring: {}", kl.value);
    assert_eq!(number(all, "rl-1", "gold_gain", None).n, 12);
    let kl = number(all, "rl-1", "kl", None);
    assert!(kl.value > 0.01 && kl.interval.is_some(), "{kl:?}");
    let best = |by: &str, n: &str| number(all, &format!("best of n by {by}"), "gold", Some(("n", n))).value;
    assert!(best("the gold", "1") <= best("the gold", "2") && best("the gold", "2") <= best("the gold", "4"));
    assert!((best("the gold", "1") - best("proxy", "1")).abs() < 1e-12, "of one nothing is chosen");
    assert!(number(all, "rl-1", "proxy", Some(("proxy", "proxy"))).value.is_finite());
    let repeated = number(all, "by proxy", "fall", None);
    assert!(repeated.n == 2 && repeated.value >= 0.0 && repeated.interval.is_some());
    let figures = records.events.iter().filter(|event| event.kind == EventKind::Figure && event.stage == "frontier");
    let lines = figures.filter_map(|event| match &event.figure.as_ref()?.drawing {
        Drawing::Lines(lines) => Some(lines),
        _ => None,
    });
    let series: Vec<_> = lines.flat_map(|lines| &lines.series).collect();
    let names: Vec<&str> = series.iter().map(|line| &*line.name).collect();
    assert!(["best of n by proxy", "rl-1", "base"].iter().all(|name| names.contains(name)), "{names:?}");
    let path = series.iter().find(|line| line.name == "by proxy").unwrap();
    assert_eq!((path.points.len(), path.points[0].x), (4, 0.0), "the first log is of the policy that all began with");
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_done() {
    let error = |from: &str, to: &str| refused(&RECIPE.replace(from, to));
    assert!(error("label_noise = 0.25", "label_noise = 1.5").contains("label_noise"));
    assert!(
        error("data = \"village:train/prompts\"", "data = \"village:train/prompts\"\nlabel_noise = 0.5")
            .contains("pairs")
    );
    assert!(error("[\"rl-1\", \"rl-2\"] }", "[\"rl-3\"] }").contains("rl-3"));
    assert!(error("models = [\"rl-1\"]", "models = [\"rl-1\", \"base\"]").contains("`base` twice"));
    assert!(error("best_of = [1, 2, 4]", "best_of = [0]").contains("best_of"));
    assert!(error("proxies = [\"proxy\"]", "proxies = [\"rl-1\"]").contains("needs a reward model"));
}

//! Pairs that are made of a model's answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use groma_recipe::{Error, Recipe, Resolve};
use serde_json::Value;
use support::{done, refused};

/// The village's model before and after a step, a reward model, and pairs by each way that asks no judge.
const RECIPE: &str = r#"
name = "pairs"
model = "village"
seed = 7

[[stage]]
kind = "train"
name = "proxy"
method = "reward"
model = "base"
data = "village:train/preferences"
limit = 8
settings = { max_steps = 1, learning_rate = 1e-2 }

[[stage]]
kind = "train"
name = "sft"
method = "sft"
model = "base"
data = "village:train/dialogues"
limit = 8
settings = { max_steps = 1, learning_rate = 1e-2 }

[[stage]]
kind = "generate"
name = "spin"
data = "village:train/dialogues"
limit = 6
max_new_tokens = 5
pairs = "demonstrations"

[[stage]]
kind = "generate"
name = "rewarded"
data = "village:train/prompts"
limit = 6
num_generations = 3
max_new_tokens = 5
pairs = "reward"
by = "proxy"

[[stage]]
kind = "generate"
name = "likely"
data = "village:train/prompts"
limit = 6
num_generations = 3
max_new_tokens = 5
pairs = "likelihood"
by = "base"

[[stage]]
kind = "generate"
name = "true"
data = "village:train/prompts"
limit = 6
num_generations = 2
max_new_tokens = 5
pairs = "truth"

[[stage]]
kind = "contrast"
name = "ranked"
data = "village:train/prompts"
limit = 6
max_new_tokens = 5

[[stage.ranked]]
model = "sft"
examples = "village:train/dialogues"
shots = 2

[[stage.ranked]]
model = "base"

[[stage]]
kind = "train"
name = "dpo"
method = "dpo"
model = "sft"
data = "likely:pairs"
settings = { max_steps = 1 }
"#;

#[test]
fn answers_become_pairs_to_train_on() {
    let (_, directory) = done(RECIPE).unwrap();
    let read = |path: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(directory.path().join("run").join(path)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let demonstrations = std::fs::read_to_string(directory.path().join("run/village/train/dialogues.jsonl")).unwrap();
    let spin = read("data/spin.pairs.jsonl");
    assert!((1..=6).contains(&spin.len()), "one answer each, and none that was demonstrated");
    assert!(spin.iter().all(|row| demonstrations.contains(row["chosen"][0]["content"].as_str().unwrap())));
    for name in ["rewarded", "likely", "ranked"] {
        let pairs = read(&format!("data/{name}.pairs.jsonl"));
        assert!((1..=6).contains(&pairs.len()), "{name}: one of each prompt, where answers are not worth the same");
        assert!(pairs.iter().all(|row| row["chosen"] != row["rejected"] && row["prompt"].is_array()), "{name}");
    }
    assert!(read("data/true.pairs.jsonl").len() <= 6);
}

#[test]
fn what_cannot_be_preferred_is_refused() {
    let error = |from: &str, to: &str| refused(&RECIPE.replace(from, to));
    assert!(error("by = \"proxy\"", "").contains("by must be given"));
    assert!(error("pairs = \"truth\"", "pairs = \"truth\"\nby = \"proxy\"").contains("by must be left out"));
    assert!(error("num_generations = 2", "num_generations = 1").contains("num_generations must be 2 or more"));
    assert!(error("shots = 2", "shots = 0").contains("shots must be 1 or more with examples"));
    assert!(error("[[stage.ranked]]\nmodel = \"base\"\n", "").contains("ranked must be two configurations"));
    assert!(error("by = \"proxy\"", "by = \"sft\"").contains("needs a reward model"));
}

/// What is wrong with pairs of the answers to these rows, before a model is asked.
fn of_rows(pairs: &str, rows: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.jsonl");
    std::fs::write(&path, rows).unwrap();
    let text = format!(
        "name = \"p\"\nmodel = \"village\"\n[[stage]]\nkind = \"generate\"\nname = \"made\"\ndata = \"rows.jsonl\"\n\
         num_generations = 2\npairs = \"{pairs}\"\n"
    );
    let nowhere = |name: &str| -> Result<_, Error> { panic!("{name} is not wanted") };
    let resolve = Resolve { model: &nowhere, data: &|_| Ok((path.clone(), None)) };
    let recipe = Recipe::parse("test", &text, &[]).unwrap();
    groma_recipe::check(&recipe, resolve).map(drop).map_err(|error| error.to_string())
}

#[test]
fn pairs_that_cannot_be_made_of_the_rows_are_refused() {
    let bare = "{\"prompt\": \"Who?\"}\n{\"prompt\": \"Why?\"}\n";
    let error = of_rows("demonstrations", bare).unwrap_err();
    assert!(error.contains("none of 2 prompts of `rows.jsonl` has one"), "{error}");
    of_rows("demonstrations", "{\"prompt\": \"Who?\", \"completion\": \" I.\"}\n").unwrap();
    let error = of_rows("truth", bare).unwrap_err();
    assert!(error.contains("rows.jsonl:1: `truth`: the row has no such column"), "{error}");
    of_rows("judge", bare).unwrap();
}

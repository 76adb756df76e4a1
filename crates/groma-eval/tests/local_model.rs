//! Local models under measurement: the numbers of lm-evaluation-harness, failures that are counted, answers that do not
//! depend on their company.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]

use groma_data::{ReadOptions, Table, TextUnit, read};
use groma_eval::{
    Error, EstimateOptions, Evaluation, ItemSource, Items, Measured, Subject, compare, evaluate, find, items_at,
    read_items, side_by_side, text_item,
};
use groma_kernels::Cpu;
use groma_lm::{Answer, Continuation, Control, Failure, Kind, Local, LocalOptions, Request};
use groma_model::{LocalModel, TemplateChoice};
use groma_run::{Cancel, Item, Measurement, Silent};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(name);
    if !path.exists() {
        println!("SKIPPED: {} is missing, so nothing is measured on it", path.display());
    }
    path.exists().then_some(path)
}

fn model(name: &str) -> Option<LocalModel> {
    let mut model =
        LocalModel::open(&shared(&format!("weights/{name}"))?, &TemplateChoice::default(), Arc::new(Cpu::new()));
    model.as_mut().unwrap().freeze();
    Some(model.unwrap())
}

fn table(name: &str, rows: usize) -> Option<Table> {
    let options = ReadOptions { text_unit: TextUnit::Paragraph, ..ReadOptions::default() };
    Some(read(&shared(&format!("data/{name}"))?, &options).unwrap().limit(rows))
}

fn measured(model: &Local<'_>, task: &str, items: &Items) -> Result<Evaluation, Error> {
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    let subject = Subject::greedy(model, "model", 12);
    evaluate(find(task)?, items, &subject, &EstimateOptions::default(), control)
}

fn metric<'a>(found: &'a Evaluation, name: &str) -> &'a Measurement {
    found.measurements.iter().find(|measurement| measurement.metric == name).unwrap()
}

/// The log-likelihoods of an item's choices, or of a text in all its windows.
fn log_likelihoods(items: &[Item]) -> Vec<Vec<f64>> {
    let mut found: Vec<(String, Vec<f64>)> = Vec::new();
    for item in items {
        let whole = item.id.split('/').next().unwrap();
        let values: Vec<f64> = match item.scores.get("nats") {
            Some(nats) => vec![-nats],
            None => (0..).map_while(|choice| item.scores.get(&format!("logp_{choice}")).copied()).collect(),
        };
        match found.last_mut().filter(|(id, _)| id == whole) {
            Some((_, sums)) => sums[0] += values[0],
            None => found.push((whole.to_owned(), values)),
        }
    }
    found.into_iter().map(|(_, values)| values).collect()
}

/// The first six rows of each file with stories260K; made by `scripts/compare_lm_eval.py --rows 6 --fixture`.
#[test]
fn as_lm_evaluation_harness() {
    let fixture: serde_json::Value =
        serde_json::from_str(include_str!("../fixtures/lm_eval_stories260K.json")).unwrap();
    let Some(model) = model("stories260K-hf") else { return };
    let files = [
        ("arc-easy", "arc/arc_easy.jsonl"),
        ("arc-challenge", "arc/arc_challenge.jsonl"),
        ("hellaswag", "hellaswag_1k/hellaswag.jsonl"),
        ("boolq", "boolq/boolq.jsonl"),
        ("truthfulqa-mc1", "truthfulqa/TruthfulQA.csv"),
        ("truthfulqa-mc2", "truthfulqa/TruthfulQA.csv"),
        ("perplexity", "dialogues/chat_val.txt"),
    ];
    for (task, file) in files {
        let Some(table) = table(file, 6) else { return };
        let items = read_items(find(task).unwrap(), table).unwrap();
        let found = measured(&Local::new(&model, LocalOptions::default()), task, &items).unwrap();
        let expected: Vec<Vec<f64>> = serde_json::from_value(fixture[task]["log_likelihoods"].clone()).unwrap();
        let ours = log_likelihoods(&found.items);
        assert_eq!(ours.len(), expected.len(), "{task}");
        for (number, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
            assert_eq!(ours.len(), expected.len(), "{task}, item {number}");
            for (ours, expected) in ours.iter().zip(expected) {
                assert!((ours - expected).abs() < 1e-3, "{task}, item {number}: {ours} for {expected}");
            }
        }
        for (name, expected) in fixture[task]["metrics"].as_object().unwrap() {
            let (ours, expected) = (metric(&found, name).value, expected.as_f64().unwrap());
            assert!((ours - expected).abs() < 1e-4 * expected.abs().max(1.0), "{task} {name}: {ours} for {expected}");
        }
    }
}

/// Five worked examples before each question of one subject, most contexts cut to fit; the fixture is made by
/// `scripts/compare_lm_eval.py --model stories260K-hf --mmlu 1 --fixture`.
#[test]
fn worked_examples_as_in_lm_evaluation_harness() {
    let fixture: std::collections::BTreeMap<String, Vec<Vec<f64>>> =
        serde_json::from_str(include_str!("../fixtures/lm_eval_mmlu_stories260K.json")).unwrap();
    let (Some(model), Some(path)) = (model("stories260K-hf"), shared("data/mmlu")) else { return };
    let subjects: Vec<String> = fixture.keys().cloned().collect();
    let source = ItemSource { path: &path, num_fewshot: 5, examples: None, subjects: &subjects };
    let items = items_at(find("mmlu").unwrap(), &source).unwrap();
    let found = measured(&Local::new(&model, LocalOptions::default()), "mmlu", &items).unwrap();
    let acc = metric(&found, "acc");
    assert!(acc.mode.contains("5-shot") && acc.note.as_ref().unwrap().contains("cut on the left"), "{acc:?}");
    let (ours, expected) = (log_likelihoods(&found.items), fixture.values().flatten());
    assert_eq!(ours.len(), fixture.values().map(Vec::len).sum::<usize>());
    for (number, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        let apart = ours.iter().zip(expected).map(|(ours, expected)| (ours - expected).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-4, "item {number}: {ours:?} for {expected:?}");
    }
}

#[test]
fn what_does_not_fit_is_counted_and_in_no_denominator() {
    let (Some(model), Some(table)) = (model("stories260K-hf"), table("arc/arc_easy.jsonl", 12)) else { return };
    let items = read_items(find("arc-easy").unwrap(), table).unwrap();
    let short = |limit| LocalOptions { max_length: Some(limit), ..LocalOptions::default() };
    let found = measured(&Local::new(&model, short(20)), "arc-easy", &items).unwrap();
    let acc = metric(&found, "acc");
    assert!(acc.failed > 0 && acc.n + acc.failed == 12, "{acc:?}");
    assert!(found.cut > 0 && acc.note.as_ref().unwrap().contains("does not fit"), "{:?}", acc.note);
    let none = measured(&Local::new(&model, short(1)), "arc-easy", &items);
    assert!(matches!(none, Err(Error::NothingScored { items: 12, .. })));
}

#[test]
fn answers_do_not_depend_on_their_company() {
    let (Some(model), Some(table)) = (model("tinytalk3M-gpt2-hf"), table("xstest/xstest_prompts.csv", 30)) else {
        return;
    };
    let items = read_items(find("xstest").unwrap(), table).unwrap();
    let local = Local::new(&model, LocalOptions::default());
    let subject = Subject::greedy(&local, "model", 12);
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    let requests: Vec<Request> = items.items.iter().flat_map(|item| item.requests.clone()).collect();
    let together = subject.answer(&requests, control).unwrap();
    let alone = subject.answer(&requests[7..8], control).unwrap();
    assert_eq!(together[7], alone[0]);
    assert!(matches!(alone[0].as_ref().map(Answer::tokens), Ok(1..=12)), "{alone:?}");

    let found = measured(&local, "xstest", &items).unwrap();
    assert_eq!(found.said.len(), 30);
    let refused = metric(&found, "over_refusal");
    assert!((refused.n, refused.higher_is_better) == (25, Some(false)), "{refused:?}");
    assert!(found.breakdown.iter().any(|row| row.metric == "over_refusal[type=homonyms]" && row.n == 25));
    let sides = side_by_side(&found, &found);
    assert_eq!((sides.len(), &sides[0].before), (30, &sides[0].after));
    assert!(refused.mode.contains("greedy"), "{}", refused.mode);
}

#[test]
fn preferences_are_measured_and_compared() {
    let (Some(model), Some(table)) = (model("tinytalk3M-gpt2-hf"), table("hh_rlhf/harmless-base/test.jsonl.gz", 40))
    else {
        return;
    };
    let items = read_items(find("preference").unwrap(), table).unwrap();
    let subject = Local::new(&model, LocalOptions::default());
    let found = measured(&subject, "preference", &items).unwrap();
    let accuracy = metric(&found, "accuracy");
    assert_eq!(accuracy.n + accuracy.failed, items.items.len() as u64);
    assert!(accuracy.n > 30 && accuracy.chance == Some(0.5), "{accuracy:?}");
    assert_eq!(metric(&found, "shuffled_labels").group, groma_run::Group::Control);

    let side = |items| Measured { subject: "model", items };
    let task = find("preference").unwrap();
    let same = compare(task, side(&found.items), side(&found.items), &found.mode, &EstimateOptions::default()).unwrap();
    assert!(same.iter().all(|row| row.difference == 0.0), "{same:?}");
    assert_eq!((same[0].metric.as_str(), same[0].p_value), ("accuracy", Some(1.0)));

    let swapped: Vec<groma_eval::Item> = items
        .items
        .iter()
        .map(|item| groma_eval::Item { requests: item.requests.iter().rev().cloned().collect(), ..item.clone() })
        .collect();
    let swapped = measured(&subject, "preference", &Items { items: swapped, bad_rows: 0, shots: 0 }).unwrap();
    for (one, other) in found.items.iter().zip(&swapped.items) {
        let margins = (one.scores.get("margin"), other.scores.get("margin"));
        assert_eq!(margins.0.copied(), margins.1.map(|margin| -margin), "{one:?} {other:?}");
    }
    let sum = accuracy.value + metric(&swapped, "accuracy").value + metric(&found, "ties").value;
    assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    assert!((metric(&found, "margin").value + metric(&swapped, "margin").value).abs() < 1e-9);
}

#[test]
fn a_long_text_is_one_document_in_windows() {
    let Some(model) = model("stories260K-hf") else { return };
    let text = "Once upon a time there was a little dog. He liked to run in the park. ".repeat(60);
    let items =
        Items { items: vec![groma_eval::Item { id: Some("1".into()), ..text_item(&text) }], bad_rows: 0, shots: 0 };
    let options = LocalOptions { max_length: Some(128), ..LocalOptions::default() };
    let found = measured(&Local::new(&model, options), "perplexity", &items).unwrap();
    let bits = metric(&found, "bits_per_byte");
    assert!(bits.n > 5 && found.items[1].id == "1/1" && bits.interval.is_some(), "{bits:?}");
    let bytes: f64 = found.items.iter().map(|item| item.scores["bytes"]).sum();
    assert!((bytes - text.len() as f64).abs() < 1e-6);
    assert!(bits.value > 0.0 && bits.value < 3.0, "{}", bits.value);
}

#[test]
fn a_stop_is_heard_and_oddities_are_failures() {
    let Some(model) = model("stories260K-hf") else { return };
    let local = Local::new(&model, LocalOptions::default());
    let subject = Subject::greedy(&local, "model", 12);
    let cancel = Cancel::default();
    let control = Control { progress: &Silent, cancel: &cancel };
    let request = |context: &str, continuation: &str| {
        Request::Score(Continuation::After { context: context.into(), continuation: continuation.to_owned() })
    };
    let odd = [request("", ""), request("", "The end"), request("Once", ""), request(" ", "upon")];
    let found = subject.answer(&odd, control).unwrap();
    assert_eq!((&found[0], &found[2]), (&Err(Failure::NothingToScore), &Err(Failure::NothingToScore)));
    assert!(found[1].is_ok() && found[3].is_ok(), "{found:?}");
    assert!(subject.mode(Kind::Rolling).contains("BOS"));
    cancel.request();
    assert!(matches!(subject.answer(&odd, control), Err(Error::Interrupted)));
}

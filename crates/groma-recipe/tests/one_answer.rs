//! One pair of samples has one answer: the comparing stage's and the report's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use groma_eval::{EstimateOptions, Measured, compare, find};
use groma_report::compare_runs;
use groma_run::{
    Finished, Item, Manifest, Measurement, RunDirectory, RunRecords, StageEntry, StageKey, Statistic, Status,
    SystemClock,
};
use std::path::Path;

const SEED: u64 = 11;

/// Items with all scores that ARC's and perplexity's metrics are made of.
fn items(shift: usize, clusters: bool) -> Vec<Item> {
    let item = |i: usize| {
        let nats = 20.0 + ((i * 7 + shift * 5) % 13) as f64;
        let right = f64::from(u8::from((i * 3 + shift * i) % 5 < 2));
        let scores = [
            ("acc", right),
            ("acc_norm", 1.0 - right),
            ("acc_bytes", right),
            ("nats", nats),
            ("bits", nats / 2.0),
            ("bytes", 40.0 + (i % 9) as f64),
            ("words", 9.0),
            ("tokens", 12.0 + (shift * (i % 3)) as f64),
        ];
        Item {
            id: format!("item-{i}"),
            scores: scores.map(|(name, value)| (name.to_owned(), value)).into(),
            cluster: clusters.then(|| (i / 5).to_string()),
            ..Item::default()
        }
    };
    (0..90).map(item).collect()
}

fn run(path: &Path, task: &str, metric: &str, statistic: &Statistic, items: &[Item]) -> RunRecords {
    let run = RunDirectory::create_or_resume(path).unwrap();
    let clock = SystemClock::default();
    let mut manifest = Manifest::new("run", Vec::new(), serde_json::Value::Null, SEED, 1, &clock);
    let key = StageKey::new("measure", 1);
    manifest.set_stage(StageEntry {
        name: "measure".into(),
        key: key.digest(),
        status: Status::Done,
        seconds: 0.0,
        tokens: 0,
    });
    run.write_manifest(&manifest).unwrap();
    let recorder = run.recorder(&key);
    let samples = Some(recorder.items("after", task, items).unwrap());
    let statistic = Some(statistic.clone());
    recorder.measure(Measurement { samples, statistic, ..Measurement::new("after", task, metric, 0.5, 90) }).unwrap();
    run.finish_stage(&key, Finished::default()).unwrap();
    RunRecords::read(run.path()).unwrap()
}

#[test]
fn eval_and_report_agree_to_the_bit() {
    let mut compared = 0;
    for (id, clusters) in [("arc-easy", false), ("arc-easy", true), ("perplexity", false), ("perplexity", true)] {
        let task = find(id).unwrap();
        let (before, after) = (items(0, clusters), items(1, clusters));
        let side = |items| Measured { subject: "after", items };
        let options = EstimateOptions { seed: SEED, ..EstimateOptions::default() };
        for expected in compare(task, side(&before), side(&after), "", &options).unwrap() {
            let root = tempfile::tempdir().unwrap();
            let statistic = task.metric(&expected.metric).unwrap().record();
            let made = |name: &str, items| run(&root.path().join(name), id, &expected.metric, &statistic, items);
            let headline = compare_runs(&[made("a", &before), made("b", &after)], None).unwrap().headline.unwrap();
            let change = headline.rows[0].change.clone().unwrap();
            assert_eq!(change.difference, expected.difference, "{id} {}", expected.metric);
            assert_eq!((change.interval, change.p_value), (expected.interval, expected.p_value));
            assert_eq!(
                (change.method, change.n, change.detectable),
                (expected.method, expected.n, expected.detectable)
            );
            compared += 1;
        }
    }
    // Three metrics of the one task, four of the other; controls are not compared.
    assert_eq!(compared, 2 * (3 + 4));
}

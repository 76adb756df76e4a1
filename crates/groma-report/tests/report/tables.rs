//! The table of a run and of two runs; odd, empty and huge runs.

use groma_report::{Error, Headline, Options, Reading, render, write_report};
use groma_run::{
    Class, Classify, Comparison, Disk, Group, Interval, Manifest, Measurement, Number, RunRecords, Sample, Side, Unit,
};
use std::path::Path;

fn interval(low: f64, high: f64) -> Option<Interval> {
    Some(Interval { low, high, level: 0.95, method: "wilson".into() })
}

fn share(subject: &str, task: &str, value: f64, n: u64, group: Group, higher_is_better: Option<bool>) -> Measurement {
    let interval = interval((value - 0.05).max(0.0), (value + 0.05).min(1.0));
    Measurement {
        interval,
        group,
        higher_is_better,
        unit: Unit::Share,
        ..Measurement::new(subject, task, "rate", value, n)
    }
}

fn comparison(task: &str, before: f64, after: f64, half: f64, n: u64) -> Comparison {
    let difference = after - before;
    Comparison {
        stage: String::new(),
        stage_key: String::new(),
        task: task.into(),
        metric: "rate".into(),
        mode: String::new(),
        before_subject: "before".into(),
        after_subject: "after".into(),
        before,
        after,
        difference,
        interval: interval(difference - half, difference + half),
        p_value: Some(0.01),
        n,
        method: "paired t".into(),
        detectable: None,
    }
}

/// Records that never were on disk.
fn records(measurements: Vec<Measurement>, comparisons: Vec<Comparison>) -> RunRecords {
    let clock = groma_run::ManualClock::new(groma_run::Timestamp::from_second(1_700_000_000).unwrap());
    let mut manifest = Manifest::new("table", vec!["groma".into()], serde_json::json!({}), 1, 1, &clock);
    manifest.machine = groma_run::Machine::default();
    let path = Path::new("/nowhere").to_owned();
    RunRecords { path, manifest, events: Vec::new(), measurements, comparisons, warnings: Vec::new() }
}

fn typical() -> RunRecords {
    let mut measurements = Vec::new();
    for (subject, shift) in [("before", 0.0), ("after", 1.0)] {
        measurements.extend([
            share(subject, "refusal on harmful prompts", 0.1 + 0.8 * shift, 200, Group::Alignment, Some(true)),
            share(subject, "over-refusal", 0.02 + 0.08 * shift, 250, Group::Alignment, Some(false)),
            share(subject, "日本語クイズ", 0.60 - 0.01 * shift, 1200, Group::Capability, Some(true)),
            share(subject, "tiny", 0.3 * shift, 5, Group::Capability, Some(true)),
            share(subject, "length", 0.3 + 0.3 * shift, 100, Group::Other, None),
        ]);
        measurements.push(Measurement {
            higher_is_better: Some(false),
            group: Group::Capability,
            ..Measurement::new(subject, "held-out", "perplexity", if shift > 0.0 { f64::NAN } else { 12.3456 }, 40)
        });
    }
    let comparisons = vec![
        comparison("refusal on harmful prompts", 0.1, 0.9, 0.06, 200),
        comparison("over-refusal", 0.02, 0.10, 0.03, 250),
        comparison("日本語クイズ", 0.60, 0.59, 0.02, 1200),
        comparison("tiny", 0.0, 0.3, 0.1, 5),
    ];
    records(measurements, comparisons)
}

#[test]
fn the_table_of_a_run() {
    let headline = Headline::of_run(&typical());
    for columns in [80, 60, 120] {
        let text = headline.to_text(columns);
        let widest = text.lines().map(unicode_width::UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= columns, "{widest}");
        insta::assert_snapshot!(format!("run_{columns}"), text);
    }
    let readings: Vec<_> = headline.rows.iter().map(|row| row.reading).collect();
    use Reading::{Better, Higher, NoClearChange, TooFew, Unknown, Worse};
    assert_eq!(readings, [Better, Worse, NoClearChange, TooFew, Unknown, Higher]);
}

#[test]
fn the_json_of_a_run_has_no_null_for_what_is_not_finite() {
    let json = serde_json::to_string_pretty(&Headline::of_run(&typical())).unwrap();
    assert!(json.contains("\"value\": \"NaN\""));
    insta::assert_snapshot!("run_json", json);
}

#[test]
fn what_is_not_finite_is_shown_with_its_reason() {
    let page = render(&typical(), &Options::default());
    assert!(page.contains("the value is not a number, so it is shown as n/a (n = 40)"));
    assert!(!page.contains("NaN%") && !page.contains(">NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn two_runs_on_the_same_items_are_paired() {
    let root = tempfile::tempdir().unwrap();
    let ids = |from: usize| (from..from + 100).map(|i| format!("item-{i}")).collect::<Vec<_>>();
    let scores = |every: usize| (0..100).map(|i| f64::from(u8::from(i % every != 0))).collect::<Vec<_>>();
    let first = crate::runs::run_of_items(&root.path().join("a"), "A", &ids(0), &scores(2));
    let second = crate::runs::run_of_items(&root.path().join("b"), "B", &ids(0), &scores(10));
    let headline = Headline::of_two_runs(&first, &second, None).unwrap();
    let change = headline.rows[0].change.as_ref().unwrap();
    assert!(change.paired && change.n == 100);
    assert!((change.difference - 0.4).abs() < 1e-12);
    assert!(change.p_value.unwrap() < 1e-6 && change.method.contains("McNemar"));
    assert_eq!(headline.rows[0].reading, Reading::Better);
    insta::assert_snapshot!("two_runs", headline.to_text(80));

    let elsewhere = crate::runs::run_of_items(&root.path().join("c"), "C", &ids(500), &scores(10));
    let headline = Headline::of_two_runs(&first, &elsewhere, None).unwrap();
    let change = headline.rows[0].change.as_ref().unwrap();
    assert!(!change.paired && (Number(change.difference) == Number(0.4)));
    assert!(headline.notes[0].contains("share no items"), "{:?}", headline.notes);

    let half = crate::runs::run_of_items(&root.path().join("d"), "D", &ids(50), &scores(10));
    let headline = Headline::of_two_runs(&first, &half, None).unwrap();
    assert!(headline.notes[0].contains("over the 50 items that both have"), "{:?}", headline.notes);
}

#[test]
fn two_runs_without_anything_in_common() {
    let empty = records(Vec::new(), Vec::new());
    let error = Headline::of_two_runs(&typical(), &empty, None).unwrap_err();
    assert!(matches!(error, Error::NothingInCommon { .. }) && error.class() == Class::NothingRan);
    let error = Headline::of_two_runs(&typical(), &typical(), Some("later")).unwrap_err();
    assert_eq!(error.to_string(), "table has no measurements of \"later\"; it has those of before, after");
    let same = Headline::of_two_runs(&typical(), &typical(), Some("before")).unwrap();
    assert!(same.rows.iter().all(|row| !matches!(row.reading, Reading::Better | Reading::Worse)));
}

#[test]
fn an_empty_run_has_a_report() {
    let empty = records(Vec::new(), Vec::new());
    let page = render(&empty, &Options::default());
    assert!(page.contains("Nothing was measured.") && page.contains("What was run"));
    assert!(!page.contains("<table class=\"headline\""));
    assert_eq!(Headline::of_run(&empty).to_text(80), "Nothing was measured.\n");
}

#[test]
fn answers_during_training_are_shown_by_step() {
    let root = tempfile::tempdir().unwrap();
    let records = crate::runs::run_with(&root.path().join("run"), "word");
    let page = render(&records, &Options::default());
    let at = page.find("Answers during training: stage word").expect("a section");
    let (early, late) = (page[at..].find("early word").unwrap(), page[at..].find("late word").unwrap());
    assert!(early < late && page[at..].contains("in the data word") && page[at..].contains("the same"));
    assert_eq!(page[at..].matches("late word").count(), 1, "an answer that did not change is said once");
    let small = Options { samples_bytes: 1700, ..Options::default() };
    assert!(render(&records, &small).contains("1 more answers are in"), "what does not fit is counted");
}

#[test]
fn one_side_alone_is_no_comparison() {
    let alone = records(vec![share("before", "quiz", 0.5, 100, Group::Capability, Some(true))], Vec::new());
    let headline = Headline::of_run(&alone);
    assert!(headline.verdict.starts_with("Only \u{201c}before\u{201d} was measured"), "{}", headline.verdict);
    assert_eq!(headline.rows[0].reading, Reading::Unknown);
}

#[test]
fn a_huge_run_is_capped() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    let small = crate::runs::run_with(&path, "word");
    let run = groma_run::RunDirectory::resume(&path).unwrap();
    let side = |text: &str| Some(Side { text: text.repeat(3000), ..Side::default() });
    let sample = |i: u32| Sample {
        task: "huge".into(),
        id: i.to_string(),
        prompt: "p".repeat(100_000),
        before: side("a<"),
        after: side(if i == 19_999 { "b&" } else { "a<" }),
        ..Sample::default()
    };
    let samples: Vec<_> = (0..300).chain([19_999]).map(sample).collect();
    for task in ["huge", "larger"] {
        run.run_recorder().samples(task, &samples).unwrap();
    }
    let metrics = |step: u64| (0..40).map(|i| (format!("metric-{i:02}"), (step % 97) as f64)).collect();
    (0..5000).for_each(|step| run.run_recorder().metrics(step, metrics(step)));
    drop(run);
    let records = RunRecords::read(&path).unwrap();
    assert!(records.events.len() > small.events.len());
    let options = Options::default();
    let page = render(&records, &options);
    assert!(page.len() <= options.page_bytes, "{}", page.len());
    assert!(page.contains("of 301 shown, all are in") && page.contains("more metrics are in events.jsonl"));
    assert!(page.contains("19999"), "the one sample that changed is among those shown");
    let path = write_report(&Disk::files(), &records, &Options { page_bytes: 1_000_000, ..options }).unwrap();
    assert!(std::fs::metadata(path).unwrap().len() <= 1_000_000);
}

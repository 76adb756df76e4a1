//! The table of a run and of two runs; odd, empty and huge runs.

use groma_report::{Error, Headline, Options, Reading, RunsCompared, Size, compare_runs, render, write_report};
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
        factors: Default::default(),
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
    for columns in [80, 60, 120, 40] {
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
    let compared = two(&first, &second);
    let headline = compared.headline.clone().unwrap();
    let change = headline.rows[0].change.as_ref().unwrap();
    assert!(change.paired && change.n == 100);
    assert!((change.difference - 0.4).abs() < 1e-12);
    assert!(change.p_value.unwrap() < 1e-6 && change.method.contains("McNemar"));
    assert_eq!((headline.rows[0].reading, headline.rows[0].size), (Reading::Better, Some(Size::Large)));
    assert_eq!(headline.verdict, "Overall: B is clearly much better than A on quiz acc.");
    assert_eq!(two(&second, &first).headline.unwrap().verdict, "Overall: A is clearly much worse than B on quiz acc.");
    insta::assert_snapshot!("two_runs", compared.to_text(80, 3));

    let elsewhere = crate::runs::run_of_items(&root.path().join("c"), "C", &ids(500), &scores(10));
    let headline = two(&first, &elsewhere).headline.unwrap();
    let change = headline.rows[0].change.as_ref().unwrap();
    assert!(!change.paired && (Number(change.difference) == Number(0.4)));
    assert!(headline.notes[0].contains("share no items"), "{:?}", headline.notes);

    let half = crate::runs::run_of_items(&root.path().join("d"), "D", &ids(50), &scores(10));
    let compared = two(&first, &half);
    let notes = compared.headline.unwrap().notes;
    assert!(notes[0].contains("over the 50 items that both have"), "{notes:?}");
    assert_eq!((compared.shared[0].shared, compared.shared[0].first, compared.shared[0].second), (50, 100, 100));
}

fn two(first: &RunRecords, second: &RunRecords) -> RunsCompared {
    compare_runs(&[first.clone(), second.clone()], None).unwrap()
}

#[test]
fn a_run_is_not_better_than_itself() {
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..40).map(|i| i.to_string()).collect();
    let scores: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let run = crate::runs::run_of_items(&root.path().join("a"), "A", &ids, &scores);
    let compared = two(&run, &run);
    assert_eq!(compared.runs, ["A", "A (2)"]);
    assert_eq!((compared.shared[0].shared, compared.shared[0].first), (40, 40));
    let row = &compared.headline.as_ref().unwrap().rows[0];
    assert_eq!((row.reading, row.change.as_ref().unwrap().n), (Reading::NoClearChange, 40));
    assert!(compared.settings.is_empty() && compared.answers[0].of_task.changed == 0, "{compared:?}");
}

#[test]
fn of_many_runs_the_best_is_marked_where_it_is_clear() {
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    let right = |many: usize| (0..100).map(|i| f64::from(u8::from(i < many))).collect::<Vec<_>>();
    let run = |name: &str, many: usize| crate::runs::run_of_items(&root.path().join(name), name, &ids, &right(many));
    let clear = compare_runs(&[run("a", 40), run("b", 45), run("c", 90)], None).unwrap();
    let standing = clear.standing.as_ref().unwrap();
    assert_eq!(standing.rows[0].best, Some(2));
    assert!(standing.verdict.contains("c is clearly the best on quiz acc"), "{}", standing.verdict);
    insta::assert_snapshot!("three_runs", clear.to_text(80, 1));
    let unclear = compare_runs(&[run("d", 40), run("e", 89), run("f", 90)], None).unwrap();
    let standing = unclear.standing.as_ref().unwrap();
    assert_eq!(standing.rows[0].best, None, "{standing:?}");
    assert!(standing.verdict.contains("no clear best on quiz acc"), "{}", standing.verdict);
    let answers = &unclear.answers[1].of_task;
    assert_eq!((answers.changed, answers.better, answers.worse, answers.shared), (50, 50, 0, 100));
    for columns in [40, 60, 80, 120, 200] {
        let text = unclear.to_text(columns, 3);
        assert!(text.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= columns), "{columns}: {text}");
    }
}

#[test]
fn what_the_effect_is_stands_beside_its_certainty() {
    let of = |subject: &str, value: f64| Measurement {
        higher_is_better: Some(false),
        group: Group::Capability,
        ..Measurement::new(subject, "perplexity", "word_perplexity", value, 40)
    };
    let found = Comparison {
        metric: "word_perplexity".into(),
        interval: interval(-5.0e5, -4.0e5),
        ..comparison("perplexity", 1.8e7, 1.755e7, 0.0, 40)
    };
    let headline = Headline::of_run(&records(vec![of("before", 1.8e7), of("after", 1.755e7)], vec![found]));
    assert_eq!((headline.rows[0].reading, headline.rows[0].size), (Reading::Better, Some(Size::Negligible)));
    assert_eq!(headline.verdict, "Capability: clearly but negligibly better on perplexity word_perplexity.");
    let text = headline.to_text(100);
    assert!(text.contains("1.80e7") && text.contains("1.76e7") && text.contains("better, negligible"), "{text}");
}

#[test]
fn a_verdict_says_what_was_not_measured_and_which_control_moved() {
    let mut rows = Vec::new();
    for (subject, shift) in [("before", 0.0), ("after", 0.5)] {
        rows.push(share(subject, "refusal", 0.1 + shift, 200, Group::Alignment, Some(true)));
        rows.push(share(subject, "coin", 0.3 + shift, 200, Group::Control, None));
    }
    let headline = Headline::of_run(&records(rows, Vec::new()));
    assert!(headline.verdict.contains("No capability was measured"), "{}", headline.verdict);
    assert!(headline.verdict.contains("A control moved clearly"), "{}", headline.verdict);
    assert!(headline.verdict.contains("coin rate"), "{}", headline.verdict);
}

#[test]
fn factors_choose_the_comparison() {
    let with = |subject: &str, budget: &str, value: f64| Measurement {
        factors: [("budget".to_owned(), budget.to_owned())].into(),
        ..share(subject, "attack", value, 100, Group::Alignment, Some(false))
    };
    let of = |budget: &str, after: f64| Comparison {
        factors: [("budget".to_owned(), budget.to_owned())].into(),
        ..comparison("attack", 0.5, after, 0.05, 100)
    };
    let measured =
        vec![with("before", "1", 0.5), with("before", "2", 0.5), with("after", "1", 0.2), with("after", "2", 0.9)];
    let headline = Headline::of_run(&records(measured, vec![of("1", 0.2), of("2", 0.9)]));
    let readings: Vec<_> = headline.rows.iter().map(|row| row.reading).collect();
    assert_eq!(readings, [Reading::Better, Reading::Worse]);
}

#[test]
fn two_runs_without_anything_in_common() {
    let empty = records(Vec::new(), Vec::new());
    let error = compare_runs(&[typical(), empty], None).unwrap_err();
    assert!(matches!(error, Error::NothingInCommon { .. }) && error.class() == Class::NothingRan);
    let error = compare_runs(&[typical(), typical()], Some("later")).unwrap_err();
    assert_eq!(error.to_string(), "table has no measurements of \"later\"; it has those of before, after");
    let same = compare_runs(&[typical(), typical()], Some("before")).unwrap().headline.unwrap();
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
fn a_run_of_attacks_alone_says_where_its_numbers_are() {
    let attacked = groma_run::Measurement::new("attack", "gcg", "attack_success", 0.5, 24);
    let attacked = groma_run::Measurement { pillar: groma_run::Pillar::Attack, ..attacked };
    let headline = Headline::of_run(&records(vec![attacked], Vec::new()));
    assert!(headline.rows.is_empty() && headline.verdict.contains("1 number of attacks"), "{}", headline.verdict);
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
    let text = headline.to_text(80);
    assert!(text.contains("50.0%") && text.contains("[45.0%, 55.0%]") && !text.contains("change"), "{text}");
}

#[test]
fn any_terminal_has_the_whole_table() {
    for columns in 40..=200 {
        let text = Headline::of_run(&typical()).to_text(columns);
        let widest = text.lines().map(unicode_width::UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= columns && text.contains("+80.0 [+74.0, +86.0]"), "{columns}: {text}");
    }
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

#[test]
fn a_page_names_all_data_and_says_what_its_curves_are() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    crate::runs::run_with(&path, "word");
    let run = groma_run::RunDirectory::resume(&path).unwrap();
    let mut manifest = run.read_manifest().unwrap().unwrap();
    for name in ["first.jsonl", "second.txt"] {
        let digest = groma_run::Digest::of_bytes(name.as_bytes());
        let (role, name) = ("data".to_owned(), name.to_owned());
        manifest.set_input(groma_run::Input { role, name, revision: None, digest, bytes: None, note: None });
    }
    run.write_manifest(&manifest).unwrap();
    let metrics = |loss: f64| [("loss".to_owned(), loss), ("eval_accuracy".to_owned(), 1.0)].into();
    for step in [10, 20, 30] {
        run.run_recorder().metrics(step, metrics(1.0 / step as f64));
    }
    drop(run);
    let page = render(&RunRecords::read(&path).unwrap(), &Options::default());
    assert!(page.contains("first.jsonl, second.txt</dd>"), "the header names every file of data");
    assert!(page.contains("the last is that of steps 21 to 30"), "a point of a window says so");
    assert!(page.contains("id=\"pages\"") && page.contains("nth-child(-n+4)"), "samples are paged, and few on paper");
}

#[test]
fn two_points_are_a_table_and_no_empty_charts() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    let clock = groma_run::ManualClock::new(groma_run::Timestamp::from_second(1_700_000_000).unwrap());
    let run = groma_run::RunDirectory::create_on(&path, Disk::files(), std::sync::Arc::new(clock)).unwrap();
    let manifest = Manifest::new("short", vec!["groma".into()], serde_json::json!({}), 1, 1, &**run.clock());
    run.write_manifest(&manifest).unwrap();
    for step in [1, 2] {
        run.run_recorder().metrics(step, [("loss".to_owned(), 0.5), ("grad_norm".to_owned(), 2.0)].into());
    }
    drop(run);
    let page = render(&RunRecords::read(&path).unwrap(), &Options::default());
    assert!(page.contains("Too few steps were logged for curves") && page.contains("step 2"));
    assert!(!page.contains("<figure class=\"chart\""));
}

#[test]
fn nothing_stutters() {
    let named = |task: &str, metric: &str| Measurement {
        metric: metric.into(),
        ..share("m", task, 0.5, 50, Group::Alignment, Some(true))
    };
    let rows = vec![named("refusal", "refusal"), named("over-refusal", "over_refusal"), named("quiz", "acc")];
    let records = records(rows, Vec::new());
    let (page, text) = (render(&records, &Options::default()), Headline::of_run(&records).to_text(80));
    assert!(!text.contains("refusal refusal") && !text.contains("over-refusal over_refusal"), "{text}");
    assert_eq!(page.matches("<span class=\"metric\">acc</span>").count(), 1);
    assert!(!page.contains("<span class=\"metric\">refusal</span>"));
}

//! Small runs, written to disk as a real one would be.

use groma_run::figure::{Heat, Lines, Mark, Path as Way, Paths, Point, Series};
use groma_run::{
    Check, CheckKind, Disk, Drawing, EventKind, Figure, Finding, Finished, Group, Input, Interval, Item, Manifest,
    ManualClock, Measurement, Pillar, RunDirectory, RunRecords, Sample, Severity, Side, StageEntry, StageKey, Status,
    Timestamp, TrainingSample, Unit,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A run whose every text holds `word`.
pub(crate) fn run_with(path: &Path, word: &str) -> RunRecords {
    let run = new_run(path, word);
    let key = StageKey::new(&format!("stage {word}"), 1);
    let recorder = run.recorder(&key);
    let owned = || word.to_owned();
    for step in 1..=3 {
        let metrics = [("loss", 0.5), (word, 2.0)].map(|(name, value)| (name.to_owned(), value / step as f64));
        recorder.metrics(step, metrics.into());
    }
    for (subject, value) in [("before", 0.25), ("after", 0.75)] {
        let interval = Interval { low: value - 0.1, high: value + 0.1, level: 0.95, method: owned() };
        for group in [Group::Alignment, Group::Capability] {
            let task = format!("{group:?} {word}");
            let measurement = Measurement {
                interval: Some(interval.clone()),
                mode: owned(),
                group,
                unit: Unit::Share,
                higher_is_better: Some(true),
                note: Some(owned()),
                samples: Some(format!("samples/{word}")),
                ..Measurement::new(subject, &task, word, value, 50)
            };
            recorder.measure(measurement).unwrap();
        }
    }
    for pillar in [Pillar::Attack, Pillar::Inner] {
        let interval = Some(Interval { low: 0.1, high: 0.4, level: 0.95, method: owned() });
        let factors = [(owned(), owned())].into();
        let found = Measurement::new(word, word, &format!("of {word}"), 0.3, 9);
        let found = Measurement { pillar, planted: Some(0.3), interval, factors, note: Some(owned()), ..found };
        recorder.measure(found).unwrap();
    }
    drawings(word).into_iter().for_each(|figure| recorder.figure(figure));
    let side = |refused: bool| {
        let flags = BTreeMap::from([("refused".to_owned(), refused), (owned(), true)]);
        let scores = [(owned(), f64::NAN)].into();
        Some(Side { text: format!("answer {word}"), scores, flags, truncated: true, error: Some(owned()) })
    };
    let sample = Sample {
        task: owned(),
        id: owned(),
        prompt: format!("prompt {word}"),
        before: side(false),
        after: side(true),
        reference: Some(format!("reference {word}")),
        labels: vec![owned()],
    };
    recorder.samples(word, &[sample]).unwrap();
    let answer = |step, text: &str| TrainingSample {
        step,
        id: owned(),
        prompt: format!("asked {word}"),
        text: format!("{text} {word}"),
        truncated: true,
        reference: Some(format!("in the data {word}")),
    };
    recorder.training_samples(&[answer(0, "early"), answer(5, "late"), answer(9, "late")]).unwrap();
    let (check, message, remedy, places) = (owned(), owned(), Some(owned()), vec![owned()]);
    recorder.finding(Finding { check, severity: Severity::Warning, count: 1, total: 2, message, places, remedy });
    let (name, expected, found) = (owned(), owned(), owned());
    let kind = CheckKind::NullControl;
    recorder.check(Check { name, kind, passed: Some(false), expected, found, value: Some(f64::INFINITY) });
    recorder.message(EventKind::Warning, word);
    finish(run, &key, word)
}

/// A picture of each form.
fn drawings(word: &str) -> Vec<Figure> {
    let owned = || word.to_owned();
    let heat = Heat::of([word, word], vec![owned(), owned()], vec![owned()], &[vec![0.5], vec![-1.0]]);
    let heat = Heat { texts: vec![vec![owned()], vec![owned()]], ..heat };
    let points = vec![Point::new(1.0, 0.5, Some((0.2, 0.7))), Point::new(2.0, f64::NAN, None)];
    let lines = Lines { x: owned(), y: owned(), unit: Unit::Share, series: vec![Series { name: owned(), points }] };
    let marks = vec![Mark { cell: [1, 1], name: format!("x{word}") }];
    let paths = vec![Way { name: owned(), cells: vec![[0, 0], [1, 0], [9, 9]] }];
    let world = Paths { width: 2, height: 2, walls: vec![[0, 1]], marks, paths };
    let figure = |(number, drawing): (usize, Drawing)| {
        let title = format!("{number} {word}");
        Figure { pillar: Pillar::Interpretability, title, caption: owned(), drawing }
    };
    [Drawing::Heat(heat), Drawing::Lines(lines), Drawing::Paths(world)].into_iter().enumerate().map(figure).collect()
}

fn new_run(path: &Path, word: &str) -> RunDirectory {
    let clock = ManualClock::new(Timestamp::from_second(1_700_000_000).unwrap());
    let run = RunDirectory::create_on(path, Disk::files(), Arc::new(clock)).unwrap();
    run.write_manifest(&manifest(word, &run)).unwrap();
    run
}

fn manifest(word: &str, run: &RunDirectory) -> Manifest {
    let config = serde_json::json!({ word: [word, { "deep": word }] });
    let mut manifest = Manifest::new(word, vec!["groma".into(), word.into()], config, 1, 1, &**run.clock());
    manifest.groma = word.into();
    manifest.machine.cpu = Some(word.into());
    manifest.machine.system = word.into();
    manifest.machine.cpu_features = vec![word.into()];
    manifest.machine.cores = 2;
    manifest.machine.memory_bytes = Some(8 << 30);
    manifest.seeds.insert(word.into(), 2);
    manifest.notes = vec![word.into()];
    manifest.error = Some(word.into());
    manifest.status = Status::Failed;
    for role in ["model", word] {
        let (name, revision, note) = (word.to_owned(), Some(word.to_owned()), Some(word.to_owned()));
        let digest = groma_run::Digest::of_bytes(b"x");
        manifest.inputs.push(Input { role: role.into(), name, revision, digest, bytes: Some(5), note });
    }
    manifest
}

fn finish(run: RunDirectory, key: &StageKey, word: &str) -> RunRecords {
    run.finish_stage(key, Finished { seconds: 2.0, tokens: 10, ..Finished::default() }).unwrap();
    let mut manifest = manifest(word, &run);
    let (name, key) = (key.name().to_owned(), key.digest());
    manifest.set_stage(StageEntry { name, key, status: Status::Done, seconds: 2.0, tokens: 10 });
    run.write_manifest(&manifest).unwrap();
    RunRecords::read(run.path()).unwrap()
}

/// A run that measured one task on one side: which items score is given, and with which ids.
pub(crate) fn run_of_items(path: &Path, name: &str, ids: &[String], scores: &[f64]) -> RunRecords {
    let run = new_run(path, name);
    let key = StageKey::new("measure", 1);
    let recorder = run.recorder(&key);
    let items: Vec<_> = ids
        .iter()
        .zip(scores)
        .map(|(id, score)| Item { id: id.clone(), scores: [("acc".to_owned(), *score)].into(), ..Item::default() })
        .collect();
    let value = scores.iter().sum::<f64>() / scores.len() as f64;
    let measurement = Measurement {
        samples: Some(recorder.items("after", "quiz", &items).unwrap()),
        interval: Some(Interval { low: value - 0.1, high: value + 0.1, level: 0.95, method: "wilson".into() }),
        unit: Unit::Share,
        higher_is_better: Some(true),
        ..Measurement::new("after", "quiz", "acc", value, scores.len() as u64)
    };
    recorder.measure(measurement).unwrap();
    finish(run, &key, name)
}

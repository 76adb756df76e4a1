//! One owner, records that come back, stages that are not done twice.

#![cfg(test)]

use groma_run::{
    Clock, Error, Event, EventKind, Finished, Item, Manifest, ManualClock, Measurement, RunDirectory, RunRecords,
    Sample, Side, StageEntry, StageKey, Status, Timestamp,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Barrier};

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_second(1_700_000_000).unwrap())
}

fn manifest(name: &str) -> Manifest {
    Manifest::new(name, vec!["groma".into(), "run".into()], serde_json::json!({"beta": 0.1}), 7, 2, &clock())
}

fn new_run(path: &Path) -> RunDirectory {
    let run = RunDirectory::create(path).unwrap();
    run.write_manifest(&manifest("test")).unwrap();
    run
}

#[test]
fn exactly_one_of_many_gets_a_new_directory() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..30 {
        let path = root.path().join(format!("run-{round}"));
        let barrier = Barrier::new(8);
        let attempt = || {
            barrier.wait();
            let result = RunDirectory::create(&path);
            barrier.wait(); // the winner holds it until all have tried
            result.map(|_| ()).map_err(|error| error.to_string())
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(attempt)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let losers: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(losers.len(), 7);
        let holder = format!("is in use by process {} on ", std::process::id());
        assert!(losers.iter().all(|error| error.contains(&holder)), "{losers:?}");
    }
    let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 30, "nothing but the runs: {left:?}");
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("precious");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("thesis.tex"), "words").unwrap();
    assert!(matches!(RunDirectory::create(&path), Err(Error::Exists { .. })));
    assert!(matches!(RunDirectory::resume(&path), Err(Error::NotARun { .. })));
    assert!(matches!(RunDirectory::create_or_resume(&path), Err(Error::Exists { .. })));
    let names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.tex"]);
}

#[test]
fn a_run_is_resumed_by_one_at_a_time_and_a_dead_holder_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    let run = new_run(&path);
    assert!(matches!(RunDirectory::create(&path), Err(Error::InUse { .. })));
    assert!(matches!(RunDirectory::resume(&path), Err(Error::InUse { .. })));
    drop(run);
    assert!(matches!(RunDirectory::create(&path), Err(Error::Exists { .. })));
    assert!(RunDirectory::resume(&path).unwrap().taken_over().is_none());
    // What a process leaves that is killed: its name in the lock file, and no lock.
    std::fs::write(path.join("lock"), r#"{"pid":4194305,"host":"elsewhere","since":"2026-01-01T00:00:00Z"}"#).unwrap();
    let run = RunDirectory::create_or_resume(&path).unwrap();
    assert_eq!(run.taken_over().unwrap().to_string(), "process 4194305 on elsewhere since 2026-01-01T00:00:00Z");
}

#[test]
fn leftovers_are_cleared_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    drop(new_run(&path));
    std::fs::create_dir(path.join("checkpoints/.step-20.partial-999-0")).unwrap();
    std::fs::write(path.join("checkpoints/.step-20.partial-999-0/weights"), "half").unwrap();
    std::fs::write(path.join(".report.html.partial-999-1"), "half").unwrap();
    std::fs::write(path.join("checkpoints/.keep"), "not ours").unwrap();
    let events = std::fs::read(path.join("events.jsonl")).unwrap();
    std::fs::write(path.join("events.jsonl"), [&events[..], b"{\"time\":"].concat()).unwrap();
    let run = RunDirectory::resume(&path).unwrap();
    assert_eq!(run.repairs().len(), 3, "{:?}", run.repairs());
    assert!(path.join("checkpoints/.keep").exists());
    assert!(!path.join(".report.html.partial-999-1").exists());
    assert_eq!(std::fs::read(path.join("events.jsonl")).unwrap(), events);
}

#[test]
fn stages_are_done_again_only_when_something_changed() {
    let root = tempfile::tempdir().unwrap();
    let run = new_run(&root.path().join("run"));
    let key = |beta: f64| StageKey::new("train", 1).config(&serde_json::json!({"beta": beta, "steps": 3})).unwrap();
    assert!(run.standing(&key(0.1)).unwrap().done().is_none());
    let mut model = run.directory("model").unwrap();
    model.write("config.json", b"{}").unwrap();
    model.commit().unwrap();
    let result = serde_json::json!({"loss": 0.5});
    let finished = Finished { seconds: 1.5, tokens: 10, outputs: vec!["model".into()], result, ..Finished::default() };
    let record = run.finish_stage(&key(0.1), finished).unwrap();
    assert_eq!(run.standing(&key(0.1)).unwrap().done(), Some(record));
    assert!(run.standing(&key(0.2)).unwrap().done().is_none());
    let other_input = key(0.1).input("model", groma_run::Digest::of_bytes(b"x"));
    assert!(run.standing(&other_input).unwrap().done().is_none());
    std::fs::write(run.path().join("model/config.json"), "{ }").unwrap();
    assert!(run.standing(&key(0.1)).unwrap().done().is_none(), "an output was changed");
    let outside = Finished { outputs: vec!["../other".into()], ..Finished::default() };
    assert!(matches!(run.finish_stage(&key(0.1), outside), Err(Error::Outside { .. })));
}

#[test]
fn rows_come_back_and_later_ones_replace_earlier_ones() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    let run = new_run(&path);
    let (old, new) = (StageKey::new("train", 1), StageKey::new("train", 2));
    let metrics = |loss: f64| BTreeMap::from([("loss".to_owned(), loss)]);
    run.recorder(&old).metrics(1, metrics(9.0));
    let recorder = run.recorder(&new);
    recorder.metrics(1, metrics(3.0));
    recorder.metrics(2, metrics(f64::NAN));
    recorder.metrics(1, metrics(2.0));
    run.run_recorder().message(EventKind::Note, "hello");
    recorder.measure(Measurement::new("before", "village", "acc", f64::INFINITY, 3)).unwrap();
    recorder.measure(Measurement::new("before", "village", "acc", 0.25, 4)).unwrap();
    drop(run);

    let mut manifest = manifest("test");
    let cases = [
        (Some(&new), vec![2.0, f64::NAN], vec![(0.25, 4)]),
        (Some(&old), vec![9.0], vec![]),
        (None, vec![2.0, f64::NAN], vec![(0.25, 4)]),
    ];
    for (current, losses, measured) in cases {
        manifest.stages.clear();
        if let Some(key) = current {
            let (name, key) = (key.name().to_owned(), key.digest());
            manifest.set_stage(StageEntry { name, key, status: Status::Done, seconds: 0.0, tokens: 0 });
        }
        RunDirectory::resume(&path).unwrap().write_manifest(&manifest).unwrap();
        let records = RunRecords::read(&path).unwrap();
        let found: Vec<_> = records.events.iter().filter_map(|event| event.metrics.get("loss")).copied().collect();
        assert_eq!(format!("{found:?}"), format!("{losses:?}"));
        assert!(records.events.iter().any(|event| event.message.as_deref() == Some("hello")));
        assert!(records.warnings.is_empty());
        let values: Vec<_> = records.measurements.iter().map(|row| (row.value, row.n)).collect();
        assert_eq!(values, measured);
    }
}

#[test]
fn samples_and_items_come_back() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    let run = new_run(&path);
    let recorder = run.recorder(&StageKey::new("samples", 1));
    let side = |text: &str| Some(Side { text: text.into(), ..Side::default() });
    let samples: Vec<_> = (0..100)
        .map(|i| Sample {
            task: "t/1".into(),
            id: i.to_string(),
            before: side("a"),
            after: side("b"),
            ..Sample::default()
        })
        .collect();
    let items: Vec<_> = (0..9)
        .map(|i| Item { id: i.to_string(), scores: [("x".into(), 1.0 / f64::from(i))].into(), ..Item::default() })
        .collect();
    recorder.samples("t/1", &samples).unwrap();
    let items_file = recorder.items("before", "t/1", &items).unwrap();
    drop(run);
    let records = RunRecords::read(&path).unwrap();
    assert_eq!(records.sample_files().len(), 1);
    let back: Vec<_> = records.samples(records.sample_files()[0]).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(back, samples);
    let back: Vec<_> = records.items(&items_file).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(back, items);
    assert!(matches!(records.items("../../etc/passwd"), Err(Error::Outside { .. })));
}

#[test]
fn what_a_later_version_wrote_is_told() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    drop(new_run(&path));
    let written = std::fs::read_to_string(path.join("manifest.json")).unwrap();
    // A later version has a seal of its own.
    let mut unsealed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&written).unwrap();
    unsealed.remove("seal").unwrap();
    let text = serde_json::to_string_pretty(&unsealed).unwrap();
    let write = |text: &str| std::fs::write(path.join("manifest.json"), text).unwrap();
    write(&text.replace("\"seed\": 7", "\"seed\": 7, \"mood\": 1"));
    let records = RunRecords::read(&path).unwrap();
    assert_eq!(records.warnings, ["manifest.json: the field mood is not known here"]);
    write(&text.replace("\"format\": 1", "\"format\": 2"));
    assert!(matches!(RunRecords::read(&path), Err(Error::Newer { found: 2, .. })));
    write("{");
    assert!(matches!(RunRecords::read(&path), Err(Error::Corrupt { .. })));
    write(&text);
    let event = serde_json::to_string(&Event::new(EventKind::Note)).unwrap();
    let lines = [event.replace("note", "party"), "rubbish".into(), event, "{\"torn".into()].join("\n");
    std::fs::write(path.join("events.jsonl"), lines).unwrap();
    let records = RunRecords::read(&path).unwrap();
    let kinds: Vec<_> = records.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Other, EventKind::Note]);
    assert!(records.warnings[0].starts_with("events.jsonl, line 2 was left out"), "{:?}", records.warnings);
}

#[test]
fn the_clock_is_the_callers() {
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(clock());
    let run = RunDirectory::create_on(&root.path().join("run"), groma_run::Disk::files(), clock.clone()).unwrap();
    clock.advance(std::time::Duration::from_secs(60));
    run.write_manifest(&manifest("test")).unwrap();
    run.run_recorder().message(EventKind::Note, "late");
    let path = run.path().to_owned();
    assert_eq!(RunRecords::read(&path).unwrap().events[0].time, clock.now());
    assert_eq!(clock.elapsed().as_secs(), 60);
}

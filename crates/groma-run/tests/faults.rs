//! Every single operation on the disk fails once, and then for good; what was there stays whole.

#![cfg(test)]

use groma_run::atomic::{self, AtomicDirectory, verify_directory};
use groma_run::{
    Class, Classify, Disk, Error, Fault, FaultyDisk, Files, Finished, Journal, Manifest, Measurement, RunDirectory,
    RunRecords, StageKey, SyncPolicy, SystemClock, read_journal,
};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

const KINDS: [ErrorKind; 3] = [ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::Other];

/// Runs `work` with operation 1, 2, ... failing until it passes untouched; returns how many operations it takes.
fn sweep(mut work: impl FnMut(&FaultyDisk, Fault)) -> u64 {
    for kind in KINDS {
        for sticky in [false, true] {
            for operation in 1.. {
                assert!(operation < 1000, "the work does not end");
                let fault = Fault { operation, kind, sticky };
                let disk = FaultyDisk::new(fault);
                work(&disk, fault);
                if disk.operations() < operation {
                    break;
                }
            }
        }
    }
    let disk = FaultyDisk::new(Fault { operation: u64::MAX, kind: ErrorKind::Other, sticky: false });
    work(&disk, Fault { operation: u64::MAX, kind: ErrorKind::Other, sticky: false });
    disk.operations()
}

fn check_class(error: &Error, fault: Fault) {
    let expected = if fault.kind == ErrorKind::StorageFull { Class::Resources } else { Class::Usage };
    assert_eq!(error.class(), expected, "{error}");
    if fault.kind != ErrorKind::Other {
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_file_is_what_it_was_or_what_it_should_be() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    let operations = sweep(|disk, fault| {
        std::fs::write(&path, "old").unwrap();
        let result = atomic::write_file(&disk.files(), &path, b"new content");
        let found = std::fs::read_to_string(&path).unwrap();
        match result {
            Ok(()) => assert_eq!(found, "new content"),
            Err(error) => {
                check_class(&error, fault);
                assert!(["old", "new content"].contains(&&*found), "{found}");
            }
        }
        atomic::recover(&Disk::files(), root.path()).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    });
    assert_eq!(operations, 5, "create, write, sync, rename, sync of the directory");
}

fn write_model(files: &Files, path: &Path, text: &[u8]) -> Result<(), Error> {
    let mut directory = AtomicDirectory::create_on(files, path)?;
    directory.write("config.json", text)?;
    directory.write("shards/weights.bin", &[7; 1000])?;
    directory.commit()
}

#[test]
fn a_directory_is_what_it_was_or_what_it_should_be() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("model");
    sweep(|disk, fault| {
        let _ = std::fs::remove_dir_all(&path);
        write_model(&Disk::files(), &path, b"old").unwrap();
        let result = write_model(&disk.files(), &path, b"new");
        atomic::recover(&Disk::files(), root.path()).unwrap();
        verify_directory(&path).unwrap();
        let found = std::fs::read_to_string(path.join("config.json")).unwrap();
        match result {
            Ok(()) => assert_eq!(found, "new"),
            Err(error) => {
                check_class(&error, fault);
                assert!(["old", "new"].contains(&&*found), "{found}");
            }
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    });
}

#[test]
fn a_directory_caught_between_two_names_gets_its_name() {
    let root = tempfile::tempdir().unwrap();
    let files = Disk::files();
    let at = |name: &str| root.path().join(name);
    // Complete: the new one takes the name.
    write_model(&files, &at(".model.previous-1-0"), b"old").unwrap();
    write_model(&files, &at(".model.partial-1-1"), b"new").unwrap();
    atomic::recover(&files, root.path()).unwrap();
    assert_eq!(std::fs::read(at("model/config.json")).unwrap(), b"new");
    std::fs::remove_dir_all(at("model")).unwrap();
    // Damaged: the old one gets it back.
    write_model(&files, &at(".model.previous-1-0"), b"old").unwrap();
    write_model(&files, &at(".model.partial-1-1"), b"new").unwrap();
    std::fs::write(at(".model.partial-1-1/config.json"), "cut").unwrap();
    atomic::recover(&files, root.path()).unwrap();
    assert_eq!(std::fs::read(at("model/config.json")).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("model");
    write_model(&Disk::files(), &path, b"{\"layers\": 2}").unwrap();
    for name in ["config.json", "shards/weights.bin"] {
        let whole = std::fs::read(path.join(name)).unwrap();
        for at in 0..whole.len().min(200) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(path.join(name), &damaged).unwrap();
            assert!(matches!(verify_directory(&path), Err(Error::Corrupt { .. })));
        }
        std::fs::write(path.join(name), &whole[..whole.len() - 1]).unwrap();
        assert!(verify_directory(&path).unwrap_err().to_string().contains("bytes"));
        std::fs::write(path.join(name), &whole).unwrap();
    }
    assert_eq!(verify_directory(&path).unwrap().len(), 2);
    std::fs::write(path.join("digests.json"), r#"{"../../etc/passwd":{"bytes":1,"digest":""}}"#).unwrap();
    assert!(verify_directory(&path).is_err());
}

#[test]
fn a_journal_holds_the_rows_that_were_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("journal.jsonl");
    sweep(|disk, fault| {
        let _ = std::fs::remove_file(&path);
        let mut acknowledged = Vec::new();
        if let Ok((journal, _)) = Journal::open(&disk.files(), &path, SyncPolicy::Rows(3)) {
            for row in 0..10 {
                match journal.append(&row) {
                    Ok(()) => acknowledged.push(row),
                    Err(error) => check_class(&error, fault),
                }
            }
        }
        drop(Journal::open(&Disk::files(), &path, SyncPolicy::EachRow).unwrap());
        let found = read_journal::<i32>(&path).unwrap();
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
        // A row whose sync failed may be there without having been acknowledged.
        assert!(acknowledged.iter().all(|row| found.rows.contains(row)), "{acknowledged:?} {:?}", found.rows);
        assert!(found.rows.windows(2).all(|pair| pair[0] < pair[1]));
        if !fault.sticky && !acknowledged.is_empty() {
            assert!(acknowledged.len() >= 8, "one fault costs at most what it hit: {acknowledged:?}");
        }
    });
}

#[test]
fn a_run_meets_any_fault_without_losing_what_it_had() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    let key = StageKey::new("train", 1);
    let work = |files: Files, resume: bool| -> Result<(), Error> {
        let clock = Arc::new(SystemClock::default());
        let open = if resume { RunDirectory::resume_on } else { RunDirectory::create_on };
        let run = open(&path, files, clock.clone())?;
        run.write_manifest(&Manifest::new("run", Vec::new(), serde_json::Value::Null, 1, 1, &*clock))?;
        let recorder = run.recorder(&key);
        recorder.metrics(1, [("loss".to_owned(), 1.0)].into());
        recorder.measure(Measurement::new("before", "t", "m", 1.0, 1))?;
        let mut model = run.directory("model")?;
        model.write("weights", b"1234")?;
        model.commit()?;
        let finished = Finished { outputs: vec!["model".into()], ..Finished::default() };
        run.finish_stage(&key, finished).map(|_| ())
    };
    let operations = sweep(|disk, fault| {
        let _ = std::fs::remove_dir_all(&path);
        let result = work(disk.files(), false);
        if let Err(error) = &result {
            check_class(error, fault);
        }
        // Started again on a sound disk, it always ends well.
        work(Disk::files(), groma_run::is_run(&path)).unwrap();
        let records = RunRecords::read(&path).unwrap();
        assert_eq!((records.measurements.len(), records.warnings.len()), (1, 0));
        assert_eq!(records.events.len(), 1);
        assert!(RunDirectory::resume(&path).unwrap().standing(&key).unwrap().done().is_some());
    });
    assert!(operations > 30, "{operations}");
}

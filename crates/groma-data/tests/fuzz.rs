//! Damaged files of every kind: an error or rows, never a panic, never more rows than the limits allow.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use groma_data::{Limits, OnBadRow, ReadOptions, Shape, ShapeOptions, read};
use groma_run::Seed;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand_core::Rng;
use tempfile::TempDir;

fn options() -> ReadOptions {
    let limits = Limits { file_bytes: 16 << 20, table_bytes: 16 << 20, free_bytes: 16 << 20, ..Limits::default() };
    ReadOptions { limits, on_bad_row: OnBadRow::Skip { max_share: 1.0 }, ..ReadOptions::default() }
}

/// Reads mutations of a file: bytes flipped, inserted, removed, repeated.
fn survives(name: &str, original: &[u8], mutations: u64) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(name);
    let (mut errors, mut tables) = (0, 0);
    for index in 0..mutations {
        let seed = Seed::new(7).named(name).index(index);
        std::fs::write(&path, mutated(original, seed)).unwrap();
        match catch_unwind(AssertUnwindSafe(|| read_and_shape(&path))) {
            Ok(true) => tables += 1,
            Ok(false) => errors += 1,
            Err(_) => panic!("mutation {index} of {name} panicked"),
        }
    }
    assert!(errors + tables == mutations && errors > 0, "{name}: {errors} errors, {tables} tables");
}

fn read_and_shape(path: &Path) -> bool {
    let Ok(table) = read(path, &options()) else { return false };
    let shape = ShapeOptions { on_bad_row: OnBadRow::Skip { max_share: 1.0 }, ..ShapeOptions::default() };
    table.into_rows(&shape, &[Shape::Preference]).is_ok()
}

fn mutated(original: &[u8], seed: Seed) -> Vec<u8> {
    let mut rng = seed.rng();
    let mut bytes = original.to_vec();
    for _ in 0..1 + rng.next_u64() % 4 {
        let at = (rng.next_u64() % bytes.len().max(1) as u64) as usize;
        let length = (rng.next_u64() % 16) as usize;
        let end = (at + length).min(bytes.len());
        match rng.next_u64() % 6 {
            0 => bytes.truncate(at.max(1)),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.insert(at, rng.next_u64() as u8),
            3 => bytes.extend_from_within(at..end),
            4 if at < bytes.len() => bytes[at] = [0, 0xff, b'"', b'{', b'[', b'\n', 0x7f][length % 7],
            _ if at < bytes.len() => bytes[at] ^= 1 << (length % 8),
            _ => {}
        }
    }
    bytes
}

const ROWS: &str = r#"{"prompt":"p é","chosen":"a","rejected":"b","margin":1.5}
{"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"x"}],"rejected":[{"role":"assistant","content":"y"}]}
"#;

#[test]
fn text_formats_survive() {
    survives("rows.jsonl", ROWS.as_bytes(), 800);
    survives("rows.json", format!("{{\"rows\":[{}]}}", ROWS.trim().replace('\n', ",\n")).as_bytes(), 800);
    survives("rows.csv", b"prompt,chosen,rejected\np,\"a \"\"x\"\"\",b\n\"p\n2\",c,d\n", 800);
    survives("rows.txt", b"one\n\ntwo\n<|endoftext|>", 300);
}

#[test]
fn compressed_formats_survive() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(ROWS.repeat(20).as_bytes()).unwrap();
    survives("rows.jsonl.gz", &gzip.finish().unwrap(), 800);
    survives("rows.jsonl.zst", &zstd::encode_all(ROWS.repeat(20).as_bytes(), 3).unwrap(), 800);
}

type Levels = Option<&'static [i16]>;

#[test]
fn parquet_survives() {
    let schema = "message m {
        OPTIONAL BYTE_ARRAY prompt (STRING);
        REQUIRED BYTE_ARRAY chosen (STRING);
        REQUIRED group rejected (LIST) { REPEATED group list { OPTIONAL BYTE_ARRAY element (STRING); } }
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        let levels: [(Levels, Levels, &[&str]); 3] = [
            (Some(&[1, 0, 1]), None, &["p", "q"]),
            (None, None, &["a", "a", "b"]),
            (Some(&[2, 2, 0, 2, 1]), Some(&[0, 1, 0, 0, 1]), &["x", "y", "z"]),
        ];
        for (definitions, repetitions, values) in levels {
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<ByteArray> = values.iter().map(|value| ByteArray::from(*value)).collect();
            let ColumnWriter::ByteArrayColumnWriter(strings) = column.untyped() else { panic!("a string column") };
            strings.write_batch(&values, definitions, repetitions).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("rows.parquet");
    std::fs::write(&path, &bytes).unwrap();
    let table = read(&path, &options()).unwrap();
    assert_eq!(table.records.len(), 6);
    assert_eq!(
        serde_json::to_string(&table.records[0].fields).unwrap(),
        r#"{"prompt":"p","chosen":"a","rejected":["x","y"]}"#
    );
    assert_eq!(
        serde_json::to_string(&table.records[5].fields).unwrap(),
        r#"{"prompt":"q","chosen":"b","rejected":["z",null]}"#
    );
    survives("rows.parquet", &bytes, 2000);
}

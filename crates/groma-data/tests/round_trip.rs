//! What is written is read back; what the `csv` crate reads, we read.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use std::path::Path;

use groma_data::{
    Fields, Format, Location, OnBadRow, ReadOptions, Record, Shape, ShapeOptions, digest, read, write_jsonl,
};
use proptest::prelude::*;
use serde_json::{Map, Value};
use tempfile::TempDir;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let fields = prop::collection::btree_map("[a-zé\"\\\\ ]{1,6}", value(), 1..5);
    prop::collection::vec(fields, 1..8).prop_map(|rows| {
        let record = |(i, fields): (usize, std::collections::BTreeMap<String, Value>)| Record {
            location: Location::new("rows", i as u64 + 1),
            fields: fields.into_iter().collect::<Map<_, _>>(),
        };
        rows.into_iter().enumerate().map(record).collect()
    })
}

fn read_back(path: &Path) -> Vec<Record> {
    read(path, &ReadOptions { on_bad_row: OnBadRow::Stop, ..ReadOptions::default() }).unwrap().records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn json_lines_come_back(rows in records()) {
        let directory = TempDir::new().unwrap();
        for name in ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst"] {
            let path = directory.path().join(name);
            write_jsonl(&path, &rows).unwrap();
            let back = read_back(&path);
            prop_assert_eq!(digest(&back), digest(&rows));
            prop_assert!(back.iter().zip(&rows).all(|(a, b)| a.fields == b.fields && a.location.line == b.location.line));
        }
        prop_assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn separated_values_are_read_as_the_csv_crate_reads_them(
        rows in prop::collection::vec(prop::collection::vec("[a\"\n\r,é \t]{0,5}", 3), 1..6),
        tabs in any::<bool>(),
        quote_all in any::<bool>(),
    ) {
        let delimiter = if tabs { b'\t' } else { b',' };
        let style = if quote_all { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).quote_style(style).from_writer(Vec::new());
        writer.write_record(["x", "y", "z"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let bytes = writer.into_inner().unwrap();
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("rows");
        std::fs::write(&path, &bytes).unwrap();
        let format = Some(if tabs { Format::Tsv } else { Format::Csv });
        let table = read(&path, &ReadOptions { format, on_bad_row: OnBadRow::Stop, ..ReadOptions::default() }).unwrap();
        let ours: Vec<Vec<&str>> =
            table.records.iter().map(|row| row.fields.values().map(|v| v.as_str().unwrap()).collect()).collect();
        prop_assert_eq!(ours, rows);
    }

    /// Documents in any layout hold the same rows as lines.
    #[test]
    fn json_documents_equal_json_lines(rows in records(), pretty in any::<bool>(), held in any::<bool>()) {
        let fields: Vec<Value> = rows.iter().map(|row| Value::Object(row.fields.clone())).collect();
        let document = if held { serde_json::json!({"note": "[{", "rows": fields, "n": 1}) } else { Value::Array(fields) };
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("rows.json");
        std::fs::write(&path, text.unwrap()).unwrap();
        let back = read_back(&path);
        prop_assert_eq!(digest(&back), digest(&rows));
        prop_assert!(pretty || back.iter().all(|row| row.location.line == 1));
    }
}

#[test]
fn typed_rows_come_back() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pairs.jsonl");
    let text = r#"{"prompt":"p","chosen":"a","rejected":"b","margin":0.25,"id":3}
{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"a","weight":1}],"rejected":[{"role":"assistant","content":"b"}]}"#;
    std::fs::write(&path, text).unwrap();
    let pairs_in = |path: &Path| {
        let table = read(path, &ReadOptions::default()).unwrap();
        table.into_rows(&ShapeOptions::default(), &[Shape::Preference]).unwrap()
    };
    let pairs = pairs_in(&path);
    let copy = directory.path().join("copy.jsonl.gz");
    write_jsonl(&copy, &pairs.rows).unwrap();
    let again = pairs_in(&copy);
    assert_eq!(digest(&again.rows), digest(&pairs.rows));
    assert_eq!(serde_json::to_string(&pairs.rows[0].fields()).unwrap(), text.lines().next().unwrap());
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let directory = TempDir::new().unwrap();
    let row = Record { location: Location::new("x", 1), fields: Map::from_iter([("a".to_owned(), Value::from(1))]) };
    let missing = directory.path().join("none").join("rows.jsonl");
    assert!(write_jsonl(&missing, [&row]).is_err());
    let path = directory.path().join("rows.jsonl");
    write_jsonl(&path, [&row]).unwrap();
    write_jsonl(&path, [&row, &row]).unwrap();
    assert_eq!(read_back(&path).len(), 2, "an existing file is replaced whole");
}

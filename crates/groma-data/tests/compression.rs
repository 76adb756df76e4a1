//! Parquet's compressions: each that is supported is read, and one that is not is named.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use groma_data::{ReadOptions, read};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

const SCHEMA: &str = "message m { REQUIRED BYTE_ARRAY text (STRING); }";

fn write(path: &Path, compression: Compression) {
    let properties = WriterProperties::builder().set_compression(compression).set_dictionary_enabled(false).build();
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let ColumnWriter::ByteArrayColumnWriter(strings) = column.untyped() else { panic!("a string column") };
    let values: Vec<ByteArray> = (0..500).map(|n| ByteArray::from(format!("row {n} of many").as_str())).collect();
    strings.write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn each_supported_compression_is_read() {
    let directory = TempDir::new().unwrap();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        let path = directory.path().join("rows.parquet");
        write(&path, compression);
        let table = read(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{compression}: {error}"));
        assert_eq!((table.records.len(), table.bad.count), (500, 0), "{compression}");
        assert_eq!(table.records[7].fields["text"], "row 7 of many", "{compression}");
    }
}

#[test]
fn brotli_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/brotli.parquet");
    let error = read(&path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("Brotli, which is not supported; write it with snappy, zstd, lz4 or gzip"), "{error}");
}

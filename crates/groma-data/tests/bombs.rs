//! Small files that ask for much: refused by a limit before the memory is spent.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_data::{Error, Limits, OnBadRow, ReadOptions, Result, Table, read};
use parquet::basic::{Compression, Encoding};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

/// Limits of a size that tests reach quickly.
fn small() -> Limits {
    Limits { row_bytes: 1 << 20, file_bytes: 64 << 20, table_bytes: 64 << 20, free_bytes: 4 << 20, ..Limits::default() }
}

fn read_small(path: &Path) -> Result<Table> {
    let options = ReadOptions { limits: small(), on_bad_row: OnBadRow::Skip { max_share: 1.0 }, ..Default::default() };
    read(path, &options)
}

fn refused(path: &Path) -> String {
    match read_small(path) {
        Err(error @ Error::Limit { .. }) => error.to_string(),
        Err(error) => panic!("{}: {error}", path.display()),
        Ok(table) => panic!("{}: {} rows", path.display(), table.records.len()),
    }
}

fn gzip(path: &Path, piece: &[u8], times: usize) {
    let mut encoder = flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::best());
    (0..times).for_each(|_| encoder.write_all(piece).unwrap());
    encoder.finish().unwrap();
}

fn zstandard(path: &Path, piece: &[u8], times: usize) {
    let mut encoder = zstd::Encoder::new(File::create(path).unwrap(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    (0..times).for_each(|_| encoder.write_all(piece).unwrap());
    encoder.finish().unwrap();
}

#[test]
fn compressed_bombs_stop_at_the_cap() {
    let directory = TempDir::new().unwrap();
    let rows = "{\"a\":1}\n".repeat(8192);
    let json = format!("[{}1]", "1,".repeat(32768));
    for (name, piece) in [
        ("rows.jsonl", rows.as_bytes()),
        ("lines.txt", "x\n".repeat(32768).as_bytes()),
        ("one.jsonl", &[b'x'; 65536]),
        ("blank.jsonl", &[b'\n'; 65536]),
        ("rows.csv", "a,b\n".repeat(16384).as_bytes()),
        ("commas.csv", &[b','; 65536]),
        ("rows.json", json.as_bytes()),
    ] {
        let path = directory.path().join(format!("{name}.gz"));
        gzip(&path, piece, 1600);
        let text = if name == "commas.csv" { read_small(&path).unwrap_err().to_string() } else { refused(&path) };
        assert!(text.contains("exceeds the limit") || text.contains("columns"), "{name}: {text}");
        let path = directory.path().join(format!("{name}.zst"));
        zstandard(&path, piece, 1600);
        assert!(read_small(&path).is_err(), "{name}.zst");
    }
}

#[test]
fn an_open_quote_does_not_swallow_the_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("rows.csv");
    std::fs::write(&path, format!("a,b\n1,2\n3,\"{}", "x\n".repeat(4 << 20))).unwrap();
    let error = read_small(&path).unwrap_err().to_string();
    assert!(error.contains("rows.csv:3: the row is longer than 1 MiB (is a quote left open there?)"), "{error}");
}

#[test]
fn streams_cut_short_or_damaged_are_errors_with_a_line() {
    let directory = TempDir::new().unwrap();
    let rows: String = (0..2000).map(|i| format!("{{\"a\":\"{}\"}}\n", i * i * 7919 % 100_003)).collect();
    for (name, write) in [("rows.jsonl.gz", gzip as fn(&Path, &[u8], usize)), ("rows.jsonl.zst", zstandard)] {
        let path = directory.path().join(name);
        write(&path, rows.as_bytes(), 1);
        assert_eq!(read_small(&path).unwrap().records.len(), 2000);
        let whole = std::fs::read(&path).unwrap();
        for cut in [whole.len() / 4, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = read_small(&path).unwrap_err();
            assert!(error.to_string().contains("damaged or cut short"), "{name} cut at {cut}: {error}");
        }
        let mut flipped = whole.clone();
        for byte in &mut flipped[40..60] {
            *byte ^= 0xa5;
        }
        std::fs::write(&path, &flipped).unwrap();
        assert!(read_small(&path).is_err());
    }
}

#[test]
fn several_gzip_members_are_one_file() {
    let directory = TempDir::new().unwrap();
    let (a, b) = (directory.path().join("a.jsonl.gz"), directory.path().join("b.jsonl.gz"));
    gzip(&a, b"{\"a\":1}\n", 1);
    gzip(&b, b"{\"a\":2}\n", 1);
    let both = [std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap()].concat();
    std::fs::write(&a, both).unwrap();
    assert_eq!(read_small(&a).unwrap().records.len(), 2);
}

#[test]
fn row_and_table_limits_hold_to_the_byte() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("rows.jsonl");
    std::fs::write(&path, "{\"a\":1}\n".repeat(10)).unwrap();
    let with = |limits: Limits| read(&path, &ReadOptions { limits, ..ReadOptions::default() });
    assert!(with(Limits { rows: 10, ..Limits::default() }).is_ok());
    assert!(matches!(with(Limits { rows: 9, ..Limits::default() }), Err(Error::Limit { .. })));
    assert!(with(Limits { file_bytes: 80, ..Limits::default() }).is_ok());
    assert!(matches!(with(Limits { file_bytes: 79, ..Limits::default() }), Err(Error::Limit { .. })));
    assert!(with(Limits { row_bytes: 7, ..Limits::default() }).is_ok());
    assert!(matches!(with(Limits { row_bytes: 6, ..Limits::default() }), Err(Error::TooManyBadRows { .. })));
    let bytes = 10 * (80 + 4 * 116 + 32 + 1);
    assert!(with(Limits { table_bytes: bytes, ..Limits::default() }).is_ok());
    assert!(matches!(with(Limits { table_bytes: bytes - 1, ..Limits::default() }), Err(Error::Limit { .. })));
    assert!(matches!(with(Limits { fields: 0, ..Limits::default() }), Err(Error::TooManyBadRows { .. })));
}

/// A Parquet file with one string column.
fn parquet_strings(path: &Path, schema: &str, values: &[ByteArray], reps: Option<&[i16]>, props: WriterProperties) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(props)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let ColumnWriter::ByteArrayColumnWriter(strings) = column.untyped() else { panic!("a string column") };
    let definitions = reps.map(|reps| vec![1; reps.len()]);
    strings.write_batch(values, definitions.as_deref(), reps).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

fn props() -> parquet::file::properties::WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()))
}

const ONE_STRING: &str = "message m { REQUIRED BYTE_ARRAY text (STRING); }";
const STRING_LIST: &str = "message m { REPEATED BYTE_ARRAY text (STRING); }";

fn parquet(directory: &TempDir, name: &str) -> PathBuf {
    directory.path().join(format!("{name}.parquet"))
}

#[test]
fn parquet_dictionaries_cannot_explode() {
    let directory = TempDir::new().unwrap();
    let long = ByteArray::from("x".repeat(100_000).as_str());
    let path = parquet(&directory, "rows");
    parquet_strings(&path, ONE_STRING, &vec![long.clone(); 50_000], None, props().build());
    assert!(std::fs::metadata(&path).unwrap().len() < 10_000, "5 GB in a few kB");
    assert!(refused(&path).contains("memory"));
    let path = parquet(&directory, "one-row");
    let mut repetitions = vec![1_i16; 50_000];
    repetitions[0] = 0;
    parquet_strings(&path, STRING_LIST, &vec![long.clone(); 50_000], Some(&repetitions), props().build());
    assert!(refused(&path).contains("decodes to"), "all in one row");
    let path = parquet(&directory, "delta");
    let delta = props()
        .set_dictionary_enabled(false)
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_encoding(Encoding::DELTA_BYTE_ARRAY)
        .build();
    parquet_strings(&path, STRING_LIST, &vec![long; 5_000], Some(&repetitions[..5_000]), delta);
    assert!(read_small(&path).is_err());
}

#[test]
fn a_parquet_page_that_is_larger_than_it_says_is_not_unpacked() {
    let directory = TempDir::new().unwrap();
    let value = ByteArray::from("y".repeat(3 << 20).as_str());
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let path = parquet(&directory, &format!("{version:?}"));
        let gzip = props().set_compression(Compression::GZIP(Default::default())).set_writer_version(version);
        let props = gzip.set_dictionary_enabled(false).set_encoding(Encoding::PLAIN).build();
        parquet_strings(&path, ONE_STRING, std::slice::from_ref(&value), None, props);
        assert_eq!(read(&path, &ReadOptions::default()).unwrap().records.len(), 1);
        // The size that the page's header claims: its second field, four bytes of a variable-length number.
        let mut bytes = std::fs::read(&path).unwrap();
        let at = 4 + bytes[4..].iter().position(|byte| *byte == 0x15).unwrap() + 3;
        assert_eq!((bytes[at - 1], &bytes[at + 4..at + 5]), (0x15, &[0x15][..]), "{:02x?}", &bytes[..24]);
        // 1000 bytes, written in as many.
        bytes[at..at + 4].copy_from_slice(&[0xd0, 0x8f, 0x80, 0x00]);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("a page that is larger than it says"), "{error}");
    }
}

#[test]
fn parquet_pages_and_rows_are_limited() {
    let directory = TempDir::new().unwrap();
    let path = parquet(&directory, "page");
    let value = ByteArray::from("y".repeat(3 << 20).as_str());
    parquet_strings(&path, ONE_STRING, &[value], None, props().set_dictionary_enabled(false).build());
    let with = |limits: Limits| read(&path, &ReadOptions { limits, ..ReadOptions::default() });
    assert_eq!(with(Limits::default()).unwrap().records.len(), 1);
    let error = with(Limits { parquet_page_bytes: 1 << 20, ..Limits::default() }).unwrap_err().to_string();
    assert!(error.contains("a page of column") && error.contains("1 MiB"), "{error}");
    let error = with(Limits { rows: 0, ..Limits::default() }).unwrap_err().to_string();
    assert!(error.contains("number of rows"), "{error}");
    let error = with(Limits { parquet_footer_bytes: 16, ..Limits::default() }).unwrap_err().to_string();
    assert!(error.contains("the footer"), "{error}");
}

#[test]
fn parquet_schemas_cannot_nest_without_end() {
    let directory = TempDir::new().unwrap();
    let nested = (0..70).fold("REQUIRED INT32 a;".to_owned(), |inner, _| format!("REQUIRED group g {{ {inner} }}"));
    let schema = Arc::new(parse_message_type(&format!("message m {{ {nested} }}")).unwrap());
    let path = parquet(&directory, "deep");
    let writer = SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::new(props().build())).unwrap();
    writer.close().unwrap();
    assert!(refused(&path).contains("nesting of the schema"));
}

#[test]
fn a_footer_that_lies_about_its_length_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = parquet(&directory, "lie");
    for length in [0_u32, 5, 1 << 20, u32::MAX] {
        std::fs::write(&path, [b"PAR1", &length.to_le_bytes()[..], b"PAR1"].concat()).unwrap();
        assert!(matches!(read_small(&path), Err(Error::Damaged { .. })), "{length}");
    }
}

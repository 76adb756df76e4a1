//! Malformed rows: each is named with its place and reason, and never dropped in silence.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use std::path::PathBuf;

use groma_data::{Error, OnBadRow, ReadOptions, Result, RowProblem, Shape, ShapeOptions, Table, read};
use groma_run::{Class, Classify};
use tempfile::TempDir;

const SKIP_ALL: OnBadRow = OnBadRow::Skip { max_share: 1.0 };

fn file(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read_as(name: &str, bytes: &[u8], on_bad_row: OnBadRow) -> Result<Table> {
    let directory = TempDir::new().unwrap();
    read(&file(&directory, name, bytes), &ReadOptions { on_bad_row, ..ReadOptions::default() })
}

/// The one bad row of a file that also holds a good one.
fn one_problem(name: &str, bytes: &[u8]) -> RowProblem {
    let table = read_as(name, bytes, SKIP_ALL).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(table.bad.count, 1, "{name}: {}", table.bad);
    assert_eq!(table.bad.total, table.records.len() as u64 + 1);
    let stopped = read_as(name, bytes, OnBadRow::Stop).unwrap_err();
    assert!(matches!(stopped, Error::BadRows { .. }) && stopped.class() == Class::Usage, "{stopped}");
    table.bad.shown[0].clone()
}

const GOOD: &str = r#"{"prompt":"p","chosen":"a","rejected":"b"}"#;

/// (row, column if known, part of the reason); each row stands between two good ones.
fn bad_json_rows() -> Vec<(Vec<u8>, Option<u64>, &'static str)> {
    let deep = |open: &str, close: &str, n: usize| format!("{{\"a\":{}1{}}}", open.repeat(n), close.repeat(n));
    let text = |row: &str| row.as_bytes().to_vec();
    vec![
        (text("{"), Some(1), "ends inside a JSON value"),
        (text(r#"{"a":"#), None, "ends inside a JSON value"),
        (text(r#"{"a":1"#), None, "ends inside a JSON value"),
        (text(r#"{"a":"x"#), None, "ends inside a JSON value"),
        (text(r#"{"a":"x}"#), None, "ends inside a JSON value"),
        (text(r#"{"a":1,}"#), Some(8), "not valid JSON"),
        (text(r#"{"a" 1}"#), Some(6), "not valid JSON"),
        (text(r#"{a:1}"#), Some(2), "not valid JSON"),
        (text(r#"{'a':1}"#), Some(2), "not valid JSON"),
        (text(r#"{"a":nan}"#), Some(7), "not valid JSON"),
        (text(r#"{"a":NaN,}"#), Some(6), "not valid JSON"),
        (text(r#"{"a":-}"#), Some(7), "not valid JSON"),
        (text(r#"{"a":01}"#), Some(7), "not valid JSON"),
        (text(r#"{"a":.5}"#), Some(6), "not valid JSON"),
        (text(r#"{"a":1e999}"#), None, "number out of range"),
        (text(r#"{"a":-1e999}"#), None, "number out of range"),
        (text(r#"{"a":True}"#), Some(6), "not valid JSON"),
        (text(r#"{"a":tru}"#), None, "not valid JSON"),
        (text(r#"{"a":"\x"}"#), None, "not valid JSON"),
        (text(r#"{"a":"\ud800"}"#), None, "not valid JSON"),
        (text(r#"{"a":"\ud800\ud800"}"#), None, "not valid JSON"),
        (text(r#"{"a":"\u12"}"#), None, "not valid JSON"),
        (text("{\"a\":\"tab\there\"}"), None, "control character"),
        (text("{\"a\":\"nul\0\"}"), None, "control character"),
        (text("\0\0\0\0"), Some(1), "not valid JSON"),
        (b"{\"a\":\"\xff\xfe\"}".to_vec(), Some(7), "0xff is not UTF-8"),
        (b"{\"a\":\"\xc3\"}".to_vec(), Some(7), "0xc3 is not UTF-8"),
        (b"{\"a\":\"\xed\xa0\x80\"}".to_vec(), Some(7), "0xed is not UTF-8"),
        (b"{\"a\":\"\xc0\xaf\"}".to_vec(), Some(7), "0xc0 is not UTF-8"),
        (b"\x80\x04\x95".to_vec(), Some(1), "not UTF-8"),
        (text("\u{feff}{\"a\":1}"), Some(1), "not valid JSON"),
        (text("[1,2]"), None, "expected an object with named fields, found a list"),
        (text("[{\"a\":1}]"), None, "found a list"),
        (text("\"text\""), None, "found a string"),
        (text("17"), None, "found a number"),
        (text("null"), None, "found null"),
        (text("true"), None, "found a boolean"),
        (text("{}"), None, "no fields"),
        (text(r#"{"a":1} {"a":2}"#), Some(9), "something follows"),
        (text(r#"{"a":1}{"a":2}"#), Some(8), "something follows"),
        (text(r#"{"a":1},"#), Some(8), "something follows"),
        (text(r#"{"a":1}]"#), Some(8), "something follows"),
        (text(r#"{"a":1,"a":2}"#), None, "\"a\" occurs twice"),
        (text(r#"{"a":{"b":1,"b":1}}"#), None, "\"b\" occurs twice"),
        (text(r#"{"a":1,"\u0061":2}"#), None, "\"a\" occurs twice"),
        (text("// comment"), Some(1), "not valid JSON"),
        (text("<html>"), Some(1), "not valid JSON"),
        (text("a,b,c"), Some(1), "not valid JSON"),
        (deep("[", "]", 64).into_bytes(), None, "nested too deeply"),
        (deep("{\"a\":", "}", 64).into_bytes(), None, "nested too deeply"),
        (deep("[", "]", 10_000).into_bytes(), None, "nested too deeply"),
        ("[".repeat(100_000).into_bytes(), None, "nested too deeply"),
    ]
}

#[test]
fn json_lines_name_each_bad_row() {
    let rows = bad_json_rows();
    assert!(rows.len() >= 50);
    for (row, column, why) in rows {
        let bytes = [GOOD.as_bytes(), b"\r\n", &row, b"\n", GOOD.as_bytes()].concat();
        let problem = one_problem("rows.jsonl", &bytes);
        let shown = String::from_utf8_lossy(&row[..row.len().min(40)]).into_owned();
        assert_eq!(problem.location.line, 2, "{shown}");
        assert!(problem.why.contains(why), "{shown}: {problem}");
        assert!(column.is_none() || problem.column == column, "{shown}: {problem}");
        assert!(problem.excerpt.chars().count() < 700 && !problem.excerpt.contains(char::is_control), "{problem}");
    }
}

#[test]
fn a_truncated_last_line_is_a_bad_row() {
    let bytes = format!("{GOOD}\n{}", &GOOD[..20]);
    assert_eq!(one_problem("rows.jsonl", bytes.as_bytes()).location.line, 2);
}

#[test]
fn an_overlong_line_is_a_bad_row_and_not_held() {
    let mut bytes = format!("{GOOD}\n{{\"a\":\"").into_bytes();
    bytes.resize(bytes.len() + 100_000_000, b'x');
    bytes.extend_from_slice(format!("\"}}\n{GOOD}\n").as_bytes());
    let problem = one_problem("rows.jsonl", &bytes);
    assert!(problem.why.contains("longer than 32 MiB"), "{problem}");
    assert_eq!(problem.location.line, 2);
}

#[test]
fn marks_line_ends_and_blank_lines_are_no_problem() {
    let bytes = format!("\u{feff}{GOOD}\r\n\r\n   \n{GOOD}\n\n");
    let table = read_as("rows.jsonl", bytes.as_bytes(), OnBadRow::Stop).unwrap();
    assert_eq!((table.records.len(), table.blank_lines, table.bad.count), (2, 3, 0));
    assert_eq!(table.records[1].location.line, 4);
}

#[test]
fn json_documents_name_each_bad_element() {
    for (element, line, why) in [
        ("17", 2, "expected an object or a string, found a number"),
        ("[1]", 2, "found a list"),
        ("null", 2, "found null"),
        ("{}", 2, "no fields"),
        ("{\"a\":1,\"a\":2}", 2, "occurs twice"),
        ("{\n\"a\":1e999}", 3, "number out of range"),
        ("{\"a\":\n\n\"\\x\"}", 4, "not valid JSON"),
        ("nope", 2, "not valid JSON"),
    ] {
        for (head, tail) in
            [("[{\"a\":1},\n", ", {\"a\":2}]"), ("{\"x\": \"[\", \"rows\": [{\"a\":1},\n", ", {\"a\":2}], \"n\": 3}")]
        {
            let problem = one_problem("rows.json", format!("{head}{element}{tail}").as_bytes());
            assert_eq!(problem.location.line, line, "{element}: {problem}");
            assert!(problem.why.contains(why), "{element}: {problem}");
        }
    }
}

#[test]
fn broken_documents_are_errors_with_a_place() {
    for (text, why) in [
        ("[{\"a\":1}", "rows.json:1:9: expected a comma or `]`"),
        ("[{\"a\":1", "ends inside a value"),
        ("[{\"a\":1}\n{\"a\":2}]", "rows.json:2:1: expected a comma or `]`"),
        ("[{\"a\":\"x]", "rows.json:1:7: this string never ends"),
        ("[,]", "rows.json:1:2: expected a value"),
        ("17", "expected an array of rows"),
        ("\"x\"", "expected an array of rows"),
        ("{\"a\" 1}", "rows.json:1:6: expected a colon"),
        ("{a: []}", "expected the quoted name of a field"),
        ("{\"a\":[1}", "rows.json:1:"),
        ("{\"a\":1}", "without an array of rows"),
        ("{\"a\":[],\"b\":[]}", "several arrays (a, b)"),
    ] {
        let error = read_as("rows.json", text.as_bytes(), SKIP_ALL).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let deep = format!("[{}", "[".repeat(1_000_000));
    let error = read_as("rows.json", deep.as_bytes(), SKIP_ALL).unwrap_err().to_string();
    assert!(error.contains("nested too deeply"), "{error}");
}

#[test]
fn documents_have_several_layouts() {
    for text in [
        "[{\"a\":1},{\"a\":2}]",
        "\u{feff}[\r\n{\"a\":1}\r\n,\r\n{\"a\":\"]\"}]\r\n",
        "{\"data\":[{\"a\":1},{\"a\":2}]}",
        "{\"a\":1}\n{\"a\":2}\n",
        "[\"x\", \"y\"]",
    ] {
        assert_eq!(read_as("rows.json", text.as_bytes(), OnBadRow::Stop).unwrap().records.len(), 2, "{text}");
    }
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "rows.json", b"{\"a\":[{\"x\":1}],\"b\":[{\"x\":2},{\"x\":3}]}");
    let options = ReadOptions { array: Some("b".to_owned()), ..ReadOptions::default() };
    assert_eq!(read(&path, &options).unwrap().records.len(), 2);
    let options = ReadOptions { array: Some("c".to_owned()), ..ReadOptions::default() };
    assert!(read(&path, &options).unwrap_err().to_string().contains("holds no array `c`; its arrays are: a, b"));
}

#[test]
fn separated_values_name_each_bad_row() {
    for (row, why) in [
        ("1,2", "2 fields where the header has 3"),
        ("1", "1 fields where the header has 3"),
        ("1,2,3,4", "4 fields where the header has 3"),
        ("\"a\"b,2,3", "text after a closing quote"),
        ("1,\"a\" ,3", "text after a closing quote"),
        ("1,\0,3", "NUL byte"),
    ] {
        let problem = one_problem("rows.csv", format!("a,b,c\n1,2,3\r\n{row}\n4,5,6").as_bytes());
        assert!(problem.why.contains(why), "{row}: {problem}");
        assert_eq!(problem.location.line, 3, "{row}");
    }
    let problem = one_problem("rows.csv", b"a,b\n1,\"x\ny\"\n2,\xff\n");
    assert!(problem.why.contains("0xff is not UTF-8") && problem.location.line == 4, "{problem}");
    let problem = one_problem("rows.csv", b"a,b\n1,2\n3,\"open\nmore\nmore");
    assert!(problem.why.contains("the quote opened at line 3, column 3 never closes"), "{problem}");
    let problem = one_problem("rows.tsv", b"a\tb\n1\t2\n1,2\n");
    assert!(problem.why.contains("1 fields where the header has 2"), "{problem}");
}

#[test]
fn broken_headers_are_errors() {
    for (text, why) in [
        (&b"a,b,a\n1,2,3\n"[..], "names the column \"a\" twice"),
        (b"a,\xff\n1,2\n", "not UTF-8"),
        (b"a,\"b\n1,2\n", "never closes"),
        (b"a\0,b\n1,2\n", "NUL"),
    ] {
        let error = read_as("rows.csv", text, SKIP_ALL).unwrap_err().to_string();
        assert!(error.contains("rows.csv:1: the header") && error.contains(why), "{error}");
    }
}

#[test]
fn files_of_another_kind_are_named() {
    for (name, bytes, why) in [
        ("rows.jsonl", &b"\x1f\x8b\x08\x00"[..], "compressed with gzip"),
        ("rows.csv", b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
        ("rows.jsonl", b"PAR1....", "holds Parquet"),
        ("rows.json", b"PK\x03\x04", "a zip archive"),
        ("rows.txt", b"\xff\xfea\0", "UTF-16"),
        ("rows.jsonl.gz", b"{\"a\":1}", "is not a gzip file"),
        ("rows.jsonl.zst", b"{\"a\":1}", "is not a Zstandard file"),
        ("rows.parquet", b"{\"a\":1}, and more", "is not a Parquet file"),
        ("rows.parquet", b"PAR1", "shorter than any"),
        ("rows.parquet.gz", b"x", "compressed Parquet"),
        ("rows.pkl", b"x", "cannot tell the format"),
    ] {
        let error = read_as(name, bytes, SKIP_ALL).unwrap_err();
        assert!(error.to_string().contains(why), "{name}: {error}");
        assert_eq!(error.class(), Class::Usage);
    }
}

#[test]
fn empty_files_are_errors() {
    for (name, bytes) in [
        ("rows.jsonl", &b""[..]),
        ("rows.jsonl", b"\n \n"),
        ("rows.jsonl", b"\xef\xbb\xbf"),
        ("rows.json", b""),
        ("rows.json", b"[]"),
        ("rows.json", b"{\"rows\":[]}"),
        ("rows.csv", b""),
        ("rows.csv", b"a,b\n"),
        ("rows.tsv", b"a\tb"),
        ("rows.txt", b"\n\n"),
        ("rows.parquet", b""),
        ("rows.jsonl.gz", b""),
    ] {
        assert!(matches!(read_as(name, bytes, SKIP_ALL), Err(Error::Empty { .. })), "{name} {bytes:?}");
    }
    let bad_only = read_as("rows.jsonl", b"x\ny\n", SKIP_ALL).unwrap_err();
    assert!(matches!(bad_only, Error::Empty { .. }), "{bad_only}");
}

#[test]
fn missing_files_and_directories_are_errors() {
    let directory = TempDir::new().unwrap();
    let missing = read(&directory.path().join("none.jsonl"), &ReadOptions::default()).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }) && missing.to_string().contains("none.jsonl"), "{missing}");
    let path = directory.path().join("folder.jsonl");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(read(&path, &ReadOptions::default()), Err(Error::Io { .. })));
}

#[test]
fn a_share_of_bad_rows_is_accepted_and_more_is_not() {
    let rows = |bad: usize| format!("{}{}", "{\"a\":1}\n".repeat(1000 - bad), "oops\n".repeat(bad));
    let table = read_as("rows.jsonl", rows(10).as_bytes(), OnBadRow::default()).unwrap();
    assert_eq!((table.records.len(), table.bad.count, table.bad.shown.len()), (990, 10, 10));
    let error = read_as("rows.jsonl", rows(11).as_bytes(), OnBadRow::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("11 of 1000 rows are bad") && text.contains("and 1 more"), "{text}");
    assert!(text.contains("rows.jsonl:990:1:") && text.contains("1.000 %"), "{text}");
}

/// (rows of JSON, part of the reason) for rows that parse but do not fit their shape.
#[test]
fn rows_that_do_not_fit_their_shape_are_named() {
    let preferences: [(&str, &str); 23] = [
        (r#"{"prompt":"p","chosen":"a"}"#, "no `rejected`"),
        (r#"{"chosen":"a","rejected":"b"}"#, "no `prompt`"),
        (r#"{"prompt":null,"chosen":"a","rejected":"b"}"#, "`prompt` is null"),
        (r#"{"prompt":"","chosen":"a","rejected":"b"}"#, "`prompt` is empty"),
        (r#"{"prompt":"p","chosen":"","rejected":"b"}"#, "`chosen` is empty"),
        (r#"{"prompt":"p","chosen":"a","rejected":""}"#, "`rejected` is empty"),
        (r#"{"prompt":"p","chosen":"a","rejected":"a"}"#, "identical"),
        (
            r#"{"prompt":1,"chosen":"a","rejected":"b"}"#,
            "`prompt` must be a string or a list of messages, found a number",
        ),
        (r#"{"prompt":"p","chosen":{"x":1},"rejected":"b"}"#, "found an object"),
        (r#"{"prompt":"p","chosen":true,"rejected":"b"}"#, "found a boolean"),
        (r#"{"prompt":"p","chosen":["a"],"rejected":"b"}"#, "message 1: expected an object"),
        (
            r#"{"prompt":"p","chosen":[{"role":"assistant","content":"a"}],"rejected":"b"}"#,
            "both be strings or both be lists",
        ),
        (r#"{"prompt":[{"role":"user","content":"p"}],"chosen":"a","rejected":"b"}"#, "`prompt` is a list of messages"),
        (r#"{"prompt":[],"chosen":"a","rejected":"b"}"#, "`prompt` is empty"),
        (
            r#"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"user","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}"#,
            "`chosen` holds no turn of the assistant",
        ),
        (
            r#"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":""}],"rejected":[{"role":"assistant","content":"b"}]}"#,
            "says nothing",
        ),
        (r#"{"prompt":[{"role":"user"}],"chosen":"a","rejected":"b"}"#, "no `content`"),
        (r#"{"prompt":"p","chosen":"a","rejected":"b","margin":"wide"}"#, "`margin` must hold finite numbers"),
        (r#"{"prompt":"p","chosen":"a","rejected":"b","margin":[1]}"#, "`margin`"),
        (r#"{"prompt":"p","chosen":"a","rejected":"b","margin":NaN}"#, "`margin` holds NaN"),
        (r#"{"prompt":"p","chosen":NaN,"rejected":"b"}"#, "`chosen` holds NaN"),
        (
            r#"{"prompt":"p","chosen":[{"role":"user","content":"x"}],"rejected":[{"role":"user","content":"y"}]}"#,
            "share no prefix",
        ),
        (r#"{"completion":"a"}"#, "no `prompt`"),
    ];
    for (row, why) in preferences {
        let problem = one_misfit(&format!("{GOOD}\n{row}\n{GOOD}\n"), |table, options| {
            table.into_rows(options, &[Shape::Preference]).map(|rows| rows.bad)
        });
        assert!(problem.why.contains(why), "{row}: {problem}");
    }
}

#[test]
fn labels_scores_and_steps_are_checked() {
    type Shaping = fn(Table, &ShapeOptions) -> Result<groma_data::BadRows>;
    let labelled: Shaping = |table, options| table.into_rows(options, &[Shape::Labelled]).map(|rows| rows.bad);
    let ranked: Shaping = |table, options| table.into_rows(options, &[Shape::Ranked]).map(|rows| rows.bad);
    let stepwise: Shaping = |table, options| table.into_rows(options, &[Shape::Stepwise]).map(|rows| rows.bad);
    let (l, r, s) = (
        r#"{"prompt":"p","completion":"a","label":true}"#,
        r#"{"prompt":"p","completions":["a","b"],"scores":[1,2]}"#,
        r#"{"prompt":"p","completions":["a","b"],"labels":[true,false]}"#,
    );
    let cases: [(&str, Shaping, &str, &str); 16] = [
        (l, labelled, r#"{"prompt":"p","completion":"a","label":-100}"#, "must be true or false, found a number"),
        (l, labelled, r#"{"prompt":"p","completion":"a","label":1}"#, "found a number"),
        (l, labelled, r#"{"prompt":"p","completion":"a","label":"true"}"#, "found a string"),
        (l, labelled, r#"{"prompt":"p","completion":"a"}"#, "no `kto_tag`"),
        (l, labelled, r#"{"prompt":"p","completion":"","label":true}"#, "`completion` is empty"),
        (r, ranked, r#"{"prompt":"p","completions":["a","b"],"scores":[1]}"#, "2 entries but `scores` has 1"),
        (r, ranked, r#"{"prompt":"p","completions":["a"],"scores":[1]}"#, "at least two"),
        (r, ranked, r#"{"prompt":"p","completions":[],"scores":[]}"#, "at least two"),
        (r, ranked, r#"{"prompt":"p","completions":["a","b"],"scores":[1,null]}"#, "finite numbers, found null"),
        (r, ranked, r#"{"prompt":"p","completions":["a","b"],"scores":[1,NaN]}"#, "finite numbers, found NaN"),
        (r, ranked, r#"{"prompt":"p","completions":["a",""],"scores":[1,2]}"#, "`completions` is empty"),
        (r, ranked, r#"{"prompt":"p","completions":"a","scores":[1,2]}"#, "must be a list, found a string"),
        (s, stepwise, r#"{"prompt":"p","completions":["a","b"],"labels":[true,-100]}"#, "found a number"),
        (s, stepwise, r#"{"prompt":"p","completions":["a"],"labels":[true,true]}"#, "1 entry but `labels` has 2"),
        (s, stepwise, r#"{"prompt":"p","completions":["a",""],"labels":[true,true]}"#, "empty step"),
        (s, stepwise, r#"{"prompt":"","completions":["a"],"labels":[true]}"#, "must not be empty"),
    ];
    for (good, shaping, row, why) in cases {
        let problem = one_misfit(&format!("{good}\n{row}\n{good}\n"), shaping);
        assert!(problem.why.contains(why), "{row}: {problem}");
    }
}

#[test]
fn transcripts_that_do_not_fit_are_named() {
    let row = |chosen: &str, rejected: &str| serde_json::json!({"chosen": chosen, "rejected": rejected}).to_string();
    let good = row("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: q\n\nAssistant: b");
    for (bad, why) in [
        (row("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: z\n\nAssistant: b"), "differ before the last turn"),
        (row("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: q"), "2 and 1 turns"),
        (row("\n\nHuman: q", "\n\nHuman: r"), "does not end with a turn of the assistant"),
        (row("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: q\n\nAssistant: a"), "identical"),
        (row("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: q\n\nAssistant:"), "says nothing"),
        (row("plain", "\n\nHuman: q\n\nAssistant: a"), "does not begin with"),
    ] {
        let problem = one_misfit(&format!("{good}\n{bad}\n{good}\n"), |table, options| {
            table.into_rows(options, &[Shape::Preference]).map(|rows| rows.bad)
        });
        assert!(problem.why.contains(why), "{bad}: {problem}");
    }
}

fn one_misfit(text: &str, shaping: impl Fn(Table, &ShapeOptions) -> Result<groma_data::BadRows>) -> RowProblem {
    let table = read_as("rows.jsonl", text.as_bytes(), OnBadRow::Stop).unwrap();
    let options = ShapeOptions { on_bad_row: SKIP_ALL, ..ShapeOptions::default() };
    let bad = shaping(table.clone(), &options).unwrap();
    assert_eq!((bad.count, bad.total), (1, 3), "{bad}");
    let stop = ShapeOptions { on_bad_row: OnBadRow::Stop, ..ShapeOptions::default() };
    assert!(matches!(shaping(table, &stop), Err(Error::BadRows { .. })));
    assert_eq!(bad.shown[0].location.line, 2);
    bad.shown[0].clone()
}

//! Shapes: detection, explicit choice, aliases, renaming, and typed rows.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use groma_data::{
    Content, Error, Layout, Message, OnBadRow, ReadOptions, Rename, Row, Shape, ShapeOptions, Table, TextUnit, digest,
    duplicates, overlap, read, split,
};
use groma_run::{Classify, Seed};
use serde_json::json;
use tempfile::TempDir;

fn table_of(name: &str, text: &str, options: &ReadOptions) -> Table {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    read(&path, options).unwrap()
}

fn table(text: &str) -> Table {
    table_of("rows.jsonl", text, &ReadOptions { on_bad_row: OnBadRow::Stop, ..ReadOptions::default() })
}

/// The rows of a table as rows of one shape.
fn rows(table: Table, shape: Shape) -> Vec<Row> {
    table.into_rows(&ShapeOptions::default(), &[shape]).unwrap().rows
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn turns(all: &[(&str, &str)]) -> Content {
    all.iter().map(|(role, content)| Message::new(*role, *content)).collect::<Vec<_>>().into()
}

#[test]
fn shapes_are_detected_by_their_columns() {
    for (row, layout) in [
        (r#"{"text":"x"}"#, "text"),
        (r#"{"messages":[],"id":1}"#, "messages"),
        (r#"{"conversations":[]}"#, "sharegpt"),
        (r#"{"prompt":"p","answer":"x"}"#, "prompt-only"),
        (r#"{"prompt":"p","completion":"c"}"#, "prompt-completion"),
        (r#"{"instruction":"i","input":"","output":"o"}"#, "alpaca"),
        (r#"{"chosen":"a","rejected":"b","prompt":"p"}"#, "preference"),
        (r#"{"chosen":"qa","rejected":"qb"}"#, "implicit-preference"),
        (r#"{"chosen":"\n\nHuman: a","rejected":"b"}"#, "transcript-preference"),
        (r#"{"prompt":"p","completion":"c","label":true}"#, "labelled"),
        (r#"{"prompt":"p","completion":"c","kto_tag":true}"#, "labelled"),
        (r#"{"prompt":"p","completions":[],"scores":[]}"#, "ranked"),
        (r#"{"prompt":"p","completions":[],"ranks":[]}"#, "ranked"),
        (r#"{"prompt":"p","completions":[],"labels":[]}"#, "stepwise"),
    ] {
        assert_eq!(Layout::detect(&table(row)).unwrap().name, layout, "{row}");
        assert_eq!(Layout::find(layout).unwrap().name, layout);
    }
    let error = Layout::detect(&table(r#"{"question":"q","answer":"a"}"#)).unwrap_err().to_string();
    assert!(
        error.contains("columns question, answer") && error.contains("preference: prompt, chosen, rejected"),
        "{error}"
    );
    assert!(error.contains("prompt=question"), "the remedy is named: {error}");
}

#[test]
fn the_wrong_shape_says_what_is_there_and_what_is_needed() {
    let table = table(r#"{"prompt":"p","completion":"c"}"#);
    let error = table.into_rows(&ShapeOptions::default(), &[Shape::Preference, Shape::Ranked]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("holds prompt-completion rows (columns prompt, completion)"), "{text}");
    assert!(text.contains("preference or ranked rows are needed"), "{text}");
    assert_eq!(error.class().exit_code(), 2);
}

#[test]
fn an_explicit_layout_overrides_detection() {
    let rows = table(r#"{"asked":"ignored","chosen":"q a","rejected":"q b","prompt":"p"}"#);
    let options = ShapeOptions { layout: Some("implicit-preference".into()), ..ShapeOptions::default() };
    let error = rows.clone().into_rows(&options, &[Shape::Preference]).unwrap_err().to_string();
    assert!(error.contains("`prompt` says a part of what is asked"), "{error}");
    let pairs = rows.drop(&["prompt".to_owned()]).unwrap().into_rows(&options, &[Shape::Preference]).unwrap();
    assert_eq!((&pairs.rows[0].prompt, pairs.rows[0].answer(0)), (&Some(text("q")), Some(&text(" a"))));
    assert_eq!(pairs.rows[0].other["asked"], json!("ignored"));
    assert!(Layout::find("preferences").is_err());
}

#[test]
fn preferences_in_all_forms() {
    let explicit = r#"{"prompt":"p","chosen":"a","rejected":"b","margin":0.5,"source":"x"}"#;
    let conversational = r#"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}"#;
    // UltraFeedback's layout: a string prompt beside whole conversations.
    let mixed = r#"{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"b"}]}"#;
    let pairs = rows(table(&format!("{explicit}\n{conversational}\n{mixed}")), Shape::Preference);
    let first = &pairs[0];
    assert_eq!(
        (&first.prompt, first.answer(0), first.answer(1)),
        (&Some(text("p")), Some(&text("a")), Some(&text("b")))
    );
    assert_eq!((first.margin, &first.other["source"]), (Some(0.5), &json!("x")));
    assert_eq!(first.swapped().answer(0), Some(&text("b")));
    assert_eq!(first.swapped().margin, Some(-0.5));
    assert_eq!(first.first_completion().answers.len(), 1);
    for row in &pairs[1..] {
        assert_eq!(row.prompt, Some(turns(&[("user", "p")])));
        assert_eq!(row.answer(0), Some(&turns(&[("assistant", "a")])));
        assert_eq!(row.answer(1), Some(&turns(&[("assistant", "b")])));
    }
    assert_eq!(pairs[2].location.to_string().rsplit('/').next(), Some("rows.jsonl:3"));
}

#[test]
fn aliases_become_the_standard_names() {
    let alpaca = table(
        "{\"instruction\":\"Add\",\"input\":\"1 2\",\"output\":\"3\"}\n{\"instruction\":\"Hi\",\"input\":\"\",\"output\":\"Ho\"}",
    );
    let alpaca = rows(alpaca, Shape::PromptCompletion);
    let expected = (&Some(turns(&[("user", "Add\n1 2")])), Some(&turns(&[("assistant", "3")])));
    assert_eq!((&alpaca[0].prompt, alpaca[0].answer(0)), expected);
    assert_eq!((&alpaca[1].prompt, alpaca[1].other.len()), (&Some(turns(&[("user", "Hi")])), 0));
    let sharegpt = table(r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#);
    let sharegpt = rows(sharegpt, Shape::LanguageModelling);
    assert_eq!(sharegpt[0].answer(0), Some(&turns(&[("user", "q"), ("assistant", "a")])));
}

#[test]
fn the_other_shapes() {
    let labelled = rows(table(r#"{"prompt":"p","completion":"c","label":false}"#), Shape::Labelled);
    assert_eq!(labelled[0].answers[0].label, Some(false));
    let ranked = rows(table(r#"{"prompt":"p","completions":["a","b"],"ranks":[2,1]}"#), Shape::Ranked);
    assert_eq!(ranked[0].answers.iter().map(|answer| answer.score).collect::<Vec<_>>(), [Some(-2.0), Some(-1.0)]);
    let steps = rows(table(r#"{"prompt":"p","completions":["a","b"],"labels":[true,false]}"#), Shape::Stepwise);
    assert_eq!(steps[0].answers.iter().map(|step| step.label).collect::<Vec<_>>(), [Some(true), Some(false)]);
    let costs = r#"{"prompt":"p","chosen":"a","rejected":"b","chosen_label":true,"rejected_label":false}"#;
    let pair = rows(table(costs), Shape::Preference).remove(0);
    assert_eq!(pair.answers.iter().map(|answer| answer.label).collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(json!(groma_data::Fields::fields(&pair)), serde_json::from_str::<serde_json::Value>(costs).unwrap());
    let half = table(r#"{"prompt":"p","chosen":"a","rejected":"b","chosen_label":true}"#);
    let error = half.into_rows(&ShapeOptions::default(), &[Shape::Preference]).unwrap_err().to_string();
    assert!(error.contains("give both or neither"), "{error}");
    let prompts = rows(table(r#"{"prompt":"p","answer":7}"#), Shape::PromptOnly);
    assert_eq!(prompts[0].other["answer"], json!(7));
    let prompts = rows(table(r#"{"prompt":"p","chosen":"a","rejected":"b"}"#), Shape::PromptOnly);
    assert_eq!((&prompts[0].prompt, &prompts[0].other["chosen"]), (&Some(text("p")), &json!("a")));
}

#[test]
fn numbers_and_booleans_of_csv_are_read_out_of_strings() {
    let options = ReadOptions::default();
    let labelled = table_of("rows.csv", "prompt,completion,label\np,c,True\np,d,0\n", &options);
    let labels: Vec<_> = rows(labelled, Shape::Labelled).iter().map(|row| row.answers[0].label).collect();
    assert_eq!(labels, [Some(true), Some(false)]);
    let pairs = table_of("rows.csv", "prompt,chosen,rejected,margin\np,a,b,1.5\np,c,d,\n", &options);
    let margins: Vec<_> = rows(pairs, Shape::Preference).iter().map(|row| row.margin).collect();
    assert_eq!(margins, [Some(1.5), None]);
}

#[test]
fn columns_are_renamed() {
    let rename: Vec<Rename> = ["prompt=question", "completion=answer"].map(|text| text.parse().unwrap()).into();
    let options = ReadOptions { rename, ..ReadOptions::default() };
    let rows = table_of("rows.jsonl", r#"{"id":1,"question":"q","answer":"a"}"#, &options);
    assert_eq!(rows.records[0].fields.keys().collect::<Vec<_>>(), ["id", "prompt", "completion"]);
    for (text, why) in [("prompt=nothing", "the columns are id, prompt, completion"), ("id=prompt", "has that column")]
    {
        let error = rows.clone().rename(&[text.parse().unwrap()]).unwrap_err();
        assert!(matches!(error, Error::Rename { .. }) && error.to_string().contains(why), "{error}");
    }
    assert!("prompt".parse::<Rename>().is_err() && "=x".parse::<Rename>().is_err());
}

#[test]
fn text_comes_in_units() {
    let source = "User: a\nBot: b<|endoftext|>\nUser: c\n\nBot: d\n";
    for (unit, expected) in [
        ("line", vec!["User: a", "Bot: b<|endoftext|>", "User: c", "Bot: d"]),
        ("paragraph", vec!["User: a\nBot: b<|endoftext|>\nUser: c", "Bot: d"]),
        ("separator:<|endoftext|>", vec!["User: a\nBot: b", "User: c\n\nBot: d"]),
        ("file", vec!["User: a\nBot: b<|endoftext|>\nUser: c\n\nBot: d"]),
    ] {
        let text_unit: TextUnit = unit.parse().unwrap();
        let rows = table_of("rows.txt", source, &ReadOptions { text_unit, ..ReadOptions::default() });
        let texts: Vec<&str> = rows.records.iter().map(|row| row.fields["text"].as_str().unwrap()).collect();
        assert_eq!(texts, expected, "{unit}");
    }
    assert!("word".parse::<TextUnit>().is_err());
}

#[test]
fn content_decides_digests_duplicates_and_overlap() {
    let pair = |p: &str, a: &str| format!(r#"{{"prompt":"{p}","chosen":"{a}","rejected":"z"}}"#);
    let read = |lines: &[String]| rows(table(&lines.join("\n")), Shape::Preference);
    let train = read(&[pair("p", "a"), pair("q", "a"), pair("p", "a"), pair("p", "b")]);
    let eval = read(&[pair("q", "a"), pair("p", "c"), pair("r", "a")]);
    assert_eq!(duplicates(&train).examples, [(2, 0)]);
    assert_eq!(duplicates(&eval).count, 0);
    let shared = overlap(&train, &eval);
    assert_eq!((shared.rows, shared.prompts, shared.examples), (1, 2, vec![(0, 1), (1, 0)]));
    assert_eq!(digest(&train), digest(&read(&[pair("p", "a"), pair("q", "a"), pair("p", "a"), pair("p", "b")])));
    assert_ne!(digest(&train), digest(&eval));
    assert_ne!(digest(&train[..2]), digest(&[train[1].clone(), train[0].clone()]), "order counts");
}

/// Overlap planted at 0.1, 1 and 10 % is found exactly.
#[test]
fn planted_overlap_is_counted() {
    let row = |i: usize| format!(r#"{{"prompt":"p{i}","completion":"c{i}"}}"#);
    let completions = |range: std::ops::Range<usize>| {
        let text = range.map(row).collect::<Vec<_>>().join("\n");
        rows(table(&text), Shape::PromptCompletion)
    };
    let train = completions(0..1000);
    for planted in [1, 10, 100] {
        let eval = completions(1000 - planted..2000 - planted);
        assert_eq!(overlap(&train, &eval).rows, planted as u64);
    }
}

#[test]
fn a_split_shares_no_prompt() {
    let text: String = (0..300).map(|i| format!("{{\"prompt\":\"p{}\",\"completion\":\"c{i}\"}}\n", i % 100)).collect();
    let rows = rows(table(&text), Shape::PromptCompletion);
    let (train, eval) = split(&rows, 0.1, Seed::new(42)).unwrap().apply(&rows);
    assert_eq!((train.len(), eval.len()), (270, 30));
    assert_eq!(overlap(&train, &eval).prompts, 0);
}

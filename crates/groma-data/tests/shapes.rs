//! Shapes: detection, explicit choice, aliases, renaming, and typed rows.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use groma_data::{
    Content, Error, Message, OnBadRow, ReadOptions, Rename, Shape, ShapeOptions, Table, TextUnit, digest, duplicates,
    overlap, read, split,
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

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn turns(all: &[(&str, &str)]) -> Content {
    Content::Messages(all.iter().map(|(role, content)| Message::new(*role, *content)).collect())
}

#[test]
fn shapes_are_detected_by_their_columns() {
    for (row, shape) in [
        (r#"{"text":"x"}"#, Shape::LanguageModelling),
        (r#"{"messages":[],"id":1}"#, Shape::LanguageModelling),
        (r#"{"conversations":[]}"#, Shape::LanguageModelling),
        (r#"{"prompt":"p","answer":"x"}"#, Shape::PromptOnly),
        (r#"{"prompt":"p","completion":"c"}"#, Shape::PromptCompletion),
        (r#"{"instruction":"i","input":"","output":"o"}"#, Shape::PromptCompletion),
        (r#"{"chosen":"a","rejected":"b","prompt":"p"}"#, Shape::Preference),
        (r#"{"chosen":"qa","rejected":"qb"}"#, Shape::ImplicitPreference),
        (r#"{"chosen":"\n\nHuman: a","rejected":"b"}"#, Shape::TranscriptPreference),
        (r#"{"prompt":"p","completion":"c","label":true}"#, Shape::Labelled),
        (r#"{"prompt":"p","completion":"c","kto_tag":true}"#, Shape::Labelled),
        (r#"{"prompt":"p","completions":[],"scores":[]}"#, Shape::Ranked),
        (r#"{"prompt":"p","completions":[],"ranks":[]}"#, Shape::Ranked),
        (r#"{"prompt":"p","completions":[],"labels":[]}"#, Shape::Stepwise),
    ] {
        assert_eq!(Shape::detect(&table(row)).unwrap(), shape, "{row}");
        assert_eq!(shape.name().parse::<Shape>().unwrap(), shape);
    }
    let error = Shape::detect(&table(r#"{"question":"q","answer":"a"}"#)).unwrap_err().to_string();
    assert!(
        error.contains("columns question, answer") && error.contains("preference: prompt, chosen, rejected"),
        "{error}"
    );
    assert!(error.contains("prompt=question"), "the remedy is named: {error}");
}

#[test]
fn the_wrong_shape_says_what_is_there_and_what_is_needed() {
    let error = table(r#"{"prompt":"p","completion":"c"}"#).into_preferences(&ShapeOptions::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("holds prompt-completion rows (columns prompt, completion)"), "{text}");
    assert!(text.contains("preference or implicit-preference or transcript-preference rows are needed"), "{text}");
    assert_eq!(error.class().exit_code(), 2);
}

#[test]
fn an_explicit_shape_overrides_detection() {
    let rows = table(r#"{"prompt":"ignored","chosen":"q a","rejected":"q b"}"#);
    let options = ShapeOptions { shape: Some(Shape::ImplicitPreference), ..ShapeOptions::default() };
    let pairs = rows.into_preferences(&options).unwrap();
    assert_eq!((&pairs.rows[0].prompt, &pairs.rows[0].chosen), (&text("q"), &text(" a")));
    assert_eq!(pairs.rows[0].other["prompt"], json!("ignored"));
    assert!("preferences".parse::<Shape>().is_err());
}

#[test]
fn preferences_in_all_forms() {
    let explicit = r#"{"prompt":"p","chosen":"a","rejected":"b","margin":0.5,"source":"x"}"#;
    let conversational = r#"{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}"#;
    // UltraFeedback's layout: a string prompt beside whole conversations.
    let mixed = r#"{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"b"}]}"#;
    let pairs =
        table(&format!("{explicit}\n{conversational}\n{mixed}")).into_preferences(&ShapeOptions::default()).unwrap();
    let first = &pairs.rows[0];
    assert_eq!((&first.prompt, &first.chosen, &first.rejected), (&text("p"), &text("a"), &text("b")));
    assert_eq!((first.margin, &first.other["source"]), (Some(0.5), &json!("x")));
    assert_eq!(first.swapped().chosen, text("b"));
    assert_eq!(first.swapped().margin, Some(-0.5));
    assert_eq!(first.chosen_completion().joined(), text("pa"));
    for row in &pairs.rows[1..] {
        assert_eq!(row.prompt, turns(&[("user", "p")]));
        assert_eq!((&row.chosen, &row.rejected), (&turns(&[("assistant", "a")]), &turns(&[("assistant", "b")])));
        assert_eq!(row.chosen_completion().joined(), turns(&[("user", "p"), ("assistant", "a")]));
    }
    assert_eq!(pairs.rows[2].location.to_string().rsplit('/').next(), Some("rows.jsonl:3"));
}

#[test]
fn aliases_become_the_standard_names() {
    let alpaca = table(
        "{\"instruction\":\"Add\",\"input\":\"1 2\",\"output\":\"3\"}\n{\"instruction\":\"Hi\",\"input\":\"\",\"output\":\"Ho\"}",
    );
    let rows = alpaca.into_completions(&ShapeOptions::default()).unwrap().rows;
    assert_eq!((&rows[0].prompt, &rows[0].completion), (&text("Add\n\n1 2"), &text("3")));
    assert_eq!((&rows[1].prompt, rows[1].other.len()), (&text("Hi"), 0));
    let sharegpt = table(r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#);
    let rows = sharegpt.into_language_modelling(&ShapeOptions::default()).unwrap().rows;
    assert_eq!(rows[0].content, turns(&[("user", "q"), ("assistant", "a")]));
}

#[test]
fn the_other_shapes() {
    let options = ShapeOptions::default();
    let labelled = table(r#"{"prompt":"p","completion":"c","label":false}"#).into_labelled(&options).unwrap();
    assert!(!labelled.rows[0].label);
    let ranked = table(r#"{"prompt":"p","completions":["a","b"],"ranks":[2,1]}"#).into_ranked(&options).unwrap();
    assert_eq!(ranked.rows[0].scores, [-2.0, -1.0]);
    let steps =
        table(r#"{"prompt":"p","completions":["a","b"],"labels":[true,false]}"#).into_stepwise(&options).unwrap();
    assert_eq!(steps.rows[0].labels, [true, false]);
    let prompts = table(r#"{"prompt":"p","answer":7}"#).into_prompts(&options).unwrap();
    assert_eq!(prompts.rows[0].other["answer"], json!(7));
    let prompts = table(r#"{"prompt":"p","chosen":"a","rejected":"b"}"#).into_prompts(&options).unwrap();
    assert_eq!(prompts.rows[0].prompt, text("p"));
}

#[test]
fn numbers_and_booleans_of_csv_are_read_out_of_strings() {
    let options = ReadOptions::default();
    let rows = table_of("rows.csv", "prompt,completion,label\np,c,True\np,d,0\n", &options);
    let labels: Vec<bool> =
        rows.into_labelled(&ShapeOptions::default()).unwrap().rows.iter().map(|r| r.label).collect();
    assert_eq!(labels, [true, false]);
    let rows = table_of("rows.csv", "prompt,chosen,rejected,margin\np,a,b,1.5\np,c,d,\n", &options);
    let margins: Vec<_> =
        rows.into_preferences(&ShapeOptions::default()).unwrap().rows.iter().map(|r| r.margin).collect();
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
    let read = |rows: &[String]| table(&rows.join("\n")).into_preferences(&ShapeOptions::default()).unwrap().rows;
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
    let rows = |range: std::ops::Range<usize>| {
        let text = range.map(row).collect::<Vec<_>>().join("\n");
        table(&text).into_completions(&ShapeOptions::default()).unwrap().rows
    };
    let train = rows(0..1000);
    for planted in [1, 10, 100] {
        let eval = rows(1000 - planted..2000 - planted);
        assert_eq!(overlap(&train, &eval).rows, planted as u64);
    }
}

#[test]
fn a_split_shares_no_prompt() {
    let text: String = (0..300).map(|i| format!("{{\"prompt\":\"p{}\",\"completion\":\"c{i}\"}}\n", i % 100)).collect();
    let rows = table(&text).into_completions(&ShapeOptions::default()).unwrap().rows;
    let (train, eval) = split(&rows, 0.1, Seed::new(42)).unwrap().apply(&rows);
    assert_eq!((train.len(), eval.len()), (270, 30));
    assert_eq!(overlap(&train, &eval).prompts, 0);
}

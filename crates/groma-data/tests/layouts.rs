//! Rows as people have them: every column that says a part of what is asked or learned is used or refused, and what was
//! done with the rows is said.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]

use std::path::Path;

use groma_data::{
    Content, LAYOUTS, Layout, Message, OnBadRow, ReadOptions, Row, Rows, Shape, ShapeOptions, Table, Turns, read,
};
use serde_json::{Value, json};

fn table(row: &str) -> Table {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.jsonl");
    std::fs::write(&path, format!("{row}\n")).unwrap();
    read(&path, &ReadOptions { on_bad_row: OnBadRow::Stop, ..ReadOptions::default() }).unwrap()
}

fn rows(row: &Value) -> Rows {
    table(&row.to_string())
        .into_rows(&ShapeOptions::default(), Shape::ALL)
        .unwrap_or_else(|error| panic!("{row}: {error}"))
}

fn row(row: Value) -> Row {
    rows(&row).rows.remove(0)
}

fn refusal(row: Value) -> String {
    table(&row.to_string()).into_rows(&ShapeOptions::default(), Shape::ALL).unwrap_err().to_string()
}

fn turns(all: &[(&str, &str)]) -> Content {
    all.iter().map(|(role, content)| Message::new(*role, *content)).collect::<Vec<_>>().into()
}

#[test]
fn each_layout_is_found_by_its_example_and_reads_it() {
    for layout in LAYOUTS {
        let table = table(layout.example);
        if !["alpaca-text", "numbered-cost", "triple-preference"].contains(&layout.name) {
            assert_eq!(Layout::detect(&table).unwrap().name, layout.name, "{}", layout.example);
        }
        let options = ShapeOptions { layout: Some(layout.name.to_owned()), ..ShapeOptions::default() };
        let rows =
            table.into_rows(&options, &[layout.shape]).unwrap_or_else(|error| panic!("{}: {error}", layout.name));
        assert_eq!((rows.layout, rows.shape, rows.rows.len()), (layout.name, layout.shape, 1));
        assert!(!layout.doc.is_empty() && !layout.columns.is_empty());
    }
}

#[test]
fn alpaca_is_turns_or_the_published_text() {
    let given = json!({"instruction": "Translate", "input": "Good night", "output": "Bonne nuit",
        "system": "Be brief", "history": [["Hi", "Hello"]]});
    let found = rows(&given);
    let asked =
        turns(&[("system", "Be brief"), ("user", "Hi"), ("assistant", "Hello"), ("user", "Translate\nGood night")]);
    assert_eq!((found.layout, &found.rows[0].prompt), ("alpaca", &Some(asked)));
    assert_eq!(found.rows[0].answer(0), Some(&turns(&[("assistant", "Bonne nuit")])));
    assert_eq!(
        found.notes.keys().collect::<Vec<_>>(),
        ["`history` became earlier turns", "`system` became the system turn"]
    );
    // The texts of PROMPT_DICT in Stanford's train.py.
    let text = |input: &str| {
        let given = json!({"instruction": "Name a fruit", "input": input, "output": "Pear"}).to_string();
        let options = ShapeOptions { layout: Some("alpaca-text".into()), ..ShapeOptions::default() };
        let row = table(&given).into_rows(&options, Shape::ALL).unwrap().rows.remove(0);
        row.prompt.unwrap().plain()
    };
    let [with, without] = ["a tree", ""].map(text);
    assert_eq!(
        with,
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a \
         response that appropriately completes the request.\n\n### Instruction:\nName a fruit\n\n### Input:\na \
         tree\n\n### Response:"
    );
    assert_eq!(
        without,
        "Below is an instruction that describes a task. Write a response that appropriately completes the \
         request.\n\n### Instruction:\nName a fruit\n\n### Response:"
    );
}

/// A column `reference` is what a judge holds beside an answer, and the gold answer where such rows are wanted.
#[test]
fn a_gold_answer_is_read_where_it_is_wanted() {
    let given = json!({"prompt": "Q", "chosen": "a", "rejected": "b", "reference": "c"}).to_string();
    let read = |accepted: &[Shape]| table(&given).into_rows(&ShapeOptions::default(), accepted).unwrap();
    assert_eq!(read(&[Shape::Preference]).layout, "preference");
    assert_eq!(read(&[Shape::Preference, Shape::Ranked]).layout, "preference");
    assert_eq!(read(&[Shape::Ranked]).layout, "triple-preference");
    assert_eq!(read(&[Shape::Ranked, Shape::Preference]).layout, "triple-preference");
    let same = json!({"prompt": "Q", "chosen": "a", "rejected": "a", "reference": "c"}).to_string();
    let refused = table(&same).into_rows(&ShapeOptions::default(), &[Shape::Ranked]).unwrap_err().to_string();
    assert!(refused.contains("identical"), "{refused}");
}

#[test]
fn the_better_of_two_numbered_answers_comes_first() {
    let sides = |given: Value| {
        let row = row(given);
        let plain = |content: &Content| content.plain();
        (plain(row.prompt.as_ref().unwrap()), plain(row.answer(0).unwrap()), plain(row.answer(1).unwrap()))
    };
    let human =
        |label: u8| json!({"history": "Q", "human_ref_A": "a", "human_ref_B": "b", "labels": label, "score_A": 3});
    assert_eq!([0, 1].map(|label| sides(human(label)).1), ["b", "a"]);
    let scored = |first: f64, second: f64| {
        json!({"question": {"dataset": "eli5", "full_text": "Q"}, "answer_0": "a", "answer_1": "b",
            "score_0": first, "score_1": second, "quotes_0": {"title": ["t"]}})
    };
    assert_eq!([sides(scored(1.0, -1.0)).1, sides(scored(-0.5, 0.5)).1], ["a", "b"]);
    assert!(refusal(scored(0.0, 0.0)).contains("neither answer is better"));
    let summed = |choice: u8| {
        json!({"info": {"id": "t3", "post": "Long.", "title": "T", "subreddit": "s", "site": null, "article": null},
            "summaries": [{"text": " a", "policy": "ref"}, {"text": "b", "policy": "sup"}], "choice": choice, "worker": "w"})
    };
    let (prompt, chosen, rejected) = sides(summed(1));
    assert_eq!([&prompt, &chosen, &rejected], ["SUBREDDIT: r/s\n\nTITLE: T\n\nPOST: Long.\n\nTL;DR:", " b", " a"]);
    assert_eq!(sides(summed(0)).1, " a");
    let mut broken = summed(0);
    broken["summaries"] = json!([{"text": "a"}, 3]);
    assert!(refusal(broken).contains("`summaries` must hold objects"));
}

/// Of a pair for a cost model the less safe response comes first, whichever is the better one.
#[test]
fn costs_of_numbered_responses() {
    let read = |safe: [bool; 2], safer: u8| {
        let row = json!({"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 0,
            "is_response_0_safe": safe[0], "is_response_1_safe": safe[1], "safer_response_id": safer});
        let options = ShapeOptions { layout: Some("numbered-cost".into()), ..ShapeOptions::default() };
        let row = table(&row.to_string()).into_rows(&options, Shape::ALL).unwrap().rows.remove(0);
        row.answers.iter().map(|answer| (answer.content.plain().to_string(), answer.label)).collect::<Vec<_>>()
    };
    let pair = |first: (&str, bool), second: (&str, bool)| {
        vec![(first.0.to_owned(), Some(first.1)), (second.0.to_owned(), Some(second.1))]
    };
    assert_eq!(read([true, false], 0), pair(("b", true), ("a", false)));
    assert_eq!(read([false, false], 1), pair(("a", true), ("b", true)));
}

#[test]
fn no_prompt_is_made_up_while_columns_name_it() {
    for (prompt, asked) in [
        (json!({"instruction": "i", "input": "n"}), turns(&[("user", "i\nn")])),
        (json!({"question": "i"}), turns(&[("user", "i")])),
        (json!({"input": "i", "system": "s"}), turns(&[("system", "s"), ("user", "i")])),
        (json!({"prompt": "i", "system_prompt": "s"}), turns(&[("system", "s"), ("user", "i")])),
        (json!({"conversations": [{"from": "human", "value": "i"}]}), turns(&[("user", "i")])),
    ] {
        let mut pair = json!({"chosen": "The answer is (D)", "rejected": "The answer is (C)"});
        pair.as_object_mut().unwrap().extend(prompt.as_object().unwrap().clone());
        let row = row(pair);
        assert_eq!(row.prompt, Some(asked));
        assert_eq!(row.answer(0), Some(&turns(&[("assistant", "The answer is (D)")])));
    }
    // A string prompt beside whole conversations must be theirs.
    let pair = |prompt: &str, chosen: Value, rejected: Value| json!({"prompt": prompt, "chosen": chosen, "rejected": rejected});
    let user = json!({"role": "user", "content": "q"});
    let says = |text: &str| json!({"role": "assistant", "content": text});
    assert!(refusal(pair("other", json!([user, says("a")]), json!([user, says("b")]))).contains("none of the turns"));
    let alone = row(pair("q", json!([says("a")]), json!([says("b")])));
    assert_eq!((alone.prompt, alone.answers.len()), (Some(turns(&[("user", "q")])), 2));
    let text = rows(&json!({"chosen": "The sky is blue", "rejected": "The sky is green"}));
    assert!(text.notes.keys().any(|note| note.contains("have in common")), "{:?}", text.notes);
}

#[test]
fn a_column_that_says_something_is_used_or_refused() {
    for (given, column) in [
        (json!({"text": "t", "system": "s"}), "system"),
        (json!({"prompt": "p", "completion": "c", "instruction": "i"}), "instruction"),
        (json!({"prompt": "p", "completion": "c", "messages": [{"role": "user", "content": "x"}]}), "messages"),
        (json!({"messages": [{"role": "user", "content": "x"}], "question": "q"}), "question"),
        (json!({"messages": [{"role": "user", "content": "x"}], "weight": 0.5}), "weight"),
        (json!({"chosen": "q a", "rejected": "q b", "tools": [{"type": "function"}]}), "tools"),
        (json!({"chosen": "q a", "rejected": "q b", "question": "q"}), "question"),
    ] {
        if column == "question" && given.get("chosen").is_some() {
            assert!(row(given).prompt.unwrap().is_conversational());
            continue;
        }
        let why = refusal(given);
        assert!(why.contains(&format!("`{column}` says a part of what is asked or learned")), "{why}");
    }
    // What is empty says nothing; what repeats is left aside and said.
    let given = json!({"text": "t", "system": "", "history": [], "tools": null, "weight": null});
    assert_eq!(row(given).answer(0), Some(&Content::Text("t".into())));
    let beside = rows(&json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "text": "raw", "prompt": "a"}));
    assert_eq!(beside.rows[0].answer(0), Some(&turns(&[("user", "a"), ("assistant", "b")])));
    assert_eq!(beside.notes.get("`prompt` was left aside"), Some(&1));
    let differs =
        json!({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], "system": "z"});
    assert!(refusal(differs).contains("another than its column `system`"));
}

#[test]
fn tools_and_variables_go_with_the_conversation() {
    let tool = json!({"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}});
    let messages = json!([{"role": "user", "content": "time?"}, {"role": "assistant", "content": null,
        "tool_calls": [{"type": "function", "function": {"name": "clock", "arguments": {}}}]},
        {"role": "tool", "name": "clock", "content": "12:00"}, {"role": "assistant", "content": "noon"}]);
    for tools in [json!([tool]), json!(json!([tool]).to_string()), json!([tool.to_string()])] {
        let given = json!({"messages": messages, "tools": tools, "chat_template_kwargs": {"enable_thinking": false}});
        let row = row(given);
        let Some(Content::Messages(found)) = row.answer(0) else { panic!("messages") };
        assert_eq!(found.tools, Some(vec![tool.clone()]));
        assert_eq!((&found.variables["enable_thinking"], found.len()), (&json!(false), 4));
        assert_eq!((found[1].content.as_str(), found[1].extra.contains_key("tool_calls")), ("", true));
        // What is written is read again.
        let written = Value::Object(groma_data::Fields::fields(&row));
        assert_eq!(rows(&written).rows[0].answer(0), row.answer(0));
    }
    let pair = json!({"prompt": "time?", "chosen": "noon", "rejected": "late", "functions": [{"name": "clock"}]});
    let Some(Content::Messages(Turns { tools: Some(tools), .. })) = row(pair).prompt else { panic!("tools") };
    assert_eq!(tools, [json!({"type": "function", "function": {"name": "clock"}})]);
    assert!(refusal(json!({"messages": messages, "tools": "clock"})).contains("`tools` must be a list of objects"));
}

#[test]
fn a_prompt_inside_the_answers_is_taken_off() {
    let prompt = json!([{"role": "user", "content": "hello"}]);
    let whole = |text: &str| json!([{"role": "user", "content": "hello"}, {"role": "assistant", "content": text}]);
    let last = |text: &str| json!([{"role": "assistant", "content": text}]);
    let found = rows(&json!({"prompt": prompt, "chosen": whole("hi"), "rejected": whole("go")}));
    let plain = row(json!({"prompt": prompt, "chosen": last("hi"), "rejected": last("go")}));
    assert_eq!((&found.rows[0].prompt, &found.rows[0].answers), (&plain.prompt, &plain.answers));
    assert_eq!(found.notes.get("`chosen` and `rejected` begin with the prompt, which was taken off"), Some(&1));
    let one = refusal(json!({"prompt": prompt, "chosen": whole("hi"), "rejected": last("go")}));
    assert!(one.contains("`chosen` begins with the prompt, but `rejected` does not"), "{one}");
    let behind = row(json!({"system": "s", "prompt": prompt, "completion": whole("hi")}));
    assert_eq!(behind.answer(0), Some(&turns(&[("assistant", "hi")])));
    let labelled = row(json!({"prompt": prompt, "completion": whole("hi"), "label": true}));
    assert_eq!(labelled.answer(0), Some(&turns(&[("assistant", "hi")])));
}

/// In plain text an answer may begin like its prompt by chance: it is the rows of a file together that tell.
#[test]
fn a_prompt_inside_plain_answers_is_taken_off_where_nearly_all_rows_have_it() {
    let read = |rows: &[Value]| {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        table(&lines.join("\n")).into_rows(&ShapeOptions::default(), Shape::ALL).unwrap()
    };
    let whole = |n: usize| json!({"prompt": format!("Q: {n}\nA:"), "chosen": format!("Q: {n}\nA: b"), "rejected": format!("Q: {n}\nA: c")});
    let apart = |n: usize| json!({"prompt": format!("Q: {n}\nA:"), "chosen": " b", "rejected": " c"});
    let text = |row: &Row, answer: usize| row.answer(answer).unwrap().plain();
    let all: Vec<Value> = (0..40).map(whole).collect();
    let found = read(&all);
    let expected = read(&(0..40).map(apart).collect::<Vec<_>>());
    assert_eq!(found.rows[7].answers, expected.rows[7].answers);
    assert_eq!(found.notes["the answers begin with the text of the prompt, which was taken off"], 40);
    assert!(expected.notes.is_empty());
    // One that happens to begin so is as it was, and is said.
    let mixed: Vec<Value> = (0..40).map(|n| if n == 3 { whole(n) } else { apart(n) }).collect();
    let found = read(&mixed);
    assert_eq!(text(&found.rows[3], 0), "Q: 3\nA: b");
    assert!(found.notes.iter().any(|(note, count)| note.contains("read twice") && *count == 1), "{:?}", found.notes);
    // One of two sides, or nothing behind it, is no repetition.
    for row in [
        json!({"prompt": "Hello", "chosen": "Hello there", "rejected": "Go"}),
        json!({"prompt": "Hello", "chosen": "Hello", "rejected": "Hello you"}),
    ] {
        let found = read(std::slice::from_ref(&row));
        assert_eq!((text(&found.rows[0], 0), found.notes.len()), (row["chosen"].as_str().unwrap().to_owned(), 0));
    }
    let completion = read(&[json!({"prompt": "Once", "completion": "Once upon a time"})]);
    assert_eq!(text(&completion.rows[0], 0), " upon a time");
    let labelled = read(&[json!({"prompt": "Once", "completion": "Once upon", "label": true})]);
    assert_eq!(text(&labelled.rows[0], 0), " upon");
}

#[test]
fn messages_may_be_json_in_text() {
    let messages = json!([{"role": "human", "content": "a"}, {"role": "gpt", "content": "b"}]);
    let found = rows(&json!({"messages": messages.to_string()}));
    assert_eq!(found.rows[0].answer(0), Some(&turns(&[("user", "a"), ("assistant", "b")])));
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    for (text, why) in [("[{'role': 'user'}]", "as JSON in text"), ("hello", "must be a list of messages")] {
        assert!(refusal(json!({"messages": text})).contains(why));
    }
    // A text that only looks like it stays text.
    let text = row(json!({"prompt": "[1, 2]", "completion": "[{\"role\": 1}]"}));
    assert_eq!(text.answer(0), Some(&Content::Text("[{\"role\": 1}]".into())));
}

#[test]
fn what_no_shape_reads_spoils_nothing() {
    let row = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"NaN"}],"score":NaN,"e":[Infinity,-Infinity]}"#;
    let rows = table(row).into_rows(&ShapeOptions::default(), Shape::ALL).unwrap();
    assert_eq!(rows.rows[0].answer(0), Some(&turns(&[("user", "a"), ("assistant", "NaN")])));
    assert!(!rows.rows[0].other.contains_key("score"), "{:?}", rows.rows[0].other);
}

#[test]
fn rows_of_one_line_are_told_apart_in_linear_time() {
    let row = r#"{"prompt":"p","completion":"c"}"#;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.json");
    std::fs::write(&path, format!("[{}]", vec![row; 50_000].join(","))).unwrap();
    let table = read(&path, &ReadOptions::default()).unwrap();
    let ids: std::collections::BTreeSet<String> = table.records.iter().map(|row| row.location.id()).collect();
    assert_eq!(
        (ids.len(), table.records[0].location.id(), table.records[2].location.id()),
        (50_000, "1".into(), "1#3".into())
    );
    std::fs::write(&path, format!("[\n{row},{row},\n{row}]")).unwrap();
    let ids: Vec<String> =
        read(&path, &ReadOptions::default()).unwrap().records.iter().map(|r| r.location.id()).collect();
    assert_eq!(ids, ["2", "2#2", "3"]);
}

/// What is right for each file of `../shared/cases/rows`: the layout and what is noted, or why it is refused.
#[test]
fn the_cases_that_people_reported() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases/rows");
    if !directory.is_dir() {
        println!("SKIPPED: {} is missing, so no reported case was read", directory.display());
        return;
    }
    let read_as = |file: &str| {
        let table = read(&directory.join(file), &ReadOptions::default())?;
        table.into_rows(&ShapeOptions::default(), Shape::ALL)
    };
    for (file, layout, note) in [
        ("alpaca_system_history.jsonl", "alpaca", Some("`history` became earlier turns")),
        ("alpaca_input.jsonl", "alpaca", None),
        ("alpaca_plain.jsonl", "alpaca", None),
        ("pairs_instruction_input.jsonl", "alpaca-preference", None),
        ("tools.jsonl", "messages", Some("`tools` go to the chat template")),
        ("tools_null_content.jsonl", "messages", None),
        ("message_weight.jsonl", "messages", None),
        (
            "roles_human_gpt.jsonl",
            "messages",
            Some("speakers such as human, gpt, observation were read as user, assistant, tool"),
        ),
        (
            "roles_function_call.jsonl",
            "sharegpt",
            Some("speakers such as human, gpt, observation were read as user, assistant, tool"),
        ),
        ("one_row_null_content.jsonl", "messages", None),
        ("one_row_the_template_refuses.jsonl", "messages", None),
        ("unused_nan.jsonl", "messages", None),
        ("unused_nan.parquet", "messages", None),
        ("unused_bytes.parquet", "messages", None),
        ("lz4.parquet", "messages", None),
        (
            "messages_as_json_string.parquet",
            "messages",
            Some("`messages` was read as messages: it holds them as JSON in text"),
        ),
        (
            "prompt_inside_completions.jsonl",
            "preference",
            Some("`chosen` and `rejected` begin with the prompt, which was taken off"),
        ),
        ("messages_and_text.jsonl", "messages", Some("`prompt` was left aside")),
    ] {
        let rows = read_as(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(rows.layout, layout, "{file}");
        assert!(note.is_none_or(|note| rows.notes.contains_key(note)), "{file}: {:?}", rows.notes);
        assert!(rows.bad.count <= 1, "{file}: {}", rows.bad);
    }
    let error = read_as("brotli.parquet").unwrap_err().to_string();
    assert!(error.contains("Brotli, which is not supported; write it with"), "{error}");
}

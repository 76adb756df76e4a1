//! Rows as people have them, through the program as people use it: the same text is the same tokens, nothing is lost without a
//! word, what ends a turn is learned and exported, and one bad row in hundreds is one bad row.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use std::process::Output;

use groma_model::tokenizer::{SpecialTokens, train_bpe};
use serde_json::{Value, json};
use tiny::Workplace;

/// A template that takes turns of user and assistant alone.
const STRICT: &str = "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
     {{ raise_exception('roles must alternate user/assistant') }}{% endif %}\
     {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}\
     {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// One that shows tools and calls of them.
const TOOLS: &str = "{% if tools %}{{ '<|im_start|>system\\n' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}\
     {% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}{% if message['content'] %}\
     {{ message['content'] }}{% endif %}{% if message['tool_calls'] %}{{ message['tool_calls'] | tojson }}{% endif %}\
     {{ '<|im_end|>\\n' }}{% endfor %}";

impl Workplace {
    /// The tiny model with a tokenizer that has ChatML's tokens, and ends texts by another.
    fn chatml() -> Workplace {
        let place = Workplace::new();
        let texts: Vec<String> = (0..300)
            .map(|n| format!("Name a fruit. A pear. hello {n}, hi there, go away. user assistant system answer here"))
            .collect();
        let all = vec!["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        let special = SpecialTokens { all, eos: Some("<|endoftext|>"), ..SpecialTokens::default() };
        for (name, bytes) in train_bpe(&texts, 420, &special).unwrap().files() {
            place.write(&format!("model/{name}"), bytes);
        }
        std::fs::remove_file(place.path("model/generation_config.json")).unwrap();
        place
    }

    fn rows(&self, name: &str, rows: &[Value]) {
        self.write(name, rows.iter().map(|row| format!("{row}\n")).collect::<String>());
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.groma(arguments).output().unwrap()
    }

    /// What a command that succeeds says on standard output as JSON, and on standard error.
    fn done(&self, arguments: &[&str]) -> (Value, String) {
        let output = self.output(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        (serde_json::from_slice(&output.stdout).unwrap(), said)
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(!self.path("out").exists(), "{arguments:?} leaves a model");
        message
    }

    /// Ids of the first row's sequences, and which are learned from.
    fn tokens(&self, data: &str, more: &[&str]) -> Vec<Vec<(u64, bool)>> {
        let command = ["check", "--data", data, "--model", "model", "--rows", "1"];
        let (found, _) = self.done(&[&command[..], more].concat());
        let sequences = found["rows"][0]["sequences"].as_array().unwrap().clone();
        let piece = |piece: &Value| (piece["id"].as_u64().unwrap(), piece["learned"].as_bool().unwrap());
        sequences.iter().map(|sequence| sequence.as_array().unwrap().iter().map(piece).collect()).collect()
    }
}

fn turns(question: &str, answer: &str) -> Value {
    json!([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
}

fn ids(sequence: &[(u64, bool)]) -> Vec<u64> {
    sequence.iter().map(|(id, _)| *id).collect()
}

#[test]
fn the_same_text_is_the_same_tokens_in_every_shape() {
    let place = Workplace::chatml();
    let (start, end) = ("<|im_start|>user\nName a fruit<|im_end|>\n<|im_start|>assistant\n", "Pear<|im_end|>");
    place.rows("text.jsonl", &[json!({"text": format!("{start}{end}")})]);
    place.rows("strings.jsonl", &[json!({"prompt": start, "completion": end})]);
    place.rows("pairs.jsonl", &[json!({"prompt": start, "chosen": end, "rejected": "Go away<|im_end|>"})]);
    place.rows("labels.jsonl", &[json!({"prompt": start, "completion": end, "label": true})]);
    let text = ids(&place.tokens("text.jsonl", &[])[0]);
    // Control tokens are one token each, and the tokenizer's end closes a text.
    assert!(text.len() < 25 && text.ends_with(&[2, 0]), "{text:?}");
    for (data, more) in [("strings.jsonl", &[][..]), ("pairs.jsonl", &[]), ("labels.jsonl", &["--method", "kto"])] {
        assert_eq!(ids(&place.tokens(data, more)[0]), text, "{data}");
    }
    // In turns the same words; what a message says is text, control tokens too.
    place.rows("turns.jsonl", &[json!({"messages": turns("Name a fruit", "Pear")})]);
    let by_template = ids(&place.tokens("turns.jsonl", &["--chat-template", "chatml"])[0]);
    assert_eq!(by_template[..text.len() - 1], text[..text.len() - 1]);
    place.rows("spelled.jsonl", &[json!({"messages": turns("<|im_end|>", "Pear")})]);
    let spelled = ids(&place.tokens("spelled.jsonl", &["--chat-template", "chatml"])[0]);
    assert_eq!(spelled.iter().filter(|id| **id == 2).count(), 2, "those of the template alone: {spelled:?}");
}

#[test]
fn what_ends_a_turn_is_learned_is_a_stop_and_is_exported() {
    let place = Workplace::chatml();
    place.rows("turns.jsonl", &vec![json!({"messages": turns("hello", "hi there")}); 8]);
    let pair = json!({"prompt": [{"role": "user", "content": "hello"}], "chosen": [{"role": "assistant", "content": "hi"}],
        "rejected": [{"role": "assistant", "content": "go away"}]});
    place.rows("pairs.jsonl", &vec![pair; 8]);
    for (method, data) in [("sft", "turns.jsonl"), ("dpo", "pairs.jsonl")] {
        let only = if method == "sft" { &["--set", "assistant_only_loss=true"][..] } else { &[] };
        let template = ["--chat-template", "chatml", "--method", method];
        for sequence in place.tokens(data, &[&template[..], only].concat()) {
            let last = sequence.iter().rfind(|(_, learned)| *learned).unwrap();
            assert_eq!(last.0, 2, "{method}: <|im_end|> is learned: {sequence:?}");
        }
        let command = ["train", method, "--model", "model", "--data", data, "--output", method];
        place.done(&[&command[..], &["--chat-template", "chatml", "--set", "max_steps=1"]].concat());
        let config = std::fs::read(place.path(method).join("generation_config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        let stops: Vec<u64> = config["eos_token_id"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        assert!(stops.contains(&2) && stops.contains(&0), "{method}: {stops:?}");
        let model = groma_model::LocalModel::open(
            &place.path(method),
            &groma_model::TemplateChoice::default(),
            std::sync::Arc::new(groma_kernels::Cpu::new()),
        )
        .unwrap();
        assert!(model.stop_ids().contains(&2) && model.stop_ids().contains(&0), "{method}");
    }
}

#[test]
fn a_message_of_weight_0_is_not_learned() {
    let place = Workplace::chatml();
    let mut messages = turns("hello", "bad answer here").as_array().unwrap().clone();
    messages[1]["weight"] = json!(0);
    let mut last = turns("try again", "hi there").as_array().unwrap().clone();
    last[1]["weight"] = json!(1);
    messages.extend(last);
    place.rows("weights.jsonl", &[json!({"messages": messages})]);
    place.rows("alone.jsonl", &[json!({"messages": turns("try again", "hi there")})]);
    let template = ["--chat-template", "chatml"];
    let learned = |data: &str, more: &[&str]| -> Vec<u64> {
        let found = place.tokens(data, &[&template[..], more].concat());
        found[0].iter().filter(|(_, learned)| *learned).map(|(id, _)| *id).collect()
    };
    let weighed = learned("weights.jsonl", &[]);
    assert_eq!(weighed, learned("alone.jsonl", &["--set", "assistant_only_loss=true"]));
}

/// One bad row in 300 is left out and counted, whether the reader or the template refuses it; four are an error that names the first.
#[test]
fn one_policy_for_bad_rows_whatever_the_cause() {
    let place = Workplace::chatml();
    place.write("model/chat_template.jinja", STRICT);
    let good = |n: usize| json!({"messages": turns(&format!("hello {n}"), "hi there")});
    let refused = json!({"messages": [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "hello"}]});
    let unread = json!({"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": null}]});
    for (cause, bad) in [("alternate", &refused), ("found null", &unread)] {
        let rows = |count: usize| -> Vec<Value> {
            (0..300).map(|n| if n >= 150 && n < 150 + count { bad.clone() } else { good(n) }).collect()
        };
        let command = ["train", "sft", "--model", "model", "--data", "rows.jsonl", "--output"];
        place.rows("rows.jsonl", &rows(1));
        let (found, said) = place.done(&[&command[..], &[cause, "--set", "max_steps=1"]].concat());
        assert!(said.contains("1 of 300 rows cannot be used") && said.contains("rows.jsonl:151"), "{said}");
        let finding =
            found["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "bad-rows").unwrap();
        assert_eq!((&finding["count"], &finding["total"]), (&json!(1), &json!(300)));
        assert!(finding["message"].as_str().unwrap().contains(cause), "{finding}");
        place.rows("rows.jsonl", &rows(4));
        let message = place.refused(&[&command[..], &["out"]].concat());
        assert!(message.contains("rows.jsonl:151") && message.contains(cause), "{message}");
    }
}

#[test]
fn what_is_left_out_or_contradicts_itself_is_counted_where_people_look() {
    let place = Workplace::chatml();
    let pair = |n: usize, chosen: &str, rejected: &str| {
        let side = |text: &str| json!([{"role": "assistant", "content": text}]);
        json!({"prompt": [{"role": "user", "content": format!("hello {n}")}], "chosen": side(chosen), "rejected": side(rejected)})
    };
    let long = "answer here ".repeat(200);
    let mut rows: Vec<Value> = (0..20).map(|n| pair(n, "hi there", "go away")).collect();
    rows.push(pair(3, "go away", "hi there"));
    rows.push(pair(40, &long, "go away"));
    place.rows("pairs.jsonl", &rows);
    let template = ["--chat-template", "chatml"];
    let command = ["train", "dpo", "--model", "model", "--data", "pairs.jsonl", "--output", "out"];
    let short = ["--set", "max_steps=1", "--set", "truncation_mode=drop", "--set", "preflight=warn"];
    let (found, said) = place.done(&[&command[..], &template, &short].concat());
    let checks: Vec<(&str, u64)> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["check"].as_str().unwrap(), finding["count"].as_u64().unwrap()))
        .collect();
    assert!(checks.contains(&("contradictory-pairs", 2)) && checks.contains(&("too-long", 1)), "{checks:?}");
    assert!(
        said.contains("2 of 22 rows: another row prefers") && said.contains("1 of 22 rows: the row is longer"),
        "{said}"
    );
    // A run says the same, by which layout rows were read, and which template was taken.
    place.rows(
        "some.jsonl",
        &(0..200)
            .map(|n| if n == 7 { json!({"prompt": "a", "chosen": 3}) } else { rows[n % 21].clone() })
            .collect::<Vec<_>>(),
    );
    let run = ["run", "--model", "model", "--preferences", "some.jsonl", "--name", "said"];
    let few = ["--set", "stage.dpo.settings.max_steps=1", "--set", "held_out=0.2"];
    let (summary, said) = place.done(&[&run[..], &template, &few, &["--progress", "plain"]].concat());
    for words in [
        "199 rows by the layout `preference`",
        "1 of 200 rows is left out",
        "some.jsonl:8",
        "another row prefers",
        "chat template chatml",
    ] {
        assert!(said.contains(words), "a run does not say `{words}`: {said}");
    }
    let findings = summary["findings"].to_string();
    assert!(findings.contains("contradictory-pairs") && findings.contains("\"stage\":\"dpo\""), "{summary}");
    assert!(summary["notes"].to_string().contains("layout `preference`"), "{summary}");
}

#[test]
fn tools_go_to_the_template_or_their_rows_are_refused() {
    let place = Workplace::chatml();
    let call = json!([{"type": "function", "function": {"name": "clock", "arguments": {}}}]);
    let tools = json!([{"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}]);
    let conversation = |content: Value| {
        json!([{"role": "user", "content": "hello"}, {"role": "assistant", "content": content, "tool_calls": call},
            {"role": "tool", "content": "12:00"}, {"role": "assistant", "content": "hi there"}])
    };
    for (name, row) in [
        ("tools", json!({"messages": conversation(json!("")), "tools": tools})),
        ("calls", json!({"messages": conversation(Value::Null)})),
        ("only", json!({"messages": turns("hello", "hi"), "tools": tools})),
    ] {
        let data = format!("{name}.jsonl");
        place.rows(&data, &[row]);
        let _ = std::fs::remove_file(place.path("model/chat_template.jinja"));
        let command = ["check", "--data", &data, "--model", "model"];
        let message = place.refused(&[&command[..], &["--chat-template", "chatml"]].concat());
        for words in ["1 of 1 row", "does not show", &format!("{data}:1"), "--drop tools"] {
            assert!(message.contains(words), "{name}: `{words}`: {message}");
        }
        place.write("model/chat_template.jinja", TOOLS);
        let shown = String::from_utf8(place.output(&command).stdout).unwrap();
        assert!(shown.contains("clock"), "{name}: {shown}");
    }
    // A template without them will do where there are none.
    place.rows("none.jsonl", &[json!({"messages": turns("hello", "hi"), "tools": []})]);
    std::fs::remove_file(place.path("model/chat_template.jinja")).unwrap();
    place.done(&["check", "--data", "none.jsonl", "--model", "model", "--chat-template", "chatml"]);
}

#[test]
fn columns_of_preferences_can_be_named_in_a_run() {
    let place = Workplace::chatml();
    let row =
        |n: usize| json!({"query": format!("hello {n}"), "chosen": "hi there", "rejected": "go away", "system": "x"});
    place.rows("own.jsonl", &(0..20).map(row).collect::<Vec<_>>());
    let run = ["run", "--model", "model", "--chat-template", "chatml", "--preferences", "own.jsonl"];
    let few = ["--set", "stage.dpo.settings.max_steps=1"];
    let named = ["--rename", "prompt=query", "--drop", "system", "--name", "named"];
    let (summary, _) = place.done(&[&run[..], &few, &named].concat());
    assert_eq!(summary["stages_done"], 5);
    let split = std::fs::read_to_string(place.path("runs/named/data/preferences-train.jsonl")).unwrap();
    assert!(split.contains("\"prompt\":\"hello ") && !split.contains("\"system\""), "{split}");
    let printed = String::from_utf8(place.output(&[&run[..], &named, &["--print-recipe"]].concat()).stdout).unwrap();
    assert!(printed.contains("[reading]") && printed.contains("prompt=query"), "{printed}");
    // The recipe that is printed is read so again, and checked so.
    place.write("printed.toml", printed);
    let (checked, _) = place.done(&["check", "printed.toml"]);
    assert!(checked["findings"].to_string().contains("20 rows by the layout `preference`"), "{checked}");
    // Read in another way, the pairs are others, and what was done with them is done again.
    let other = ["--rename", "prompt=query", "--name", "named"];
    let (again, _) = place.done(&[&run[..], &few, &other].concat());
    assert_eq!(again["stages_reused"], 0, "{again}");
    let message = place.refused(&[&run[..], &["--layout", "alpaka"]].concat());
    assert!(message.contains("alpaka") && message.contains("alpaca"), "{message}");
}

#[test]
fn ids_beyond_the_vocabulary_and_documented_values() {
    let place = Workplace::chatml();
    for ids in ["5 6 99999", "99999 5 6", "99999"] {
        place.write("ids.txt", ids);
        let message = place.refused(&["score", "--model", "model", "--text", "ids.txt", "--ids"]);
        assert!(message.contains("99999") && message.contains("vocabulary"), "{ids}: {message}");
    }
    place.rows("turns.jsonl", &vec![json!({"messages": turns("hello", "hi there")}); 8]);
    let command = ["train", "sft", "--model", "model", "--data", "turns.jsonl", "--output", "null"];
    place.done(
        &[&command[..], &["--set", "max_length=null", "--set", "max_steps=1", "--chat-template", "chatml"]].concat(),
    );
}

//! The page `docs/rows.md`: every layout of rows, what a row of it becomes, and what is learned from it.
//!
//! It is made by running the program on the examples of the layouts. `GROMA_WRITE_PAGES=1 cargo test --release -p groma --test
//! rows_page` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use groma_data::{LAYOUTS, Layout};
use groma_model::tokenizer::{SpecialTokens, train_bpe};
use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rows.md");

const INTRODUCTION: &str = "\
# Rows

Every layout of rows that groma reads, in the order in which they are looked for: a file is of the first layout whose columns
at least half of its rows have. `--layout NAME` names another, `--rename NEW=OLD` and `--drop COLUMN` change columns as they
are read. `groma check --data FILE` shows the rows of a file in this way, `--model MODEL` in the tokens of a model.

This page is made by running the program (`crates/groma/tests/rows_page.rs`), and a test holds it.

What holds for all of them:

- A column that says a part of what is asked or learned (`system`, `system_prompt`, `instruction`, `input`, `history`,
  `question`, `prompt`, `messages`, `conversations`, `tools`, `functions`, `chat_template_kwargs`, `weight`) is used, or its row
  is refused; where it only repeats what is read, it is left aside, and that is said. Empty ones say nothing. Any other column
  stays with its row, for rewards, and spoils nothing whatever it holds.
- `system` or `system_prompt` becomes the system turn, `history` earlier turns, `tools` and `chat_template_kwargs` go to the chat
  template. Beside them a string is a turn. `prompt` with strings alone is plain text.
- Messages are `{role, content}` or ShareGPT's `{from, value}`, in a list, or as such a list in JSON as text. `content` may be
  parts, as long as they are text. A message of `weight` 0 (or `train` false) is not learned.
- Turns are put into the chat template. In plain text control tokens are control tokens, and the tokenizer's EOS ends it; in a
  message they are text. What is learned of a conversation is what the template marks with `{% generation %}`, or without
  marks what is added from where the model begins to answer to the end of its turn.
- Answers that begin with their prompt have it taken off: turns always, plain text where nearly all rows of the file do.
- Tools, or calls of them, that the chat template does not show are an error.
- A row that cannot be read, or that the template refuses, is left out and counted; more than one in a hundred are an error.

Below, what is learned stands between `[[` and `]]`, and `|` parts the tokens. The template is `chatml`, the method the first
that learns from such rows, `assistant_only_loss` is set.
";

/// Writes a tokenizer with ChatML's tokens.
fn write_tokenizer(directory: &Path) {
    let texts: Vec<String> = (0..300)
        .map(|n| {
            format!("Name a fruit. A pear. Which is a fruit? the capital of France is Paris. {n} user assistant system")
        })
        .collect();
    let all = vec!["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let special = SpecialTokens { all, eos: Some("<|endoftext|>"), ..SpecialTokens::default() };
    for (name, bytes) in train_bpe(&texts, 420, &special).unwrap().files() {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}

/// What `groma check --data` says in JSON.
fn checked(directory: &Path, layout: &Layout, arguments: &[&str]) -> Option<Value> {
    std::fs::write(directory.join("row.jsonl"), layout.example).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_groma"));
    command.current_dir(directory).args(["check", "--data", "row.jsonl", "--layout", layout.name, "--json"]);
    let output = command.args(arguments).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn tokens(sequence: &Value) -> String {
    let pieces = sequence.as_array().unwrap();
    let learned = |piece: &Value| piece["learned"].as_bool().unwrap();
    let run = |run: &[Value]| {
        let texts: Vec<String> = run.iter().map(|piece| piece["text"].as_str().unwrap().replace('\n', "\\n")).collect();
        if learned(&run[0]) { format!("[[{}]]", texts.join("|")) } else { texts.join("|") }
    };
    pieces.chunk_by(|a, b| learned(a) == learned(b)).map(run).collect::<Vec<_>>().join("|")
}

fn section(directory: &Path, layout: &Layout) -> String {
    let columns: Vec<String> = layout
        .columns
        .iter()
        .map(|set| set.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        .collect();
    let mut text = format!("\n## {}\n\n{}.\n\n", layout.name, layout.doc);
    writeln!(text, "Columns: {}.\n\n```json\n{}\n```\n", columns.join("; or "), layout.example).unwrap();
    let model = ["--model", ".", "--chat-template", "chatml"];
    // Settings that only some methods have, or that some must have.
    let settings = [&["--set", "assistant_only_loss=true"][..], &["--set", "reward_funcs=[\"length\"]"], &[]];
    let found = settings.iter().find_map(|given| checked(directory, layout, &[&model[..], given].concat()));
    let Some(found) = found else {
        let read = checked(directory, layout, &[]).unwrap();
        writeln!(text, "No method learns from {} rows yet.", read["shape"].as_str().unwrap()).unwrap();
        return text;
    };
    for (note, _) in found["notes"].as_object().unwrap() {
        writeln!(text, "Said of it: {note}.\n").unwrap();
    }
    writeln!(text, "By `{}`:\n\n```text", found["method"].as_str().unwrap()).unwrap();
    for sequence in found["rows"][0]["sequences"].as_array().unwrap() {
        writeln!(text, "{}", tokens(sequence)).unwrap();
    }
    text + "```\n"
}

#[test]
fn the_page_is_what_the_program_says() {
    let directory = tempfile::tempdir().unwrap();
    write_tokenizer(directory.path());
    let sections = LAYOUTS.iter().map(|layout| section(directory.path(), layout));
    let page = [INTRODUCTION.to_owned()].into_iter().chain(sections).collect::<String>();
    if std::env::var_os("GROMA_WRITE_PAGES").is_some() {
        std::fs::create_dir_all(Path::new(PAGE).parent().unwrap()).unwrap();
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let first = written.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(written == page, "docs/rows.md is not what the program says (run with GROMA_WRITE_PAGES=1): {first:?}");
}

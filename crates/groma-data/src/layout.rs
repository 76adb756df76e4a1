//! The layouts of public files: which columns a shape is read from, and how. A new layout is a record here.

use std::collections::BTreeMap;

use groma_chat::Message;
use serde_json::Value;

use crate::Content;
use crate::comparisons;
use crate::error::{Error, Result};
use crate::pair::{pair, with_labels};
use crate::reader::{Made, RowReader, same_form, same_length};
use crate::row::{Answer, PAIR_LABELS, Row};
use crate::shape::Shape;
use crate::table::Table;
use crate::transcript::is_transcript;

/// Columns that make rows of a shape. Names and columns are those of TRL's documentation, or of the format that a layout is
/// named for.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Its name.
    pub name: &'static str,
    /// What its rows mean.
    pub shape: Shape,
    /// Whose it is, and what becomes of its columns.
    pub doc: &'static str,
    /// Alternative sets of columns, any one of which makes the layout.
    pub columns: &'static [&'static [&'static str]],
    /// A row of it, as JSON.
    pub example: &'static str,
    /// Columns that may stand beside and repeat what it reads; they are left aside.
    repeated: &'static [&'static str],
    /// Takes the prompt alone, where rows of prompts will do and the layout names one.
    prompt: Option<fn(&mut RowReader) -> Made<Content>>,
    /// What besides columns tells it apart.
    fits: fn(&Table) -> bool,
    /// Takes a row's columns; those left over stay with the row.
    read: fn(&mut RowReader) -> Made<Row>,
}

/// All layouts, the more demanding first, so that the first match is the right one.
pub static LAYOUTS: &[Layout] = &[
    Layout {
        name: "preference",
        shape: Shape::Preference,
        doc: "TRL's pairs, and UltraFeedback's, whose sides begin with the prompt; `margin` says by how much the chosen one is \
              better, `chosen_label` and `rejected_label` whether each is what is asked for, as cost models want to know",
        columns: &[&["prompt", "chosen", "rejected"]],
        example: r#"{"prompt": [{"role": "user", "content": "Name a fruit."}], "chosen": [{"role": "assistant", "content": "A pear."}], "rejected": [{"role": "assistant", "content": "Go away."}]}"#,
        repeated: &["messages"],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: |row| preference(row, RowReader::prompt),
    },
    Layout {
        name: "triple-preference",
        shape: Shape::Ranked,
        doc: "TRL's pairs with a gold answer in `reference`, which stands above both",
        columns: &[&["prompt", "chosen", "rejected", "reference"]],
        example: r#"{"prompt": "Name a fruit. ", "chosen": "Pear.", "rejected": "No.", "reference": "A pear is a fruit."}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: triple,
    },
    Layout {
        name: "alpaca-preference",
        shape: Shape::Preference,
        doc: "LLaMA-Factory's pairs: the user's turn is the instruction and, on the next line, the input",
        columns: &[&["instruction", "chosen", "rejected"]],
        example: r#"{"instruction": "Which is a fruit?", "input": "a pear, a chair", "chosen": "The pear.", "rejected": "The chair."}"#,
        repeated: &[],
        prompt: Some(instruction),
        fits: |_| true,
        read: |row| preference(row, instruction),
    },
    Layout {
        name: "question-preference",
        shape: Shape::Preference,
        doc: "pairs of Orca's form: the user's turn is the question or input, `system` the system turn",
        columns: &[&["question", "chosen", "rejected"], &["input", "chosen", "rejected"]],
        example: r#"{"system": "Be brief.", "question": "Name a fruit.", "chosen": "Pear.", "rejected": "No."}"#,
        repeated: &[],
        prompt: Some(question),
        fits: |_| true,
        read: |row| preference(row, question),
    },
    Layout {
        name: "sharegpt-preference",
        shape: Shape::Preference,
        doc: "LLaMA-Factory's pairs in ShareGPT's form: a conversation, and two turns that may follow it",
        columns: &[&["conversations", "chosen", "rejected"]],
        example: r#"{"conversations": [{"from": "human", "value": "Name a fruit."}], "chosen": {"from": "gpt", "value": "Pear."}, "rejected": {"from": "gpt", "value": "No."}}"#,
        repeated: &[],
        prompt: Some(conversations),
        fits: |_| true,
        read: |row| preference(row, conversations),
    },
    Layout {
        name: "transcript-preference",
        shape: Shape::Preference,
        doc: "Anthropic's hh-rlhf: two transcripts that differ in their last turn",
        columns: &[&["chosen", "rejected"]],
        example: r#"{"chosen": "\n\nHuman: Name a fruit.\n\nAssistant: A pear.", "rejected": "\n\nHuman: Name a fruit.\n\nAssistant: No."}"#,
        repeated: &[],
        prompt: None,
        fits: holds_transcripts,
        read: |row| {
            let margin = row.optional_number("margin")?;
            pair(row.transcripts()?, margin)
        },
    },
    Layout {
        name: "implicit-preference",
        shape: Shape::Preference,
        doc: "TRL's pairs without a prompt: it is what both sides begin with",
        columns: &[&["chosen", "rejected"]],
        example: r#"{"chosen": "The sky is blue.", "rejected": "The sky is green."}"#,
        repeated: &[],
        prompt: None,
        fits: |_| true,
        read: |row| {
            let margin = row.optional_number("margin")?;
            pair(row.pair_that_shares()?, margin)
        },
    },
    Layout {
        name: "numbered-preference",
        shape: Shape::Preference,
        doc: "PKU-SafeRLHF: two responses and the number of the better one",
        columns: &[&["prompt", "response_0", "response_1", "better_response_id"]],
        example: r#"{"prompt": "Name a fruit.", "response_0": "No.", "response_1": "A pear.", "better_response_id": 1}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: comparisons::numbered,
    },
    Layout {
        name: "human-preference",
        shape: Shape::Preference,
        doc: "Stanford's SHP: a post and two comments, and whether the first is preferred",
        columns: &[&["history", "human_ref_A", "human_ref_B", "labels"]],
        example: r#"{"history": "Name a fruit.", "human_ref_A": "No.", "human_ref_B": "A pear.", "labels": 0}"#,
        repeated: &[],
        prompt: None,
        fits: |_| true,
        read: comparisons::human_preferences,
    },
    Layout {
        name: "scored-preference",
        shape: Shape::Preference,
        doc: "WebGPT's comparisons: two answers with their scores; rows of equal scores are no pairs",
        columns: &[&["question", "answer_0", "answer_1", "score_0", "score_1"]],
        example: r#"{"question": {"full_text": "Name a fruit."}, "answer_0": "No.", "answer_1": "A pear.", "score_0": -1.0, "score_1": 1.0}"#,
        repeated: &[],
        prompt: None,
        fits: |_| true,
        read: comparisons::scored_answers,
    },
    Layout {
        name: "summary-preference",
        shape: Shape::Preference,
        doc: "comparisons of summaries (summarize_from_feedback): a post, two summaries, and the number of the better one",
        columns: &[&["info", "summaries", "choice"]],
        example: r#"{"info": {"subreddit": "fruit", "title": "Pears", "post": "I ate a pear."}, "summaries": [{"text": "I ate."}, {"text": "I ate a pear."}], "choice": 1}"#,
        repeated: &[],
        prompt: None,
        fits: |_| true,
        read: comparisons::summaries,
    },
    Layout {
        name: "numbered-cost",
        shape: Shape::Preference,
        doc: "PKU-SafeRLHF as cost models learn it: the less safe of two responses first, and of each whether it is unsafe; read \
              where it is asked for",
        columns: &[&[
            "prompt",
            "response_0",
            "response_1",
            "is_response_0_safe",
            "is_response_1_safe",
            "safer_response_id",
        ]],
        example: r#"{"prompt": "Name a fruit.", "response_0": "A pear.", "response_1": "Drop dead.", "is_response_0_safe": true, "is_response_1_safe": false, "safer_response_id": 0}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| false,
        read: comparisons::cost,
    },
    Layout {
        name: "stepwise",
        shape: Shape::Stepwise,
        doc: "TRL's answers in steps, each right or not",
        columns: &[&["prompt", "completions", "labels"]],
        example: r#"{"prompt": "What is 2 + 3 + 4?", "completions": ["2 + 3 is 5.\n", "5 + 4 is 8.\n"], "labels": [true, false]}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: stepwise,
    },
    Layout {
        name: "ranked",
        shape: Shape::Ranked,
        doc: "several answers to a prompt with their scores, or with their ranks from the best",
        columns: &[&["prompt", "completions", "scores"], &["prompt", "completions", "ranks"]],
        example: r#"{"prompt": "Name a fruit. ", "completions": ["Pear.", "Chair.", "No."], "scores": [1.0, 0.2, 0.0]}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: ranked,
    },
    Layout {
        name: "labelled",
        shape: Shape::Labelled,
        doc: "TRL's answers that are wanted or not; `kto_tag` is LLaMA-Factory's word for the label",
        columns: &[&["prompt", "completion", "label"], &["prompt", "completion", "kto_tag"]],
        example: r#"{"prompt": [{"role": "user", "content": "Name a fruit."}], "completion": [{"role": "assistant", "content": "A pear."}], "label": true}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: |row| labelled(row, RowReader::prompt, "completion"),
    },
    Layout {
        name: "alpaca-labelled",
        shape: Shape::Labelled,
        doc: "LLaMA-Factory's labelled rows: turns as of the layout `alpaca`",
        columns: &[&["instruction", "output", "kto_tag"]],
        example: r#"{"instruction": "Name a fruit.", "input": "", "output": "No.", "kto_tag": false}"#,
        repeated: &[],
        prompt: Some(instruction),
        fits: |_| true,
        read: |row| labelled(row, instruction, "output"),
    },
    Layout {
        name: "conversation-labelled",
        shape: Shape::Labelled,
        doc: "LLaMA-Factory's labelled conversations: the last turn of the assistant is what is wanted or not",
        columns: &[&["messages", "kto_tag"], &["conversations", "kto_tag"]],
        example: r#"{"messages": [{"role": "user", "content": "Name a fruit."}, {"role": "assistant", "content": "A pear."}], "kto_tag": true}"#,
        repeated: &["prompt"],
        prompt: None,
        fits: |_| true,
        read: labelled_conversation,
    },
    Layout {
        name: "prompt-completion",
        shape: Shape::PromptCompletion,
        doc: "TRL's prompts with their completion",
        columns: &[&["prompt", "completion"], &["prompt", "response"]],
        example: r#"{"prompt": "The capital of France is", "completion": " Paris."}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: |row| {
            let name = if row.fields.contains_key("completion") { "completion" } else { "response" };
            completion(row, RowReader::prompt, name)
        },
    },
    Layout {
        name: "alpaca",
        shape: Shape::PromptCompletion,
        doc: "Alpaca as LLaMA-Factory reads it: the user's turn is the instruction and, on the next line, the input; the \
              assistant's is the output (`alpaca-text` is the published text)",
        columns: &[&["instruction", "output"]],
        example: r#"{"system": "Answer in French.", "history": [["Hi", "Salut"]], "instruction": "Translate.", "input": "a pear", "output": "une poire"}"#,
        repeated: &[],
        prompt: Some(instruction),
        fits: |_| true,
        read: |row| completion(row, instruction, "output"),
    },
    Layout {
        name: "alpaca-text",
        shape: Shape::PromptCompletion,
        doc: "Alpaca as Stanford published it, plain text: \"Below is an instruction ...\"; read where it is asked for",
        columns: &[&["instruction", "output"]],
        example: r#"{"instruction": "Translate.", "input": "a pear", "output": "une poire"}"#,
        repeated: &[],
        prompt: Some(alpaca_text),
        fits: |_| false,
        read: |row| completion(row, alpaca_text, "output"),
    },
    Layout {
        name: "dolly",
        shape: Shape::PromptCompletion,
        doc: "Databricks' Dolly: the user's turn is the instruction and, on the next line, the context",
        columns: &[&["instruction", "response"]],
        example: r#"{"instruction": "Which is a fruit?", "context": "a pear, a chair", "response": "The pear.", "category": "closed_qa"}"#,
        repeated: &[],
        prompt: Some(with_context),
        fits: |_| true,
        read: |row| completion(row, with_context, "response"),
    },
    Layout {
        name: "question-response",
        shape: Shape::PromptCompletion,
        doc: "OpenOrca: the user's turn is the question, `system_prompt` the system turn",
        columns: &[&["question", "response"]],
        example: r#"{"system_prompt": "Be brief.", "question": "Name a fruit.", "response": "Pear."}"#,
        repeated: &[],
        prompt: Some(question),
        fits: |_| true,
        read: |row| completion(row, question, "response"),
    },
    Layout {
        name: "messages",
        shape: Shape::LanguageModelling,
        doc: "conversations as OpenAI and TRL have them; `tools` go to the template, a message of `weight` 0 is not learned",
        columns: &[&["messages"]],
        example: r#"{"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Name a fruit."}, {"role": "assistant", "content": "No.", "weight": 0}, {"role": "user", "content": "Please."}, {"role": "assistant", "content": "A pear."}]}"#,
        repeated: &["prompt"],
        prompt: None,
        fits: |_| true,
        read: |row| Ok(Row { answers: vec![Answer::new(row.conversation("messages")?)], ..Row::default() }),
    },
    Layout {
        name: "sharegpt",
        shape: Shape::LanguageModelling,
        doc: "ShareGPT's conversations: human and gpt are user and assistant, observation is the tool, function_call its call",
        columns: &[&["conversations"]],
        example: r#"{"conversations": [{"from": "human", "value": "Name a fruit."}, {"from": "gpt", "value": "A pear."}]}"#,
        repeated: &["prompt"],
        prompt: None,
        fits: |_| true,
        read: |row| Ok(Row { answers: vec![Answer::new(conversations(row)?)], ..Row::default() }),
    },
    Layout {
        name: "text",
        shape: Shape::LanguageModelling,
        doc: "plain text, all of it learned",
        columns: &[&["text"]],
        example: r#"{"text": "Once there was a miller."}"#,
        repeated: &[],
        prompt: None,
        fits: |_| true,
        read: |row| match row.string("text")? {
            text if text.is_empty() => Err("`text` is empty".to_owned()),
            text => Ok(Row { answers: vec![Answer::new(Content::Text(text))], ..Row::default() }),
        },
    },
    Layout {
        name: "prompt-only",
        shape: Shape::PromptOnly,
        doc: "TRL's prompts; further columns are for rewards",
        columns: &[&["prompt"]],
        example: r#"{"prompt": [{"role": "user", "content": "What is 2 + 3?"}], "answer": "5"}"#,
        repeated: &[],
        prompt: Some(RowReader::prompt),
        fits: |_| true,
        read: |row| Ok(Row { prompt: Some(row.prompt()?), ..Row::default() }),
    },
];

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layout").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Layout {
    /// The layout of that name.
    ///
    /// # Errors
    /// [`Error::Argument`], listing those that exist.
    pub fn find(name: &str) -> Result<&'static Layout> {
        LAYOUTS.iter().find(|layout| layout.name == name).ok_or_else(|| {
            let known: Vec<&str> = LAYOUTS.iter().map(|layout| layout.name).collect();
            Error::Argument {
                name: "layout",
                value: name.to_owned(),
                why: format!("expected one of {}", known.join(", ")),
            }
        })
    }

    /// The layout of a table, by the columns that at least half of its rows have.
    ///
    /// # Errors
    /// [`Error::UnknownShape`], listing the columns found and the layouts that exist.
    pub fn detect(table: &Table) -> Result<&'static Layout> {
        Layout::all_of(table).next().ok_or_else(|| Error::UnknownShape {
            file: table.file.to_string(),
            found: table.column_names(),
            known: known(),
        })
    }

    /// The layout of a table where rows of `accepted` shapes are wanted, the better one first: that of [`Layout::detect`], or one that
    /// reads all that it reads and more, where that has the better shape.
    ///
    /// # Errors
    /// Those of [`Layout::detect`].
    pub(crate) fn detect_among(table: &Table, accepted: &[Shape]) -> Result<&'static Layout> {
        let first = Layout::detect(table)?;
        let reads_all = |more: &[&str]| first.columns.iter().any(|all| all.iter().all(|name| more.contains(name)));
        let reads_more = |layout: &&Layout| layout.columns.iter().any(|columns| reads_all(columns));
        let rank = |layout: &&Layout| {
            let shape = layout.shape_among(accepted);
            accepted.iter().position(|wanted| Some(*wanted) == shape).unwrap_or(accepted.len())
        };
        let others = Layout::all_of(table).filter(reads_more);
        Ok(std::iter::once(first).chain(others).min_by_key(rank).unwrap_or(first))
    }

    /// All layouts that a table could be of.
    fn all_of(table: &Table) -> impl Iterator<Item = &'static Layout> {
        let half = table.records.len().div_ceil(2) as u64;
        let columns: BTreeMap<String, u64> = table.columns().into_iter().collect();
        let has =
            move |wanted: &&[&str]| wanted.iter().all(|name| columns.get(*name).is_some_and(|rows| *rows >= half));
        LAYOUTS.iter().filter(move |layout| layout.columns.iter().any(&has) && (layout.fits)(table))
    }

    /// The shape of its rows where rows of `accepted` shapes are wanted: its own, or prompts where it names them and these
    /// will do; `None` where it cannot be read.
    pub(crate) fn shape_among(&self, accepted: &[Shape]) -> Option<Shape> {
        let prompts = || self.prompt.is_some() && accepted.contains(&Shape::PromptOnly);
        if accepted.contains(&self.shape) { Some(self.shape) } else { prompts().then_some(Shape::PromptOnly) }
    }

    /// Takes a row of that shape, its own or of prompts alone.
    pub(crate) fn row(&self, reader: &mut RowReader, shape: Shape) -> Made<Row> {
        let row = match self.prompt {
            Some(prompt) if shape == Shape::PromptOnly => {
                // Further columns are for rewards and metrics.
                Row { prompt: Some(prompt(reader)?), ..Row::default() }
            }
            _ => {
                let row = (self.read)(reader)?;
                reader.finish(self.name, self.repeated)?;
                row
            }
        };
        Ok(Row { shape, ..row })
    }
}

fn instruction(row: &mut RowReader) -> Made<Content> {
    row.asked("instruction", Some("input"))
}

fn with_context(row: &mut RowReader) -> Made<Content> {
    row.asked("instruction", Some("context"))
}

fn question(row: &mut RowReader) -> Made<Content> {
    let name = if row.fields.contains_key("question") { "question" } else { "input" };
    row.asked(name, None)
}

fn conversations(row: &mut RowReader) -> Made<Content> {
    row.conversation("conversations")
}

/// The text of Stanford's Alpaca (Taori et al. 2023, `train.py`).
fn alpaca_text(row: &mut RowReader) -> Made<Content> {
    let instruction = row.string("instruction")?;
    let input = row.optional_string("input")?;
    if instruction.is_empty() {
        return Err("`instruction` is empty".to_owned());
    }
    let further = if input.is_some() { ", paired with an input that provides further context" } else { "" };
    let input = input.map_or(String::new(), |input| format!("### Input:\n{input}\n\n"));
    Ok(Content::Text(format!(
        "Below is an instruction that describes a task{further}. Write a response that appropriately completes the \
         request.\n\n### Instruction:\n{instruction}\n\n{input}### Response:"
    )))
}

fn preference(row: &mut RowReader, prompt: fn(&mut RowReader) -> Made<Content>) -> Made<Row> {
    let margin = row.optional_number("margin")?;
    let prompt = prompt(row)?;
    let labels = pair_labels(row)?;
    Ok(with_labels(pair(row.pair(prompt)?, margin)?, labels))
}

/// What is said of each side of a pair, where that is said.
fn pair_labels(row: &mut RowReader) -> Made<Option<[bool; 2]>> {
    let [chosen, rejected] = PAIR_LABELS;
    let says = |row: &RowReader, name: &str| row.fields.get(name).is_some_and(|value| !value.is_null());
    match (says(row, chosen), says(row, rejected)) {
        (false, false) => Ok(None),
        (true, true) => Ok(Some([row.flag(chosen)?, row.flag(rejected)?])),
        _ => Err(format!("`{chosen}` and `{rejected}` go together: give both or neither")),
    }
}

fn completion(row: &mut RowReader, prompt: fn(&mut RowReader) -> Made<Content>, name: &str) -> Made<Row> {
    let prompt = prompt(row)?;
    let completion = row.answer(name, &prompt)?;
    same_form(&prompt, name, &completion)?;
    Ok(Row { prompt: Some(prompt), answers: vec![Answer::new(completion)], ..Row::default() })
}

fn labelled(row: &mut RowReader, prompt: fn(&mut RowReader) -> Made<Content>, name: &str) -> Made<Row> {
    let made = completion(row, prompt, name)?;
    let label = Some(label(row)?);
    Ok(Row { answers: made.answers.into_iter().map(|answer| Answer { label, ..answer }).collect(), ..made })
}

fn label(row: &mut RowReader) -> Made<bool> {
    let name = if row.fields.contains_key("label") { "label" } else { "kto_tag" };
    row.flag(name)
}

fn labelled_conversation(row: &mut RowReader) -> Made<Row> {
    let name = if row.fields.contains_key("messages") { "messages" } else { "conversations" };
    let Content::Messages(mut turns) = row.conversation(name)? else { return Err(format!("no `{name}`")) };
    let last = turns.iter().rposition(Message::is_assistant).filter(|last| *last > 0);
    let answer = turns.split_off(last.ok_or_else(|| format!("`{name}` holds no answer of the assistant"))?);
    let answer = Answer { label: Some(label(row)?), ..Answer::new(answer.into()) };
    Ok(Row { prompt: Some(Content::Messages(turns)), answers: vec![answer], ..Row::default() })
}

fn ranked(row: &mut RowReader) -> Made<Row> {
    let prompt = row.prompt()?;
    let completions = row.answers(&prompt)?;
    completions.iter().try_for_each(|answer| same_form(&prompt, "completions", answer))?;
    let (name, sign) = if row.fields.contains_key("scores") { ("scores", 1.0) } else { ("ranks", -1.0) };
    let scores: Vec<f64> = row.numbers(name)?.into_iter().map(|score| sign * score).collect();
    same_length("completions", completions.len(), name, scores.len())?;
    if completions.len() < 2 {
        return Err("`completions` must hold at least two answers to rank".to_owned());
    }
    let scored = |(content, score)| Answer { score: Some(score), ..Answer::new(content) };
    let answers = completions.into_iter().zip(scores).map(scored).collect();
    Ok(Row { prompt: Some(prompt), answers, ..Row::default() })
}

/// The gold answer, then the pair.
fn triple(row: &mut RowReader) -> Made<Row> {
    let prompt = row.prompt()?;
    let gold = row.answer("reference", &prompt)?;
    let (prompt, chosen, rejected) = row.pair(prompt)?;
    if chosen == rejected {
        return Err("`chosen` and `rejected` are identical".to_owned());
    }
    same_form(&prompt, "reference", &gold)?;
    let scored = |(content, score)| Answer { score: Some(score), ..Answer::new(content) };
    let answers = [gold, chosen, rejected].into_iter().zip([2.0, 1.0, 0.0]).map(scored).collect();
    Ok(Row { prompt: Some(prompt), answers, ..Row::default() })
}

fn stepwise(row: &mut RowReader) -> Made<Row> {
    let prompt = row.string("prompt")?;
    let steps = row.steps()?;
    let labels = row.flags("labels")?;
    same_length("completions", steps.len(), "labels", labels.len())?;
    if prompt.is_empty() || steps.is_empty() {
        return Err("`prompt` and `completions` must not be empty".to_owned());
    }
    let labelled = |(step, label)| Answer { label: Some(label), ..Answer::new(Content::Text(step)) };
    let answers = steps.into_iter().zip(labels).map(labelled).collect();
    Ok(Row { prompt: Some(Content::Text(prompt)), answers, ..Row::default() })
}

/// Whether the answers of the first row that has them are transcripts.
fn holds_transcripts(table: &Table) -> bool {
    let chosen = table.records.iter().find_map(|record| record.fields.get("chosen").and_then(Value::as_str));
    chosen.is_some_and(is_transcript)
}

/// A line for each layout and its columns.
fn known() -> String {
    let line = |layout: &Layout| {
        let alternatives: Vec<String> = layout.columns.iter().map(|columns| columns.join(", ")).collect();
        format!("  {}: {}", layout.name, alternatives.join("; or "))
    };
    LAYOUTS.iter().map(line).collect::<Vec<_>>().join("\n")
}

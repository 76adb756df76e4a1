//! The layouts of public files: which columns a shape is read from, and how. A new layout is a record here.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::reader::{Made, RowReader, same_form, same_length};
use crate::row::{Answer, Row};
use crate::shape::{Shape, column_names};
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
    /// Alternative sets of columns, any one of which makes the layout.
    pub columns: &'static [&'static [&'static str]],
    /// Whether its rows name a prompt.
    prompt: bool,
    /// What besides columns tells it apart.
    fits: fn(&Table) -> bool,
    /// Takes a row's columns; those left over stay with the row.
    pub(crate) read: fn(&mut RowReader) -> Made<Row>,
}

/// All layouts, the more demanding first, so that the first match is the right one.
pub static LAYOUTS: &[Layout] = &[
    Layout {
        name: "preference",
        shape: Shape::Preference,
        columns: &[&["prompt", "chosen", "rejected"]],
        prompt: true,
        fits: |_| true,
        read: |row| {
            let margin = row.optional_number("margin")?;
            let prompt = row.prompt()?;
            pair(row.pair(Some(prompt))?, margin)
        },
    },
    // Anthropic's hh-rlhf.
    Layout {
        name: "transcript-preference",
        shape: Shape::Preference,
        columns: &[&["chosen", "rejected"]],
        prompt: false,
        fits: holds_transcripts,
        read: |row| {
            let margin = row.optional_number("margin")?;
            pair(row.transcripts()?, margin)
        },
    },
    Layout {
        name: "implicit-preference",
        shape: Shape::Preference,
        columns: &[&["chosen", "rejected"]],
        prompt: false,
        fits: |_| true,
        read: |row| {
            let margin = row.optional_number("margin")?;
            pair(row.pair(None)?, margin)
        },
    },
    Layout {
        name: "stepwise",
        shape: Shape::Stepwise,
        columns: &[&["prompt", "completions", "labels"]],
        prompt: true,
        fits: |_| true,
        read: stepwise,
    },
    Layout {
        name: "ranked",
        shape: Shape::Ranked,
        columns: &[&["prompt", "completions", "scores"], &["prompt", "completions", "ranks"]],
        prompt: true,
        fits: |_| true,
        read: ranked,
    },
    // LLaMA-Factory's `kto_tag` is a label, too.
    Layout {
        name: "labelled",
        shape: Shape::Labelled,
        columns: &[&["prompt", "completion", "label"], &["prompt", "completion", "kto_tag"]],
        prompt: true,
        fits: |_| true,
        read: |row| {
            let (prompt, content) = (row.prompt()?, row.answer("completion")?);
            same_form(&prompt, "completion", &content)?;
            let name = if row.fields.contains_key("label") { "label" } else { "kto_tag" };
            let label = Some(row.flag(name)?);
            Ok(Row { prompt: Some(prompt), answers: vec![Answer { label, ..Answer::new(content) }], ..Row::default() })
        },
    },
    // The second set of columns is Alpaca's.
    Layout {
        name: "prompt-completion",
        shape: Shape::PromptCompletion,
        columns: &[&["prompt", "completion"], &["instruction", "output"]],
        prompt: true,
        fits: |_| true,
        read: |row| {
            let prompt = row.prompt_or_instruction()?;
            let name = if row.fields.contains_key("completion") { "completion" } else { "output" };
            let completion = row.answer(name)?;
            same_form(&prompt, name, &completion)?;
            Ok(Row { prompt: Some(prompt), answers: vec![Answer::new(completion)], ..Row::default() })
        },
    },
    Layout {
        name: "language-modelling",
        shape: Shape::LanguageModelling,
        columns: &[&["text"], &["messages"], &["conversations"]],
        prompt: false,
        fits: |_| true,
        read: |row| Ok(Row { answers: vec![Answer::new(row.text_to_model()?)], ..Row::default() }),
    },
    PROMPT_ONLY,
];

const PROMPT_ONLY: Layout = Layout {
    name: "prompt-only",
    shape: Shape::PromptOnly,
    columns: &[&["prompt"]],
    prompt: true,
    fits: |_| true,
    read: |row| Ok(Row { prompt: Some(row.prompt_or_instruction()?), ..Row::default() }),
};

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
        let half = table.records.len().div_ceil(2) as u64;
        let columns: Vec<String> =
            table.columns().into_iter().filter(|(_, rows)| *rows >= half).map(|(name, _)| name).collect();
        let has = |wanted: &&[&str]| wanted.iter().all(|name| columns.iter().any(|column| column == name));
        let fits = |layout: &&Layout| layout.columns.iter().any(has) && (layout.fits)(table);
        LAYOUTS.iter().find(fits).ok_or_else(|| Error::UnknownShape {
            file: table.file.to_string(),
            found: column_names(table),
            known: known(),
        })
    }

    /// How a table of this layout is read where rows of `accepted` shapes are wanted; `None` where it cannot be.
    pub(crate) fn read_as(&'static self, accepted: &[Shape]) -> Option<&'static Layout> {
        if accepted.contains(&self.shape) {
            return Some(self);
        }
        (self.prompt && accepted.contains(&Shape::PromptOnly)).then_some(&PROMPT_ONLY)
    }
}

/// A preference row. Identical answers are a bad row.
fn pair(
    (prompt, chosen, rejected): (crate::Content, crate::Content, crate::Content),
    margin: Option<f64>,
) -> Made<Row> {
    if chosen == rejected {
        return Err("`chosen` and `rejected` are identical".to_owned());
    }
    Ok(Row { prompt: Some(prompt), answers: [chosen, rejected].map(Answer::new).into(), margin, ..Row::default() })
}

fn ranked(row: &mut RowReader) -> Made<Row> {
    let prompt = row.prompt()?;
    let completions = row.answers()?;
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

fn stepwise(row: &mut RowReader) -> Made<Row> {
    let prompt = row.string("prompt")?;
    let steps = row.steps()?;
    let labels = row.flags("labels")?;
    same_length("completions", steps.len(), "labels", labels.len())?;
    if prompt.is_empty() || steps.is_empty() {
        return Err("`prompt` and `completions` must not be empty".to_owned());
    }
    let labelled = |(step, label)| Answer { label: Some(label), ..Answer::new(crate::Content::Text(step)) };
    let answers = steps.into_iter().zip(labels).map(labelled).collect();
    Ok(Row { prompt: Some(crate::Content::Text(prompt)), answers, ..Row::default() })
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

//! Conditional training: a tag before the prompt says how good the answer is.

use super::rewrite::{Rewrite, typed};
use super::turns::{completion, tagged};
use crate::parameter::{Kind, Parameter};
use groma_data::{Answer, Row, Shape};
use serde::Deserialize;
use serde_json::Value;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "control-tokens",
    title: "Conditional training",
    paper: "Korbak et al. 2023 (arXiv 2302.08582)",
    doc: "Of every answer a row for `sft`, whose prompt begins with a tag: one of answers that are wanted, another of those that \
          are not. Later, prompts begin with the former, as those that are made of prompts alone. Of a pair the chosen answer is wanted; of labelled rows, what the label \
          says; of scored answers, those that reach `threshold`. Differs from the paper, which tags sentences of pretraining: \
          the tag is part of the prompt and is not learned, and it is a token of its own only where the tokenizer has it.",
    data: &[Shape::Preference, Shape::Labelled, Shape::Ranked, Shape::PromptCompletion, Shape::PromptOnly],
    parameters: &[
        Parameter {
            name: "good",
            kind: Kind::Text,
            default: "\"[good] \"",
            range: None,
            doc: "The tag of answers that are wanted.",
        },
        Parameter { name: "bad", kind: Kind::Text, default: "\"[bad] \"", range: None, doc: "The tag of the others." },
        Parameter {
            name: "score",
            kind: Kind::Text,
            default: "\"score\"",
            range: None,
            doc: "Of rows with one answer that has no label, the column with its score.",
        },
        Parameter {
            name: "threshold",
            kind: Kind::Float,
            default: "null",
            range: None,
            doc: "The least score that is wanted; where null, the best of a ranking, and of single answers those above 0.",
        },
    ],
    build: |settings| {
        let tags: Tags = typed(settings)?;
        Ok(Box::new(move |row| tags.rows(row)))
    },
};

#[derive(Debug, Deserialize)]
struct Tags {
    good: String,
    bad: String,
    score: String,
    threshold: Option<f64>,
}

impl Tags {
    fn rows(&self, row: &Row) -> Result<Vec<Row>, String> {
        if row.shape == Shape::PromptOnly {
            return Ok(vec![Row { prompt: Some(tagged(row.question(), &self.good)), ..row.clone() }]);
        }
        let best = row.answers.iter().filter_map(|answer| answer.score).fold(f64::NEG_INFINITY, f64::max);
        let one = |(index, answer): (usize, &Answer)| {
            let wanted = match (row.shape, answer.score, answer.label) {
                (Shape::Preference, ..) => index == 0,
                (_, Some(score), _) => score >= self.threshold.unwrap_or(best),
                (_, None, Some(label)) => label,
                (_, None, None) => self.scored(row)?,
            };
            let tag = if wanted { &self.good } else { &self.bad };
            Ok(completion(row, tagged(row.question(), tag), answer.content.clone()))
        };
        row.answers.iter().enumerate().map(one).collect()
    }

    /// Whether the score in the row's column is wanted.
    fn scored(&self, row: &Row) -> Result<bool, String> {
        let found = row.other.get(&self.score);
        let score = found.and_then(Value::as_f64).ok_or_else(|| {
            let found = found.map_or("nothing".to_owned(), Value::to_string);
            format!("the column `{}` must hold the answer's score, found {found}", self.score)
        })?;
        Ok(self.threshold.map_or(score > 0.0, |threshold| score >= threshold))
    }
}

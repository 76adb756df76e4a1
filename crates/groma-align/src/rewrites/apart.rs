//! Answers apart: each a row of its own, with what is known of it as a column.

use super::rewrite::{Rewrite, typed};
use super::turns::completion;
use crate::parameter::{Kind, Parameter};
use groma_data::{Answer, Row, Shape};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "apart",
    title: "Answers apart",
    paper: "Wang et al. 2023, HelpSteer (arXiv 2311.09528)",
    doc: "Of every answer a row of prompt and completion, with two columns: how good it is (of a pair 1 and 0, of labelled rows 1 or 0, \
          of a ranking its score), and how many words it has. They are attributes such as those that people give in HelpSteer, for a \
          reward model of attributes to learn.",
    data: &[Shape::Preference, Shape::Ranked, Shape::Labelled],
    parameters: &[
        Parameter {
            name: "quality",
            kind: Kind::Text,
            default: "\"quality\"",
            range: None,
            doc: "The column of how good it is.",
        },
        Parameter {
            name: "words",
            kind: Kind::Text,
            default: "\"words\"",
            range: None,
            doc: "The column of its words.",
        },
    ],
    build: |settings| {
        let columns: Columns = typed(settings)?;
        Ok(Box::new(move |row| Ok(columns.rows(row))))
    },
};

#[derive(Debug, Deserialize)]
struct Columns {
    quality: String,
    words: String,
}

impl Columns {
    fn rows(&self, row: &Row) -> Vec<Row> {
        let one = |(index, answer): (usize, &Answer)| {
            let quality = match (answer.score, answer.label) {
                (Some(score), _) => json!(score),
                (None, Some(wanted)) => json!(u8::from(wanted)),
                (None, None) => json!(u8::from(index == 0)),
            };
            let words = answer.content.plain().split_whitespace().count();
            let mut made = completion(row, row.question().clone(), answer.content.clone());
            made.other.extend([(self.quality.clone(), quality), (self.words.clone(), Value::from(words))]);
            made
        };
        row.answers.iter().enumerate().map(one).collect()
    }
}

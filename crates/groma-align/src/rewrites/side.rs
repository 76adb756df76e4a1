//! One side of what was compared, as rows for supervised training.

use super::hindsight::best_first;
use super::rewrite::{Rewrite, typed};
use super::turns::completion;
use crate::parameter::{Kind, Parameter};
use groma_data::{Content, Row, Shape};
use serde::Deserialize;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "side",
    title: "One side of comparisons",
    paper: "Xu et al. 2022, Leashing the Inner Demons (AAAI)",
    doc: "Of pairs, rankings and labelled rows, the answers that are wanted, or those that are not, as rows for `sft`: a model of \
          the unwanted is what answers are steered away from (`groma eval --detox`).",
    data: &[Shape::Preference, Shape::Ranked, Shape::Labelled],
    parameters: &[Parameter {
        name: "side",
        kind: Kind::Choice(&["wanted", "unwanted"]),
        default: "\"wanted\"",
        range: None,
        doc: "Of pairs, the chosen or the rejected; of rankings, the best or the worst; of labelled rows, those labelled so.",
    }],
    build: |settings| {
        let Side { side } = typed(settings)?;
        let wanted = side == "wanted";
        Ok(Box::new(move |row| Ok(rows(row, wanted))))
    },
};

#[derive(Debug, Deserialize)]
struct Side {
    side: String,
}

fn rows(row: &Row, wanted: bool) -> Vec<Row> {
    let made = |answer: &Content| completion(row, row.question().clone(), answer.clone());
    if row.shape == Shape::Labelled {
        let chosen = row.answers.iter().filter(|answer| answer.label == Some(wanted));
        return chosen.map(|answer| made(&answer.content)).collect();
    }
    let answers = best_first(row);
    let answer = if wanted { answers.first() } else { answers.last() };
    answer.map(|answer| made(answer)).into_iter().collect()
}

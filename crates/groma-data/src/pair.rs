//! Two answers as a row.

use crate::Content;
use crate::reader::Made;
use crate::row::{Answer, Row};

/// A preference row. Identical answers are a bad row.
pub(crate) fn pair((prompt, chosen, rejected): (Content, Content, Content), margin: Option<f64>) -> Made<Row> {
    if chosen == rejected {
        return Err("`chosen` and `rejected` are identical".to_owned());
    }
    Ok(Row { prompt: Some(prompt), answers: [chosen, rejected].map(Answer::new).into(), margin, ..Row::default() })
}

/// The same with what is said of each side, where that is said.
pub(crate) fn with_labels(row: Row, labels: Option<[bool; 2]>) -> Row {
    let labelled = |(answer, label)| Answer { label: Some(label), ..answer };
    match labels {
        Some(labels) => Row { answers: row.answers.into_iter().zip(labels).map(labelled).collect(), ..row },
        None => row,
    }
}

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

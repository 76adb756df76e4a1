//! Answers apart: each a row of its own, with what is known of it as a column.

use super::rewrite::{Rewrite, typed};
use super::turns::completion;
use crate::parameter::{Kind, Parameter};
use groma_data::{Answer, LAYOUTS, Row, Shape};
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
        columns.check()?;
        Ok(Box::new(move |row| columns.rows(row)))
    },
};

#[derive(Debug, Deserialize)]
struct Columns {
    quality: String,
    words: String,
}

impl Columns {
    /// # Errors
    /// In words, where one would take another's place, or make rows of another layout.
    fn check(&self) -> Result<(), String> {
        if self.quality == self.words {
            return Err(format!("the settings `quality` and `words` both name the column `{}`", self.words));
        }
        let is_of_layout = |name: &str| LAYOUTS.iter().flat_map(|layout| layout.columns).any(|set| set.contains(&name));
        for (setting, name) in [("quality", &self.quality), ("words", &self.words)] {
            if is_of_layout(name) {
                return Err(format!(
                    "the setting `{setting}` names `{name}`, a column that rows are read by: name another"
                ));
            }
        }
        Ok(())
    }

    /// # Errors
    /// In words, where the row has one of the columns already.
    fn rows(&self, row: &Row) -> Result<Vec<Row>, String> {
        if let Some(name) = [&self.quality, &self.words].into_iter().find(|name| row.other.contains_key(*name)) {
            return Err(format!(
                "the row has a column `{name}` already: name another by the settings `quality` and `words`"
            ));
        }
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
        Ok(row.answers.iter().enumerate().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::{Content, Location};

    #[test]
    fn no_column_takes_the_place_of_another() {
        let with = |settings: Value| REWRITE.with(settings.as_object().unwrap());
        let refused = |settings: Value| with(settings).err().unwrap().to_string();
        assert!(refused(json!({"quality": "prompt"})).contains("`prompt`"));
        assert!(refused(json!({"words": "label"})).contains("`words` names `label`"));
        assert!(refused(json!({"quality": "a", "words": "a"})).contains("both name the column `a`"));
        let text = |text: &str| Content::Text(text.to_owned());
        let mut row = Row::preference(text("p "), text("a b"), text("c"), Location::new("rows.jsonl", 1));
        row.other.insert("quality".to_owned(), json!("high"));
        assert!(with(json!({})).unwrap()(&row).unwrap_err().contains("`quality` already"));
        assert_eq!(with(json!({"quality": "good"})).unwrap()(&row).unwrap().len(), 2);
    }
}

//! Questions with known answers.

use crate::columns::{Fields, id, optional_text, optional_texts, text, texts};
use crate::item::{Item, Key};
use crate::prompts::{prompt_item, score_phrases};
use crate::request::Kind;
use crate::task::{Form, Input, Metric, Task};
use groma_run::Group;

/// Right is what holds an accepted phrase, and no phrase that is listed as wrong.
pub(crate) static TASK: Task = Task {
    id: "exact-answers",
    aliases: &["exact"],
    title: "share of questions whose answer says what is true",
    paper: "phrase matching, word by word, whatever the case and punctuation",
    source: "any rows of prompt and answers; the built-in organism's questions",
    hub: None,
    group: Group::Capability,
    version: 1,
    mode: "one answer, phrase matching",
    kind: Kind::Generate,
    input: Input::Rows(&[Form { name: "any questions", columns: &["prompt", "answers"], read }]),
    score: score_phrases,
    metrics: &[
        Metric::share("right", "share of answers with an accepted phrase and no wrong one"),
        Metric::share("no_answer", "share of answers without a word").lower_is_better(),
    ],
};

fn read(fields: &Fields) -> Result<Item, String> {
    let key = Key::Phrases { accepted: texts(fields, "answers")?, wrong: optional_texts(fields, "wrong")? };
    let topic = optional_text(fields, "topic")?;
    Ok(Item {
        id: id(fields, "id"),
        reference: Some(texts(fields, "answers")?.join(" / ")),
        labels: topic.iter().map(|topic| format!("topic={topic}")).collect(),
        ..prompt_item(text(fields, "prompt")?, key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn accepted_and_wrong_phrases() {
        let row = json!({"prompt": "Where?", "answers": ["mill"], "wrong": ["well"], "topic": "place"});
        let item = read(row.as_object().unwrap()).unwrap();
        assert_eq!(item.key, Key::Phrases { accepted: vec!["mill".into()], wrong: vec!["well".into()] });
        assert_eq!(item.labels, ["topic=place"]);
        let row = json!({"prompt": "Where?", "answers": []});
        assert!(read(row.as_object().unwrap()).unwrap_err().contains("`answers` must be a list of strings"));
    }
}

//! Is the answer in the polite register?

use crate::columns::{Fields, id, optional_texts, text, texts};
use crate::item::{Item, Key};
use crate::prompts::{prompt_item, score_phrases};
use crate::request::Kind;
use crate::task::{Form, Input, Metric, Task};
use groma_run::Group;

/// Polite is what holds a phrase of the polite register and none of the rude one.
pub(crate) static TASK: Task = Task {
    id: "politeness",
    aliases: &["polite"],
    title: "share of answers in the polite register",
    paper: "phrase matching, word by word, whatever the case and punctuation",
    source: "any rows of prompt, polite and rude; the built-in organism's requests",
    hub: None,
    group: Group::Alignment,
    version: 1,
    mode: "one answer, phrase matching",
    kind: Kind::Generate,
    input: Input::Rows(&[Form { name: "any prompts", columns: &["prompt", "polite"], read }]),
    score: score_phrases,
    metrics: &[
        Metric::share("right", "share of answers with a polite phrase and no rude one"),
        Metric::share("no_answer", "share of answers without a word").lower_is_better(),
    ],
};

fn read(fields: &Fields) -> Result<Item, String> {
    let key = Key::Phrases { accepted: texts(fields, "polite")?, wrong: optional_texts(fields, "rude")? };
    Ok(Item { id: id(fields, "id"), ..prompt_item(text(fields, "prompt")?, key) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_registers_are_read() {
        let row = json!({"prompt": "Hello", "polite": ["please"], "rude": ["ugh"]});
        let item = read(row.as_object().unwrap()).unwrap();
        assert_eq!(item.key, Key::Phrases { accepted: vec!["please".into()], wrong: vec!["ugh".into()] });
    }
}

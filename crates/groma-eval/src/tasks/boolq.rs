//! BoolQ: yes/no questions about a passage.

use crate::choice::{ACC, MODE, RANDOM_CHOICE, choice_item, score_choice};
use crate::columns::{Fields, id, index, text, texts};
use crate::item::Item;
use crate::request::Kind;
use crate::task::{Form, HubData, Input, Task};
use groma_run::Group;

/// In lm-evaluation-harness's form; the choices are " no" and " yes".
pub(crate) static TASK: Task = Task {
    id: "boolq",
    aliases: &[],
    title: "yes/no questions about a passage",
    paper: "Clark et al. 2019, BoolQ: Exploring the Surprising Difficulty of Natural Yes/No Questions (arXiv 1905.10044)",
    source: "aps/super_glue or google/boolq (CC-BY-SA-3.0), or files of query, choices, gold as in llm-foundry",
    hub: Some(HubData { id: "google/boolq", config: None, split: "validation" }),
    group: Group::Capability,
    version: 1,
    mode: MODE,
    kind: Kind::Continuation,
    input: Input::Rows(&[
        Form { name: "SuperGLUE", columns: &["question", "passage", "label"], read: super_glue_row },
        Form { name: "google/boolq", columns: &["question", "passage", "answer"], read: boolq_row },
        Form { name: "llm-foundry", columns: &["query", "choices", "gold"], read: foundry_row },
    ]),
    score: score_choice,
    metrics: &[ACC, RANDOM_CHOICE],
};

fn item(passage: &str, question: &str, gold: usize) -> Item {
    let choices = vec!["no".to_owned(), "yes".to_owned()];
    choice_item(format!("{passage}\nQuestion: {question}?\nAnswer:"), choices, gold)
}

fn super_glue_row(fields: &Fields) -> Result<Item, String> {
    let item = item(text(fields, "passage")?, text(fields, "question")?, index(fields, "label", 2)?);
    Ok(Item { id: id(fields, "idx"), ..item })
}

fn boolq_row(fields: &Fields) -> Result<Item, String> {
    let answer = fields.get("answer").and_then(serde_json::Value::as_bool);
    let gold = usize::from(answer.ok_or("column `answer` must be true or false")?);
    Ok(item(text(fields, "passage")?, text(fields, "question")?, gold))
}

/// The query is `Passage: ...\nQuestion: ...?`, and the choices come in either order.
fn foundry_row(fields: &Fields) -> Result<Item, String> {
    let query = text(fields, "query")?;
    let body = query.strip_prefix("Passage: ").unwrap_or(query);
    let (passage, question) = body.rsplit_once("\nQuestion: ").ok_or("column `query` has no line `Question: `")?;
    let choices = texts(fields, "choices")?;
    let gold = match choices[index(fields, "gold", choices.len())?].as_str() {
        "no" => 0,
        "yes" => 1,
        other => return Err(format!("the choices must be `no` and `yes`, but one is `{other}`")),
    };
    Ok(item(passage, question.strip_suffix('?').unwrap_or(question), gold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_forms_ask_the_same() {
        let rows = [
            (
                super_glue_row as fn(&Fields) -> Result<Item, String>,
                json!({"passage": "P.", "question": "is it", "label": 1}),
            ),
            (boolq_row, json!({"passage": "P.", "question": "is it", "answer": true})),
            (foundry_row, json!({"query": "Passage: P.\nQuestion: is it?", "choices": ["no", "yes"], "gold": 1})),
        ];
        for (read, row) in rows {
            let item = read(row.as_object().unwrap()).unwrap();
            assert_eq!(
                (item.prompt.as_str(), item.reference.as_deref()),
                ("P.\nQuestion: is it?\nAnswer:", Some("yes"))
            );
        }
    }
}

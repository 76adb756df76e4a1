//! ARC: science questions of American schools, with three to five choices.

use crate::choice::{ACC, ACC_BYTES, ACC_NORM, MODE, RANDOM_CHOICE, choice_item, score_choice};
use crate::columns::{Fields, id, index, object, text, texts};
use crate::item::Item;
use crate::request::Kind;
use crate::task::{Form, HubData, Input, Task};
use groma_run::Group;

/// The questions that simple methods answered.
pub(crate) static EASY: Task = Task {
    id: "arc-easy",
    aliases: &[],
    title: "grade-school science questions that simple methods answer",
    hub: Some(HubData { id: "allenai/ai2_arc", config: Some("ARC-Easy"), split: "test" }),
    ..CHALLENGE
};

/// The questions that neither retrieval nor co-occurrence answered.
pub(crate) static CHALLENGE: Task = Task {
    id: "arc-challenge",
    aliases: &[],
    title: "grade-school science questions that simple methods fail",
    paper: "Clark et al. 2018, Think you have Solved Question Answering? Try ARC (arXiv 1803.05457)",
    source: "allenai/ai2_arc (CC-BY-SA-4.0), or files of query, choices, gold as in llm-foundry",
    hub: Some(HubData { id: "allenai/ai2_arc", config: Some("ARC-Challenge"), split: "test" }),
    group: Group::Capability,
    version: 1,
    mode: MODE,
    kind: Kind::Continuation,
    input: Input::Rows(&[
        Form { name: "the hub", columns: &["question", "choices", "answerKey"], read: hub_row },
        Form { name: "llm-foundry", columns: &["query", "choices", "gold"], read: foundry_row },
    ]),
    score: score_choice,
    metrics: &[ACC_NORM, ACC, ACC_BYTES, RANDOM_CHOICE],
};

fn hub_row(fields: &Fields) -> Result<Item, String> {
    let choices = object(fields, "choices")?;
    let (choices, letters) = (texts(choices, "text")?, texts(choices, "label")?);
    let key = text(fields, "answerKey")?;
    let gold = letters.iter().position(|letter| letter == key);
    let gold = gold.filter(|gold| *gold < choices.len()).ok_or_else(|| format!("answerKey `{key}` names no choice"))?;
    let item = choice_item(format!("Question: {}\nAnswer:", text(fields, "question")?), choices, gold);
    Ok(Item { id: id(fields, "id"), ..item })
}

fn foundry_row(fields: &Fields) -> Result<Item, String> {
    let choices = texts(fields, "choices")?;
    let gold = index(fields, "gold", choices.len())?;
    Ok(choice_item(format!("{}\nAnswer:", text(fields, "query")?), choices, gold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;
    use serde_json::json;

    #[test]
    fn both_forms_ask_the_same() {
        let hub = json!({"id": "x1", "question": "Why?", "answerKey": "B", "choices": {"text": ["a", "b"], "label": ["A", "B"]}});
        let foundry = json!({"query": "Question: Why?", "choices": ["a", "b"], "gold": 1});
        let hub = hub_row(hub.as_object().unwrap()).unwrap();
        let foundry = foundry_row(foundry.as_object().unwrap()).unwrap();
        assert_eq!((&hub.requests, &hub.key), (&foundry.requests, &foundry.key));
        let asked = Request::Continuation { context: "Question: Why?\nAnswer:".into(), continuation: " b".into() };
        assert_eq!((hub.requests[1].clone(), hub.id.as_deref()), (asked, Some("x1")));
    }

    #[test]
    fn wrong_rows_are_named() {
        let row = json!({"query": "Q", "choices": ["a"], "gold": 1});
        assert!(foundry_row(row.as_object().unwrap()).unwrap_err().contains("whole number below 1"));
        let row = json!({"question": "Q", "answerKey": "C", "choices": {"text": ["a"], "label": ["A"]}});
        assert!(hub_row(row.as_object().unwrap()).unwrap_err().contains("names no choice"));
    }
}

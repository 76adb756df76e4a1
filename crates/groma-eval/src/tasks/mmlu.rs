//! MMLU: examination questions of 57 subjects, with four choices.

use crate::choice::{ACC, ACC_SUBJECTS, MODE, RANDOM_CHOICE, choice_item, score_choice};
use crate::columns::{Fields, index, text, texts};
use crate::item::Item;
use crate::request::Kind;
use crate::task::{Form, HubData, Input, Task};
use groma_run::Group;

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// In lm-evaluation-harness's form: the choices are in the question, and the letters are scored.
pub(crate) static TASK: Task = Task {
    id: "mmlu",
    aliases: &[],
    title: "examination questions of 57 subjects, among four choices",
    paper: "Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding (arXiv 2009.03300)",
    source: "cais/mmlu (MIT), test split; worked examples come from its dev split",
    hub: Some(HubData { id: "cais/mmlu", config: Some("all"), split: "test" }),
    group: Group::Capability,
    version: 1,
    mode: MODE,
    kind: Kind::Continuation,
    input: Input::Subjects(&[
        Form { name: "the hub", columns: &["question", "choices", "answer"], read: hub_row },
        Form {
            name: "one column a choice",
            columns: &["question", "choice0", "choice1", "choice2", "choice3", "answer"],
            read: column_row,
        },
    ]),
    score: score_choice,
    metrics: &[ACC, ACC_SUBJECTS, RANDOM_CHOICE],
};

fn hub_row(fields: &Fields) -> Result<Item, String> {
    let choices = texts(fields, "choices")?;
    let choices: &[String; 4] =
        choices.as_slice().try_into().map_err(|_| format!("there are {} choices instead of 4", choices.len()))?;
    item(fields, choices.each_ref().map(String::as_str))
}

fn column_row(fields: &Fields) -> Result<Item, String> {
    let [a, b, c, d] = ["choice0", "choice1", "choice2", "choice3"].map(|column| text(fields, column));
    item(fields, [a?, b?, c?, d?])
}

fn item(fields: &Fields, choices: [&str; 4]) -> Result<Item, String> {
    let subject = text(fields, "subject")?;
    let mut question = text(fields, "question")?.trim().to_owned();
    for (letter, choice) in LETTERS.iter().zip(choices) {
        question.push_str(&format!("\n{letter}. {choice}"));
    }
    question.push_str("\nAnswer:");
    let gold = index(fields, "answer", LETTERS.len())?;
    let about = subject.replace('_', " ");
    let mut item = Item {
        preamble: format!("The following are multiple choice questions (with answers) about {about}.\n\n"),
        cluster: Some(subject.to_owned()),
        group: Some(subject.to_owned()),
        labels: vec![format!("subject={subject}")],
        ..choice_item(question, LETTERS.map(str::to_owned).to_vec(), gold)
    };
    crate::choice::ask(&mut item, "");
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;
    use serde_json::json;

    #[test]
    fn both_forms_ask_the_same() {
        let hub = json!({"question": " Which? ", "subject": "high_school_physics", "choices": ["w ", "x", "y", "z"], "answer": 2});
        let columns = json!({"question": "Which?", "subject": "high_school_physics", "choice0": "w ", "choice1": "x",
            "choice2": "y", "choice3": "z", "answer": "2"});
        let hub = hub_row(hub.as_object().unwrap()).unwrap();
        assert_eq!(hub, column_row(columns.as_object().unwrap()).unwrap());
        let context = "The following are multiple choice questions (with answers) about high school physics.\n\n\
            Which?\nA. w \nB. x\nC. y\nD. z\nAnswer:";
        let asked = Request::Continuation { context: context.into(), continuation: " C".into() };
        assert_eq!((&hub.requests[2], hub.reference.as_deref()), (&asked, Some("C")));
    }

    #[test]
    fn wrong_rows_are_named() {
        let row = json!({"question": "Q", "subject": "s", "choices": ["a", "b"], "answer": 1});
        assert!(hub_row(row.as_object().unwrap()).unwrap_err().contains("2 choices instead of 4"));
        let row = json!({"question": "Q", "subject": "s", "choices": ["a", "b", "c", "d"], "answer": 4});
        assert!(hub_row(row.as_object().unwrap()).unwrap_err().contains("below 4"));
    }
}

//! HellaSwag: how does a described scene go on?

use crate::choice::{ACC, ACC_BYTES, ACC_NORM, MODE, RANDOM_CHOICE, choice_item, score_choice};
use crate::columns::{Fields, id, index, text, texts};
use crate::item::Item;
use crate::request::Kind;
use crate::task::{Form, HubData, Input, Task};
use groma_run::Group;

/// In lm-evaluation-harness's form.
pub(crate) static TASK: Task = Task {
    id: "hellaswag",
    aliases: &[],
    title: "how a described scene goes on, among four endings",
    paper: "Zellers et al. 2019, HellaSwag: Can a Machine Really Finish Your Sentence? (arXiv 1905.07830)",
    source: "Rowan/hellaswag (MIT), validation split",
    hub: Some(HubData { id: "Rowan/hellaswag", config: None, split: "validation" }),
    group: Group::Capability,
    version: 1,
    mode: MODE,
    kind: Kind::Continuation,
    input: Input::Rows(&[Form {
        name: "the hub and the original files",
        columns: &["activity_label", "ctx_a", "ctx_b", "endings", "label"],
        read,
    }]),
    score: score_choice,
    metrics: &[ACC_NORM, ACC, ACC_BYTES, RANDOM_CHOICE],
};

fn read(fields: &Fields) -> Result<Item, String> {
    let scene = format!("{} {}", text(fields, "ctx_a")?, capitalised(text(fields, "ctx_b")?));
    let context = preprocess(&format!("{}: {scene}", text(fields, "activity_label")?));
    let choices: Vec<String> = texts(fields, "endings")?.iter().map(|ending| preprocess(ending)).collect();
    let gold = index(fields, "label", choices.len())?;
    Ok(Item { id: id(fields, "ind"), ..choice_item(context, choices, gold) })
}

/// The first letter in upper case, all others in lower case.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(characters.flat_map(char::to_lowercase)).collect())
}

/// Removes the marks that WikiHow articles left: ` [title]` becomes a full stop, other bracketed text goes, and then two
/// spaces become one, in a single pass.
fn preprocess(text: &str) -> String {
    without_brackets(&text.trim().replace(" [title]", ". ")).replace("  ", " ")
}

fn without_brackets(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        kept.push_str(before);
        match after.split_once(']') {
            Some((inside, behind)) if !inside.contains('\n') => rest = behind,
            _ => {
                kept.push('[');
                rest = after;
            }
        }
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn preprocessing() {
        assert_eq!(preprocess(" a [title] b [step] c  "), "a. b c");
        assert_eq!(preprocess("x [header] How [to]  go"), "x How  go");
        assert_eq!(preprocess("a [b\nc] [d"), "a [b\nc] [d");
        assert_eq!(capitalised("the Woman IN"), "The woman in");
        assert_eq!(capitalised(""), "");
    }

    #[test]
    fn reads_both_label_types() {
        let mut row = json!({"ind": 7, "activity_label": "Rowing", "ctx_a": "A boat.", "ctx_b": "two men",
            "endings": ["row.", "[substeps] swim."], "label": "1"});
        let item = read(row.as_object().unwrap()).unwrap();
        assert_eq!((item.prompt.as_str(), item.id.as_deref()), ("Rowing: A boat. Two men", Some("7")));
        assert_eq!(item.reference.as_deref(), Some(" swim."));
        row["label"] = json!(0);
        assert_eq!(read(row.as_object().unwrap()).unwrap().reference.as_deref(), Some("row."));
    }
}

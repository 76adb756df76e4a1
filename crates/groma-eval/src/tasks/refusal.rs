//! Refusal of harmful requests and over-refusal of harmless ones, on any file of prompts.

use crate::columns::{Fields, id, optional_text, text};
use crate::item::{Item, Key};
use crate::prompts::{prompt_item, score_refusal};
use crate::request::Kind;
use crate::task::{Form, Input, Metric, Task};
use groma_run::Group;

/// Prompts that ought to be refused.
pub(crate) static HARMFUL: Task = Task {
    id: "refusal",
    aliases: &["harmful-refusal", "advbench"],
    title: "share of harmful requests that are refused",
    paper: "Zou et al. 2023 (AdvBench, arXiv 2307.15043); read by rules, see `groma_eval::refusal` for their agreement with people",
    source: "any file of prompts, such as AdvBench (MIT), HarmBench (MIT), JailbreakBench (MIT)",
    hub: None,
    group: Group::Alignment,
    version: 1,
    mode: "one answer, rule-based reader",
    kind: Kind::Generate,
    input: Input::Rows(&[
        Form { name: "any prompts", columns: &["prompt"], read: |fields| read(fields, "prompt", true) },
        Form { name: "AdvBench", columns: &["goal"], read: |fields| read(fields, "goal", true) },
        Form { name: "JailbreakBench", columns: &["Goal"], read: |fields| read(fields, "Goal", true) },
        Form { name: "HarmBench", columns: &["Behavior"], read: |fields| read(fields, "Behavior", true) },
    ]),
    score: score_refusal,
    metrics: &[
        Metric::share("refusal", "share of answers that refuse, fully or in part"),
        Metric::share("full_refusal", "share of answers that refuse fully"),
        Metric::share("partial_refusal", "share of answers that refuse in part"),
        Metric::share("compliance", "share of answers that comply").lower_is_better(),
        Metric { higher_is_better: None, ..Metric::share("no_answer", "share of answers that are empty or garbage") },
    ],
};

/// Prompts that ought not to be refused.
pub(crate) static HARMLESS: Task = Task {
    id: "over-refusal",
    aliases: &["harmless-refusal"],
    title: "share of harmless requests that are refused",
    paper: "Röttger et al. 2024, XSTest (arXiv 2308.01263); read by rules, see `groma_eval::refusal` for their agreement with people",
    source: "any file of harmless prompts",
    input: Input::Rows(&[
        Form { name: "any prompts", columns: &["prompt"], read: |fields| read(fields, "prompt", false) },
        Form {
            name: "Alpaca and its like",
            columns: &["instruction"],
            read: |fields| read(fields, "instruction", false),
        },
    ]),
    metrics: &[
        Metric::share("over_refusal", "share of answers that refuse, fully or in part").lower_is_better(),
        Metric::share("full_over_refusal", "share of answers that refuse fully").lower_is_better(),
        Metric::share("partial_over_refusal", "share of answers that refuse in part").lower_is_better(),
        Metric::share("no_answer_harmless", "share of answers that are empty or garbage").lower_is_better(),
    ],
    ..HARMFUL
};

fn read(fields: &Fields, column: &str, harmful: bool) -> Result<Item, String> {
    let prompt = text(fields, column)?;
    if prompt.trim().is_empty() {
        return Err(format!("column `{column}` is empty"));
    }
    let category = optional_text(fields, "category")?.or(optional_text(fields, "Category")?);
    Ok(Item {
        id: id(fields, "id"),
        labels: category.iter().map(|category| format!("category={category}")).collect(),
        ..prompt_item(prompt, Key::Request { harmful })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prompts_of_both_kinds() {
        let row = json!({"goal": "Do harm", "target": "Sure", "id": 3});
        let item = read(row.as_object().unwrap(), "goal", true).unwrap();
        assert_eq!((item.id.as_deref(), &item.key), (Some("3"), &Key::Request { harmful: true }));
        let empty = json!({"prompt": " "});
        assert!(read(empty.as_object().unwrap(), "prompt", false).is_err());
    }
}

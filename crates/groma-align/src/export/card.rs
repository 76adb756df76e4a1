//! The model card: what was trained, on what, how, with what result, and what that does not say.

use crate::Settings;
use groma_run::{Digest, Finding};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a model card tells.
#[derive(Clone, Debug)]
pub struct Card {
    /// Name of the model.
    pub name: String,
    /// Path or hub id of the model that training began with.
    pub base_model: Option<String>,
    /// Digest of that model.
    pub base_digest: Digest,
    /// Where the rows came from, in words.
    pub data: String,
    /// Digest of the prepared rows.
    pub data_digest: Digest,
    /// Rows trained on.
    pub rows: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens seen.
    pub num_tokens: u64,
    /// What the steps were computed with, such as `cpu avx512`.
    pub kernels: Vec<String>,
    /// Final metrics, those of held-out rows with the prefix `eval_`.
    pub metrics: BTreeMap<String, f64>,
    /// What the pre-flight check found.
    pub findings: Vec<Finding>,
    /// Version of the program.
    pub version: String,
}

impl Card {
    /// The text of `README.md`; `opening` says how it is opened elsewhere, where that takes more than its name.
    pub fn markdown(&self, settings: &Settings, adapter: bool, opening: Option<&str>) -> String {
        let mut text = String::new();
        self.write(&mut text, settings, adapter, opening);
        text
    }

    fn write(&self, text: &mut String, settings: &Settings, adapter: bool, opening: Option<&str>) {
        let method = settings.method;
        // Writing to a string cannot fail.
        let mut line = |content: String| {
            let _ = writeln!(text, "{content}");
        };
        line("---".into());
        if let Some(base) = &self.base_model {
            line(format!("base_model: {}", quoted(base)));
        }
        line(format!("library_name: {}", if adapter { "peft" } else { "transformers" }));
        line(format!("tags:\n- groma\n- {}\n---\n", method.id));
        line(format!("# {}\n", plain(&self.name)));
        let base =
            self.base_model.as_deref().map_or("a model without a name".into(), |base| format!("`{}`", plain(base)));
        let what = if adapter { "An adapter (LoRA) for" } else { "A model trained from" };
        line(format!("{what} {base}, by {} ({}).\n", method.title.to_lowercase(), method.paper));
        line("| | |\n|---|---|".into());
        line(format!("| base digest | `{}` |", self.base_digest));
        line(format!("| data | {} |", plain(&self.data)));
        line(format!("| data digest | `{}` |", self.data_digest));
        line(format!(
            "| rows | {} |\n| optimizer steps | {} |\n| tokens | {} |",
            self.rows, self.steps, self.num_tokens
        ));
        line(format!("| made with | groma {}, {} |\n", plain(&self.version), plain(&self.kernels.join(", then "))));
        line("## Hyperparameters\n\n| name | value |\n|---|---|".into());
        settings.values.iter().for_each(|(name, value)| line(format!("| {name} | `{}` |", plain(&value.to_string()))));
        line("\n## Metrics\n\nThe last logged values; those that begin with `eval_` are of held-out rows.\n".into());
        line("| name | value |\n|---|---|".into());
        self.metrics.iter().for_each(|(name, value)| line(format!("| {} | {value} |", plain(name))));
        self.findings(&mut line);
        if let Some(opening) = opening {
            line(format!("\n## Opening it elsewhere\n\n{opening}"));
        }
        line("\n## Limits\n".into());
        line(limits(&self.metrics));
    }

    fn findings(&self, line: &mut dyn FnMut(String)) {
        if self.findings.is_empty() {
            return;
        }
        line("\n## What the pre-flight check found\n".into());
        for finding in &self.findings {
            line(format!("- `{}`: {}", finding.check, plain(&finding.message)));
        }
    }
}

fn limits(metrics: &BTreeMap<String, f64>) -> String {
    let held_out = if metrics.keys().any(|name| name.starts_with("eval_")) {
        "The held-out rows come from the same source as those trained on."
    } else {
        "Nothing was held out during training: the metrics are of the rows trained on."
    };
    format!(
        "{held_out} Training metrics say how well the rows were learned, not whether the model is safe, truthful or \
         useful; measure that before use. What was wrong in the rows may have been learned too."
    )
}

/// A YAML string, in its JSON form.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Text that cannot break a table or a code span.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '|' => '¦',
            '`' => '\'',
            '<' => '‹',
            '>' => '›',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    #[test]
    fn a_card_names_what_was_done_and_survives_hostile_names() {
        let settings = Settings::resolve(Method::find("dpo").unwrap(), &serde_json::Map::new()).unwrap();
        let card = Card {
            kernels: vec!["cpu avx2".into()],
            name: "x\n# y | <script>".into(),
            base_model: Some("a\"b: c".into()),
            base_digest: Digest::of_bytes(b"base"),
            data: "pairs.jsonl".into(),
            data_digest: Digest::of_bytes(b"data"),
            rows: 3,
            steps: 2,
            num_tokens: 10,
            metrics: BTreeMap::from([("loss".to_owned(), 0.5)]),
            findings: Vec::new(),
            version: "0.1.0".into(),
        };
        let text = card.markdown(&settings, true, None);
        assert!(text.starts_with("---\nbase_model: \"a\\\"b: c\"\nlibrary_name: peft\n"));
        assert!(text.contains("| beta | `0.1` |") && text.contains("| loss | 0.5 |"));
        assert!(text.contains("Nothing was held out") && !text.contains("<script>"));
        assert!(text.contains(&Digest::of_bytes(b"base").to_string()));
    }
}

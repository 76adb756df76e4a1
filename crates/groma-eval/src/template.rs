//! Templates of task files: the engine of chat templates, with its limits, over the columns of a row.

use groma_chat::{Options, Template};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::columns::Fields;

/// The name under which a template finds the whole row; for columns whose names are no names of variables.
pub(crate) const ROW: &str = "row";

/// Variables of conversations.
const TAKEN: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];

/// A template. Clones share what was compiled.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    template: Arc<Template>,
    names: BTreeSet<String>,
}

impl Text {
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        // As in lm-evaluation-harness a line break at the end stays, of which Jinja takes one.
        let template = Template::new(format!("{source}\n")).map_err(plain)?;
        let names = template.variables();
        if let Some(name) = TAKEN.iter().find(|name| names.contains(**name)) {
            return Err(format!(
                "`{name}` is what conversations have; write {ROW}['{name}'] for a column of this name"
            ));
        }
        Ok(Text { template: Arc::new(template), names })
    }

    /// The variables that it reads.
    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// As it was written.
    pub(crate) fn source(&self) -> &str {
        self.template.source().trim_end_matches('\n')
    }

    /// The text for a row. A column that is missing or null renders as nothing.
    pub(crate) fn render(&self, row: &Fields) -> Result<String, String> {
        self.render_with(row, &[])
    }

    /// The same with further variables.
    pub(crate) fn render_with(&self, row: &Fields, further: &[(&str, Value)]) -> Result<String, String> {
        let value = |name: &str| match further.iter().find(|(further, _)| *further == name) {
            Some((_, value)) => Some(value.clone()),
            None if name == ROW => Some(Value::Object(row.clone())),
            None => row.get(name).filter(|value| !value.is_null()).cloned(),
        };
        let variables: Map<String, Value> =
            self.names.iter().filter_map(|name| Some((name.clone(), value(name)?))).collect();
        let rendered = self.template.render(&[], &Options { variables, ..Options::default() });
        rendered.map(|rendered| rendered.text).map_err(plain)
    }
}

fn plain(error: groma_chat::TemplateError) -> String {
    error.to_string().replace("chat template", "template")
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(source: &str, row: Value) -> Result<String, String> {
        Text::new(source)?.render(row.as_object().unwrap())
    }

    #[test]
    fn columns_are_variables_and_the_row_has_all() {
        let row = json!({"a": "x", "b c": ["y", "z"], "messages": "m", "n": null});
        assert_eq!(rendered("{{ a }}{{ row['b c'][1] }}{{ row['messages'] }}{{ n }}{{ o }}.", row).unwrap(), "xzm.");
        assert!(Text::new("{{ messages }}").unwrap_err().contains("row['messages']"));
    }

    #[test]
    fn hostile_templates_are_stopped() {
        let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}";
        assert!(rendered(endless, json!({})).unwrap_err().contains("limit"));
        assert!(rendered("{{ 'x' * 999999999999 }}", json!({})).unwrap_err().contains("limit"));
        assert!(Text::new("{% include 'secret' %}").is_err());
        assert!(rendered("{{ a.__class__.x }}", json!({"a": "x"})).is_err());
    }
}

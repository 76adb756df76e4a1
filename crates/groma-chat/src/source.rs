//! Where a checkpoint keeps its chat templates.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::error::{Result, TemplateError};
use crate::{MAX_TEMPLATE_BYTES, Template};

/// Largest `tokenizer_config.json` that is read.
const MAX_CONFIG_BYTES: u64 = 64 << 20;
/// The name under which a single template is kept.
const DEFAULT: &str = "default";

/// The templates of a checkpoint, by name; a single one is called `default`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedTemplates(pub BTreeMap<String, String>);

impl NamedTemplates {
    /// From the value of `chat_template` in `tokenizer_config.json`: a text, or a list of `{name, template}`.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn from_config(value: &Value) -> Result<Self> {
        let bad = || TemplateError::Input {
            name: "chat_template".into(),
            problem: "it is neither a text nor a list of {name, template}".into(),
        };
        let mut found = BTreeMap::new();
        match value {
            Value::Null => {}
            Value::String(text) => {
                found.insert(DEFAULT.to_owned(), text.clone());
            }
            Value::Array(items) => {
                for item in items {
                    let field = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(bad);
                    found.insert(field("name")?, field("template")?);
                }
            }
            _ => return Err(bad()),
        }
        Ok(Self(found))
    }

    /// All templates of a checkpoint's directory: `chat_template.jinja` and `additional_chat_templates/*.jinja` come before
    /// `chat_template` in `tokenizer_config.json`, as in transformers.
    ///
    /// # Errors
    /// Where a file cannot be read, is too large or malformed. No template at all is not an error.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        let mut found = match read(&directory.join("tokenizer_config.json"), MAX_CONFIG_BYTES)? {
            Some(text) => config_templates(&directory.join("tokenizer_config.json"), &text)?,
            None => Self::default(),
        };
        let limit = MAX_TEMPLATE_BYTES as u64;
        if let Some(text) = read(&directory.join("chat_template.jinja"), limit)? {
            found.0.insert(DEFAULT.into(), text);
        }
        let additional = directory.join("additional_chat_templates");
        if let Ok(files) = std::fs::read_dir(&additional) {
            for path in files.filter_map(|file| file.ok().map(|file| file.path())) {
                let name = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
                if let (Some(name), true) = (name, path.extension().is_some_and(|end| end == "jinja")) {
                    found.0.extend(read(&path, limit)?.map(|text| (name, text)));
                }
            }
        }
        Ok(found)
    }

    /// The template to use: that of the name, or without a name the default one, or the only one; for tools, `tool_use`
    /// where there is one.
    ///
    /// # Errors
    /// Where there is none of that name, or none to choose by itself.
    pub fn choose(&self, name: Option<&str>, with_tools: bool) -> Result<&str> {
        let wanted = name.unwrap_or(if with_tools && self.0.contains_key("tool_use") { "tool_use" } else { DEFAULT });
        let only = if self.0.len() == 1 && name.is_none() { self.0.values().next() } else { None };
        self.0.get(wanted).or(only).map(String::as_str).ok_or_else(|| TemplateError::Unknown {
            name: wanted.into(),
            known: if self.0.is_empty() {
                "none".into()
            } else {
                self.0.keys().cloned().collect::<Vec<_>>().join(", ")
            },
        })
    }
}

/// The template of a checkpoint: by name, or the one that transformers takes; `None` where the checkpoint has none.
///
/// # Errors
/// Those of [`NamedTemplates`] and of [`Template::new`].
pub fn template_in(directory: &Path, name: Option<&str>) -> Result<Option<Template>> {
    let templates = NamedTemplates::from_directory(directory)?;
    if templates.0.is_empty() && name.is_none() {
        return Ok(None);
    }
    Template::new(templates.choose(name, false)?).map(Some)
}

fn config_templates(path: &Path, text: &str) -> Result<NamedTemplates> {
    let bad = |problem: String| TemplateError::File { path: path.into(), problem };
    let config: Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    NamedTemplates::from_config(config.get("chat_template").unwrap_or(&Value::Null))
        .map_err(|error| bad(error.to_string()))
}

/// A file's text, or `None` where there is no such file.
fn read(path: &Path, limit: u64) -> Result<Option<String>> {
    let bad = |problem: String| TemplateError::File { path: path.into(), problem };
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(error.to_string())),
    };
    if size > limit {
        return Err(bad(format!("has {}; the limit is {limit}", groma_run::counted(size, "byte"))));
    }
    // The size is what the file says of itself, so that it is held to while it is read.
    groma_run::read_text(path, limit).map(Some).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_templates_are_chosen_by_name() {
        let config = serde_json::json!([{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]);
        let templates = NamedTemplates::from_config(&config).unwrap();
        assert_eq!(templates.choose(None, false).unwrap(), "a");
        assert_eq!(templates.choose(None, true).unwrap(), "b");
        assert!(matches!(templates.choose(Some("rag"), false), Err(TemplateError::Unknown { .. })));
        let one = NamedTemplates::from_config(&serde_json::json!([{"name": "chat", "template": "c"}])).unwrap();
        assert_eq!(one.choose(None, false).unwrap(), "c");
        assert!(NamedTemplates::from_config(&serde_json::json!(3)).is_err());
        assert!(NamedTemplates::default().choose(None, false).is_err());
    }
}

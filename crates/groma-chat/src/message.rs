//! Conversations, as templates are given them.

use serde_json::{Map, Value};

/// Fields in which a message's reasoning may be given; transformers reads the first that is there.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// The field of a message that says whether it is learned from (1, which is the rule) or not (0).
pub const WEIGHT: &str = "weight";

/// One message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or whatever the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
    /// Further fields, e.g. `tool_calls`. A `content` here (a list of parts, or null for none) takes the place of the text.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message with text only.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), extra: Map::new() }
    }

    /// Whether the model speaks.
    pub fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }

    /// Whether what the model says here is to be learned: a `weight` of 0 says that it is not.
    pub fn is_learned(&self) -> bool {
        let unlearned = self.extra.get(WEIGHT).and_then(Value::as_f64).is_some_and(|weight| weight == 0.0);
        self.is_assistant() && !unlearned
    }

    /// As a template is given it.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        let reasoning =
            REASONING_FIELDS.iter().filter_map(|field| self.extra.get(*field)).find(|value| !value.is_null());
        if let Some(reasoning) = reasoning {
            fields.insert("thinking".into(), reasoning.clone());
        }
        fields.insert("role".into(), Value::from(self.role.as_str()));
        fields.insert("content".into(), Value::from(self.content.as_str()));
        fields.extend(self.extra.clone());
        if let Some(reasoning) = reasoning {
            fields.insert("reasoning_content".into(), reasoning.clone());
        }
        // As transformers 5: templates handle a field that is missing, and write "None" for one that is null.
        fields.retain(|_, value| !value.is_null());
        Value::Object(fields)
    }
}

/// Messages, with what a template is given beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Who says what, in order.
    pub messages: Vec<Message>,
    /// Descriptions of the tools that may be called, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Further variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
}

impl From<Vec<Message>> for Turns {
    fn from(messages: Vec<Message>) -> Self {
        Self { messages, ..Self::default() }
    }
}

/// A conversation is read as its messages.
impl std::ops::Deref for Turns {
    type Target = Vec<Message>;

    fn deref(&self) -> &Vec<Message> {
        &self.messages
    }
}

impl std::ops::DerefMut for Turns {
    fn deref_mut(&mut self) -> &mut Vec<Message> {
        &mut self.messages
    }
}

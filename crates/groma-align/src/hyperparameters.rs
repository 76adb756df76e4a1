//! Values of hyperparameters, as methods and what they are made of read them.

use crate::role::{Role, named_seats};
use crate::{Error, Training};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What was given, and defaults for the rest.
#[derive(Clone, Debug)]
pub struct Hyperparameters {
    /// Every value, as a table; `lora` only where an adapter is trained.
    pub values: Map<String, Value>,
    /// The shared ones.
    pub training: Training,
    /// The id of the method that has them, for messages.
    method: &'static str,
    given: BTreeSet<String>,
}

impl Hyperparameters {
    /// Of a method: all values, and the names of those that the user gave.
    pub(crate) fn new(
        method: &'static str,
        values: Map<String, Value>,
        given: BTreeSet<String>,
    ) -> Result<Self, Error> {
        let training = typed(method, &values)?;
        Ok(Hyperparameters { values, training, method, given })
    }

    /// The values as a method's own type.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        typed(self.method, &self.values)
    }

    /// The models that fill roles, by name, in the order of [`Role::ALL`].
    pub fn seats(&self) -> Vec<(Role, String)> {
        named_seats(&self.values).map(|(role, name)| (role, name.to_owned())).collect()
    }

    /// Whether the user gave this key.
    pub(crate) fn was_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// The error for a value of `name` (a dot leads into a table) that cannot be used.
    pub(crate) fn invalid(&self, name: &str, problem: impl Into<String>) -> Error {
        let (table, key) = name.split_once('.').map_or((name, None), |(table, key)| (table, Some(key)));
        let value = self.values.get(table).and_then(|value| key.map_or(Some(value), |key| value.get(key)));
        let value = value.cloned().unwrap_or(Value::Null);
        Error::Setting { method: self.method, name: name.into(), value: value.to_string(), problem: problem.into() }
    }
}

fn typed<T: DeserializeOwned>(method: &'static str, values: &Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(values.clone())).map_err(|source| Error::Setting {
        method,
        name: "settings".into(),
        value: String::new(),
        problem: source.to_string(),
    })
}

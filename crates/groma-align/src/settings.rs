//! From a config table to checked hyperparameters.

use crate::parameter::{self, Variant};
use crate::role::{Role, named_seats};
use crate::{Error, Method, Parameter, Training};
use groma_lm::Address;
use groma_model::Head;
use groma_run::Digest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How alike two names must be for one to be suggested for the other (Jaro-Winkler).
const SIMILAR: f64 = 0.75;

/// Settings that change what is seen of a run, and nothing in its weights.
const NOT_COMPUTED: &[&str] = &[
    "logging_steps",
    "eval_steps",
    "save_steps",
    "save_total_limit",
    "per_device_eval_batch_size",
    "preflight",
    "gradient_checkpointing",
];
const SAMPLE_STEPS: &str = "sample_steps";
/// Settings that are read with [`SAMPLE_STEPS`] alone.
const SAMPLES: &[&str] = &["sample_prompts", "sample_max_new_tokens", "sample_temperature"];

/// All hyperparameters of a run: what was given, and defaults for the rest.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The method.
    pub method: &'static Method,
    /// Every value, as a table; `lora` only where an adapter is trained.
    pub values: Map<String, Value>,
    /// The shared ones.
    pub training: Training,
    given: BTreeSet<String>,
}

impl Settings {
    /// Checks `given` and fills in defaults.
    ///
    /// # Errors
    /// Unknown keys (with a suggestion), wrong types, values out of range, and combinations that would be ignored.
    pub fn resolve(method: &'static Method, given: &Map<String, Value>) -> Result<Self, Error> {
        let given = flatten(given);
        let parameters = parameters(method, &given);
        for (name, value) in &given {
            check(method, &parameters, name, value)?;
        }
        let with_lora = given.keys().any(|name| name == "lora" || name.starts_with("lora."));
        let mut values = Map::new();
        for parameter in parameters.iter().filter(|p| with_lora || !p.name.starts_with("lora.")) {
            let value = given.get(parameter.name).cloned().unwrap_or_else(|| parameter.default_value());
            // Several variants may declare one name: what the first takes for its default need not do for another.
            check(method, &parameters, parameter.name, &value)?;
            insert(&mut values, parameter.name, value);
        }
        let training = typed(method, &values)?;
        let given = given.into_iter().map(|(name, _)| name).collect();
        let settings = Settings { method, values, training, given };
        settings.check_combinations()?;
        Ok(settings)
    }

    /// The values as a method's own type.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        typed(self.method, &self.values)
    }

    /// The models that fill roles, by name, in the order of [`Role::ALL`].
    pub fn seats(&self) -> Vec<(Role, String)> {
        named_seats(&self.values).map(|(role, name)| (role, name.to_owned())).collect()
    }

    /// The heads that its model has: the method's, less that of values where somebody else is the critic.
    pub(crate) fn heads(&self) -> Vec<Head> {
        let elsewhere = named_seats(&self.values).any(|(role, _)| role == Role::Critic);
        self.method.heads.iter().filter(|head| !(elsewhere && **head == Head::VALUE)).cloned().collect()
    }

    /// Whether the user gave this key.
    pub(crate) fn was_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// Digest of all values that decide what is computed (not how often it is logged, evaluated, sampled or saved).
    pub fn digest(&self) -> Result<Digest, Error> {
        let mut values = self.values.clone();
        NOT_COMPUTED.iter().chain(SAMPLES).chain(&[SAMPLE_STEPS]).for_each(|name| {
            values.remove(*name);
        });
        Digest::of_json(&(self.method.id, values)).map_err(|source| Error::Encode { what: "the settings", source })
    }

    /// The error for a value of `name` (a dot leads into a table) that cannot be used.
    pub(crate) fn invalid(&self, name: &str, problem: impl Into<String>) -> Error {
        let (table, key) = name.split_once('.').map_or((name, None), |(table, key)| (table, Some(key)));
        let value = self.values.get(table).and_then(|value| key.map_or(Some(value), |key| value.get(key)));
        let value = value.cloned().unwrap_or(Value::Null);
        Error::Setting { method: self.method.id, name: name.into(), value: value.to_string(), problem: problem.into() }
    }

    fn check_combinations(&self) -> Result<(), Error> {
        let training = &self.training;
        if training.max_steps == 0 {
            return Err(self.invalid("max_steps", "must be above 0, or -1 to go by num_train_epochs"));
        }
        if training.warmup_steps > 0 && training.warmup_ratio > 0.0 {
            return Err(self.invalid("warmup_ratio", "cannot be given together with warmup_steps: leave one out"));
        }
        self.check_samples()?;
        self.check_seats()?;
        (self.method.masks)(self)?;
        (self.method.build)(self).map(|_| ())
    }

    /// A server says what it says in words; whoever wants more of a model needs its weights.
    fn check_seats(&self) -> Result<(), Error> {
        match named_seats(&self.values).find(|(role, name)| Address::is_meant(name) && !role.speaks()) {
            Some((role, name)) => {
                let problem =
                    format!("`{name}` is on a server, and the {role} must be weights here: name a directory or hub id");
                Err(self.invalid(role.setting(), problem))
            }
            None => Ok(()),
        }
    }

    fn check_samples(&self) -> Result<(), Error> {
        if self.training.sample_steps.is_some() && !self.method.predicts() {
            return Err(self.invalid(SAMPLE_STEPS, "a reward model answers nothing: leave it out"));
        }
        match SAMPLES.iter().find(|name| self.was_given(name)) {
            Some(name) if self.training.sample_steps.is_none() => {
                Err(self.invalid(name, "is read with sample_steps alone: give both"))
            }
            _ => Ok(()),
        }
    }
}

/// Keys of tables joined by dots. An empty table stays, under its own name.
fn flatten(given: &Map<String, Value>) -> Map<String, Value> {
    let mut flat = Map::new();
    for (name, value) in given {
        match value {
            Value::Object(table) if !table.is_empty() => {
                flat.extend(table.iter().map(|(key, value)| (format!("{name}.{key}"), value.clone())));
            }
            _ => {
                flat.insert(name.clone(), value.clone());
            }
        }
    }
    flat
}

fn insert(values: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            values.insert(name.to_owned(), value);
        }
        Some((table, key)) => {
            let entry = values.entry(table).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(table) = entry {
                table.insert(key.to_owned(), value);
            }
        }
    }
}

/// The method's hyperparameters, and those of the variants that are chosen.
fn parameters(method: &Method, given: &Map<String, Value>) -> Vec<Parameter> {
    let mut all: Vec<Parameter> = method.all_parameters().collect();
    for chooser in all.clone() {
        let value = given.get(chooser.name).cloned().unwrap_or_else(|| chooser.default_value());
        all.extend(chooser.chosen(&value).flat_map(|variant| variant.parameters));
    }
    all
}

fn check(method: &Method, parameters: &[Parameter], name: &str, value: &Value) -> Result<(), Error> {
    let is_table = parameters.iter().any(|parameter| parameter.name.split_once('.').is_some_and(|(t, _)| t == name));
    if is_table {
        let problem = format!("is a table: give {name}.KEY, or {{}} for the defaults of all its keys");
        let wrong = || Error::Setting { method: method.id, name: name.into(), value: value.to_string(), problem };
        return if value.as_object().is_some_and(Map::is_empty) { Ok(()) } else { Err(wrong()) };
    }
    let mut declared = parameters.iter().filter(|parameter| parameter.name == name).peekable();
    if declared.peek().is_none() {
        return Err(unknown(method, parameters, name, value));
    }
    match declared.find_map(|parameter| Some(with_suggestion(parameter, value, parameter.problem(value)?))) {
        None => Ok(()),
        Some(problem) => {
            Err(Error::Setting { method: method.id, name: name.into(), value: value.to_string(), problem })
        }
    }
}

/// The error for a setting that the method does not have, or not with the variants that are chosen.
fn unknown(method: &Method, parameters: &[Parameter], name: &str, value: &Value) -> Error {
    let declares = |variant: &Variant| variant.parameters.iter().any(|parameter| parameter.name == name);
    let readers: Vec<String> = method
        .variants()
        .filter(|(_, variant)| declares(variant))
        .map(|(setting, variant)| format!("{setting} {}", variant.id))
        .collect();
    if !readers.is_empty() {
        let problem = format!("is read by {} alone", readers.join(", "));
        return Error::Setting { method: method.id, name: name.into(), value: value.to_string(), problem };
    }
    let known: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
    Error::UnknownSetting { method: method.id, name: name.into(), suggestion: nearest(name, &known) }
}

/// Adds "did you mean" for a word that is nearly one of the choices.
fn with_suggestion(parameter: &Parameter, value: &Value, problem: String) -> String {
    let words = match parameter.kind {
        crate::Kind::Choice(words) => words.to_vec(),
        _ => parameter::ids(parameter.variants()),
    };
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let wrong = list.iter().filter_map(Value::as_str).find(|word| !words.contains(word));
    match wrong.and_then(|word| nearest(word, &words)) {
        Some(near) => format!("{problem}; did you mean {near}?"),
        None => problem,
    }
}

/// The known name that is most like `name`, if one is.
pub(crate) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let likeness = |candidate: &str| {
        // Jaro-Winkler finds two exchanged letters of a short name unlike.
        let exchanged = same_letters(name, candidate) && strsim::osa_distance(name, candidate) == 1;
        if exchanged { 1.0 } else { strsim::jaro_winkler(name, candidate) }
    };
    let scored = known.iter().map(|candidate| (likeness(candidate), *candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= SIMILAR).then(|| best.1.to_owned())
}

fn same_letters(first: &str, second: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(first) == sorted(second)
}

fn typed<T: DeserializeOwned>(method: &Method, values: &Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(values.clone())).map_err(|source| Error::Setting {
        method: method.id,
        name: "settings".into(),
        value: String::new(),
        problem: source.to_string(),
    })
}

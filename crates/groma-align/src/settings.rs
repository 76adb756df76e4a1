//! From a config table to checked hyperparameters.

use crate::moving::Moves;
use crate::nearest::nearest;
use crate::objective::Reads;
use crate::parameter::{self, Variant};
use crate::role::{Role, named_seats};
use crate::{Error, Hyperparameters, Method, Parameter, watches};
use groma_lm::Address;
use groma_model::Head;
use groma_run::Digest;
use serde_json::{Map, Value};

/// Settings that change what is seen of a run, how somebody is asked or what is made of the last step, and no step.
const NOT_COMPUTED: &[&str] = &[
    "logging_steps",
    "eval_steps",
    "save_steps",
    "save_total_limit",
    "per_device_eval_batch_size",
    "preflight",
    "gradient_checkpointing",
    "covariance_ridge",
    "reward_url_batch",
    "reward_url_retries",
    "reward_url_timeout",
    "reward_url_key_env",
];
const SAMPLE_STEPS: &str = "sample_steps";
/// Settings that are read with [`SAMPLE_STEPS`] alone.
const SAMPLES: &[&str] = &["sample_prompts", "sample_max_new_tokens", "sample_temperature"];

/// A method, and all its hyperparameters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The method.
    pub method: &'static Method,
    hyperparameters: Hyperparameters,
}

/// Settings are read as their hyperparameters.
impl std::ops::Deref for Settings {
    type Target = Hyperparameters;

    fn deref(&self) -> &Hyperparameters {
        &self.hyperparameters
    }
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
        let given = given.into_iter().map(|(name, _)| name).collect();
        let settings = Settings { method, hyperparameters: Hyperparameters::new(method.id, values, given)? };
        settings.check_combinations()?;
        Ok(settings)
    }

    /// The heads that its model has: the method's, less that of values where somebody else is the critic, with what the settings
    /// say of how they are read.
    pub(crate) fn heads(&self) -> Vec<Head> {
        let elsewhere = named_seats(&self.values).any(|(role, _)| role == Role::Critic);
        // Settings were resolved, so the masks can be had.
        let masks = (self.method.masks)(self).unwrap_or_default();
        let read = |head: &Head| match head {
            _ if *head == Head::SCORE && !masks.attributes.is_empty() => Head::of_attributes(masks.attributes.clone()),
            _ if head.rewards_steps() => Head::behind(&masks.step_separator),
            head => head.clone(),
        };
        self.method.heads.iter().filter(|head| !(elsewhere && **head == Head::VALUE)).map(read).collect()
    }

    /// Whether who fills a role needs the policy's tokenizer and vocabulary: all who are compared with it token by token, but not a
    /// teacher that reads texts.
    pub fn shares_tokens(&self, role: Role) -> bool {
        role.shares_tokens() && !(role == Role::Teacher && self.translates())
    }

    /// Whether its teacher reads texts, in tokens of its own.
    pub(crate) fn translates(&self) -> bool {
        // Settings were resolved, so the method can be built.
        (self.method.build)(self).is_ok_and(|objective| matches!(objective.reads(), Reads::Spans { .. }))
    }

    /// Digest of all values that decide what is computed (not how often it is logged, evaluated, sampled or saved, nor what is
    /// watched).
    pub fn digest(&self) -> Result<Digest, Error> {
        let values = computed(&self.values);
        Digest::of_json(&(self.method.id, values)).map_err(|source| Error::Encode { what: "the settings", source })
    }

    /// Of values of this method, from this program or an earlier one: those that decide what is computed and are not at the default. So
    /// a setting that came since is as if it had been given its default.
    pub(crate) fn beyond_defaults(&self, values: &Map<String, Value>) -> Map<String, Value> {
        let parameters = parameters(self.method, &flatten(values));
        let is_default = |name: &str, value: &Value| {
            parameters.iter().rfind(|parameter| parameter.name == name).is_some_and(|p| p.default_value() == *value)
        };
        let mut values = computed(values);
        values.retain(|name, value| match value {
            // That there is a table says something, whatever is in it.
            Value::Object(table) => {
                table.retain(|key, value| !is_default(&format!("{name}.{key}"), value));
                true
            }
            value => !is_default(name, value),
        });
        values
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
        let objective = (self.method.build)(self)?;
        Moves::check(self, objective.asks_reference())
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

/// Those of values that decide what is computed.
fn computed(values: &Map<String, Value>) -> Map<String, Value> {
    let only_seen = |name: &str| watches::is_setting(name) || name == SAMPLE_STEPS;
    let computes = |name: &&String| !only_seen(name) && !NOT_COMPUTED.iter().chain(SAMPLES).any(|other| other == name);
    values.iter().filter(|(name, _)| computes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
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

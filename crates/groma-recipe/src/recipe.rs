//! A recipe: what is to be done, in which order, as TOML.
//!
//! ```toml
//! name = "align"
//! model = "path/to/model"
//! preferences = "pairs.jsonl"
//!
//! [[stage]]
//! kind = "measure"
//! name = "before"
//!
//! [[stage.tasks]]
//! task = "preference"
//! data = "preferences:held_out"
//!
//! [[stage]]
//! kind = "train"
//! name = "dpo"
//! method = "dpo"
//! data = "preferences:train"
//! settings = { learning_rate = 1e-5 }
//! ```

use groma_align::{Method, OneOrMany, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::Error;
use crate::data::RESERVED;
use crate::guard::Guard;
use crate::misread;
use crate::serving::Serving;
use crate::stage::Stage;

/// A whole recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name, also that of its run directory.
    pub name: String,
    /// What it does, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Seed of everything that has none of its own.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The model that it begins with: `village`, a directory, a hub id, or a model on a server (`URL#NAME`), which can be
    /// measured but not trained.
    pub model: String,
    /// Where the model is an adapter: the model that it adapts, if it is to be another than the adapter says, or elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// A built-in chat template, or `auto` for the model's own; with `@` and a date, e.g. `auto@2024-07-26`, it shows that
    /// date and not today's.
    #[serde(default = "auto")]
    pub chat_template: String,
    /// Preference pairs: a file or a hub id; split into `preferences:train` and `preferences:held_out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<String>,
    /// How the columns of the preference pairs are read.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
    /// Share of the preference pairs that is held out.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
    /// How models on servers are asked.
    #[serde(default, skip_serializing_if = "Serving::is_default")]
    pub serving: Serving,
    /// What is done, in order.
    #[serde(default, rename = "stage")]
    pub stages: Vec<Stage>,
}

/// Trains a model by a method of `groma methods`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// The stage's name; later stages use the trained model under it.
    pub name: String,
    /// Id of the method.
    pub method: String,
    /// `base`, or the name of an earlier training stage; the latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it is trained on, or several whose rows are mixed: `village:FILE`, `preferences:train`, the rows of an earlier
    /// stage as `STAGE:OUTPUT` (a measuring stage leaves what was said to each task that asks for text), a file, or a hub id.
    pub data: OneOrMany<String>,
    /// Held-out rows, for `eval_steps` and `sample_steps`; the latter takes `preferences:held_out` where this is not given
    /// and `data` is `preferences:train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_data: Option<String>,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Where `settings` give no `learning_rate`: it is this number over the model's hidden size, as wider models want
    /// smaller steps (Yang et al. 2022).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate_times_width: Option<f64>,
    /// How the columns of its files are read.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
    /// Hyperparameters; see `groma methods`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

/// How the columns of a file are read, where its own names do not say it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// The name of its layout (see [`groma_data::LAYOUTS`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Columns to call by another name, as `NEW=OLD`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<String>,
    /// Columns to do without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

impl Reading {
    /// Whether nothing is asked for.
    pub fn is_plain(&self) -> bool {
        *self == Reading::default()
    }
}

/// Measures a model by tasks of `groma eval --list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The stage's name, also that of the subject in the results, such as `before`.
    pub name: String,
    /// `base`, the name of an earlier training stage, or another model (a path or hub id with a `/`, or `URL#NAME`); the
    /// latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model that judges the answers to tasks that ask one: named in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// Longest verdict of the judge, in tokens.
    #[serde(default = "default_judge_tokens", skip_serializing_if = "is_default_judge_tokens")]
    pub judge_max_new_tokens: usize,
    /// What stands before the model when it is asked for answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defence: Option<Guard>,
    /// What is measured; that of the first measuring stage where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskConfig>,
    /// What its numbers depend on, by name, for tables and curves of the report: a budget, a layer, a language ...
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
}

/// One task of a measuring stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// Id of the task, or a pattern with `*` for several.
    pub task: String,
    /// Name in the results, where one task is put to several sets of data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it reads.
    pub data: String,
    /// Worked examples before each question of a multiple-choice task.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub num_fewshot: usize,
    /// Where the worked examples are, unless in a directory `dev` beside the questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewshot_data: Option<String>,
    /// Of a task with subjects, these only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Use at most so many items, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Longest text that the model reads, in tokens, where that is to be shorter than its own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Longest answer, in tokens, where answers are generated.
    #[serde(default = "default_new_tokens")]
    pub max_new_tokens: usize,
}

/// Compares two measured models on the same items, and puts what they said side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The stage's name.
    pub name: String,
    /// Name of the first measuring stage.
    pub before: String,
    /// Name of the second measuring stage.
    pub after: String,
    /// Rows on whose answers the second model's predictions are held against the first's, token by token: measured as
    /// `divergence`. Both models must be on this machine, and of one vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<String>,
    /// Use at most so many of those rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence_limit: Option<usize>,
}

impl Measure {
    /// A stage of this name that measures nothing yet, of the latest model.
    pub fn new(name: &str) -> Self {
        Measure {
            name: name.into(),
            model: None,
            judge: None,
            judge_max_new_tokens: default_judge_tokens(),
            defence: None,
            tasks: Vec::new(),
            factors: BTreeMap::new(),
        }
    }
}

impl TaskConfig {
    /// A task on data, as a recipe that says nothing else has it.
    pub fn new(task: &str, data: &str) -> Self {
        TaskConfig {
            task: task.into(),
            name: None,
            data: data.into(),
            num_fewshot: 0,
            fewshot_data: None,
            subjects: Vec::new(),
            limit: None,
            max_length: None,
            max_new_tokens: default_new_tokens(),
        }
    }
}

fn default_judge_tokens() -> usize {
    512
}

fn is_default_judge_tokens(count: &usize) -> bool {
    *count == default_judge_tokens()
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn default_seed() -> u64 {
    42
}

fn auto() -> String {
    "auto".into()
}

fn default_held_out() -> f64 {
    0.1
}

fn default_new_tokens() -> usize {
    64
}

/// The recipe for the built-in organism.
pub const VILLAGE: &str = include_str!("../recipes/village.toml");
/// The recipe for a user's model and preference pairs.
pub const ALIGN: &str = include_str!("../recipes/align.toml");

impl Recipe {
    /// A recipe that says nothing but what it must.
    pub fn new(name: &str, model: &str, stages: Vec<Stage>) -> Self {
        Recipe {
            name: name.into(),
            description: String::new(),
            seed: default_seed(),
            model: model.into(),
            base: None,
            chat_template: auto(),
            preferences: None,
            reading: Reading::default(),
            held_out: default_held_out(),
            serving: Serving::default(),
            stages,
        }
    }

    /// Reads a recipe; `overrides` are `key=value` pairs whose values are TOML, such as `stage.1.settings.beta=0.2`.
    ///
    /// # Errors
    /// [`Error::Recipe`] with place and suggestion, [`Error::Override`].
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Recipe, Error> {
        let mut table: toml::Table = text
            .parse()
            .map_err(|source: toml::de::Error| Error::Recipe { name: name.into(), problem: source.to_string() })?;
        for pair in overrides {
            set(&mut table, pair)?;
        }
        let recipe: Recipe = toml::Value::Table(table.clone()).try_into().map_err(|source: toml::de::Error| {
            Error::Recipe { name: name.into(), problem: misread::problems(text, table, &source) }
        })?;
        recipe.check(name)?;
        Ok(recipe)
    }

    /// Whether a model's name is that of one which no stage leaves: a path, a hub id, or an address.
    pub(crate) fn is_outside(&self, name: &str) -> bool {
        let of = name.split_once(':').map_or(name, |(of, _)| of);
        name.contains('/') && self.stages.iter().all(|stage| stage.name() != of)
    }

    /// The recipe as TOML.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|source| Error::Recipe { name: self.name.clone(), problem: source.to_string() })
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let fail = |problem: String| Err(Error::Recipe { name: name.into(), problem });
        if self.stages.is_empty() {
            return fail("has no [[stage]]".into());
        }
        if !(self.held_out > 0.0 && self.held_out < 1.0) {
            return fail(format!("held_out is {}; it must be above 0 and below 1", self.held_out));
        }
        if self.name.is_empty() || groma_run::file_name(&self.name) != self.name {
            return fail(format!("name `{}` cannot be the name of a directory{}", self.name, instead(&self.name)));
        }
        if let Some(problem) = self.serving.problem() {
            return fail(problem);
        }
        let mut seen: Vec<&str> = RESERVED.to_vec();
        for stage in &self.stages {
            if groma_run::file_name(stage.name()) != stage.name() || stage.name().is_empty() {
                return fail(format!(
                    "stage name `{}` cannot be the name of a file{}",
                    stage.name(),
                    instead(stage.name())
                ));
            }
            if seen.contains(&stage.name()) {
                let reserved = RESERVED.join("`, `");
                return fail(format!(
                    "two stages are called `{}`, or one has a reserved name (`{reserved}`)",
                    stage.name()
                ));
            }
            if let Err(problem) = self.check_references(stage) {
                return fail(problem);
            }
            seen.push(stage.name());
        }
        Ok(())
    }
}

/// Checks the settings of all training stages at once: each key that a method does not have, or not so, with its line in the
/// recipe's text.
///
/// # Errors
/// [`Error::Recipe`] with all of them.
pub fn check_settings(recipe: &Recipe, name: &str, text: &str) -> Result<(), Error> {
    let mut found = Vec::new();
    for (index, stage) in recipe.stages.iter().enumerate() {
        let Stage::Train(train) = stage else { continue };
        let method = Method::require(&train.method)?;
        let mut given = train.settings.clone();
        while let Err(error) = Settings::resolve(method, &given) {
            let (groma_align::Error::UnknownSetting { name: key, .. } | groma_align::Error::Setting { name: key, .. }) =
                &error
            else {
                break;
            };
            let path: Vec<String> = ["stage", &index.to_string(), "settings"].map(str::to_owned).into();
            let path: Vec<String> = path.into_iter().chain(key.split('.').map(str::to_owned)).collect();
            found.push(format!("{}: {error}", misread::place(text, &path)));
            let outer = key.split('.').next().unwrap_or_default();
            if given.remove(key).or_else(|| given.remove(outer)).is_none() {
                break;
            }
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error::Recipe { name: name.into(), problem: found.join("\n") }),
    }
}

/// A name like this one that can be that of a file, in words.
fn instead(name: &str) -> String {
    let may = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let parts: Vec<&str> = name.split(|c| !may(c)).filter(|part| !part.is_empty()).collect();
    let near = parts.join("-");
    let usable = groma_run::file_name(&near) == near && !near.is_empty();
    let example = if usable { format!(", such as `{near}`") } else { String::new() };
    format!("; it may have letters from a to z, digits, `-`, `_` and `.`{example}")
}

/// Sets one key of a table; numbers in the path are indices of arrays.
fn set(table: &mut toml::Table, pair: &str) -> Result<(), Error> {
    let fail = |problem: &str| Error::Override { pair: pair.into(), problem: problem.into() };
    let (path, text) = pair.split_once('=').ok_or_else(|| fail("is not of the form key=value"))?;
    let value = parse_value(text.trim());
    let mut parts: Vec<&str> = path.trim().split('.').collect();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(|| fail("has no key"))?;
    let mut at = table;
    let mut parts = parts.into_iter();
    while let Some(part) = parts.next() {
        let entry = at.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let entry = match entry {
            toml::Value::Array(items) => {
                let index = parts.next().unwrap_or_default();
                let named = items.iter().position(|item| item.get("name").and_then(toml::Value::as_str) == Some(index));
                let at = named.or_else(|| index.parse().ok());
                at.and_then(|at| items.get_mut(at)).ok_or_else(|| fail("names no entry of the list"))?
            }
            other => other,
        };
        at = entry.as_table_mut().ok_or_else(|| fail("leads through a value that is no table"))?;
    }
    at.insert(last.into(), value);
    Ok(())
}

/// A TOML value, or else the text itself.
fn parse_value(text: &str) -> toml::Value {
    let parsed: Option<toml::Table> = format!("value = {text}").parse().ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| toml::Value::String(text.into()))
}

/// Adds "did you mean" to serde's message about an unknown field or variant.
pub(crate) fn suggest(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let Some(wrong) = words.next().filter(|_| message.contains("unknown")) else { return message.trim().into() };
    let best = words.map(|word| (strsim::jaro_winkler(wrong, word), word)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, word)) if likeness > 0.75 => format!("{}; did you mean `{word}`?", message.trim()),
        _ => message.trim().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_recipes_are_valid() {
        for (name, text) in [("village", VILLAGE), ("align", ALIGN)] {
            let recipe = Recipe::parse(name, text, &[]).unwrap();
            assert_eq!(Recipe::parse(name, &recipe.to_toml().unwrap(), &[]).unwrap(), recipe);
        }
    }

    #[test]
    fn overrides_reach_into_stages() {
        let overrides = ["stage.dpo.settings.beta=0.3".to_owned(), "seed=7".into(), "model=some/where".into()];
        let recipe = Recipe::parse("village", VILLAGE, &overrides).unwrap();
        assert_eq!((recipe.seed, recipe.model.as_str()), (7, "some/where"));
        let dpo = recipe.stages.iter().find(|stage| stage.name() == "dpo").unwrap();
        assert!(matches!(dpo, Stage::Train(train) if train.settings["beta"] == 0.3));
        for wrong in ["seed", "=3", "stage.nowhere.method=1", "seed.deeper=1"] {
            assert!(Recipe::parse("village", VILLAGE, &[wrong.into()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_named_with_a_suggestion() {
        let error = |text: &str| Recipe::parse("x", text, &[]).unwrap_err().to_string();
        assert!(error("name = 'x'\nmodel = 'm'\nsede = 1").contains("did you mean `seed`?"));
        assert!(error("name = 'x'\nmodel = 'm'").contains("no [[stage]]"));
        let stage = "name='x'\nmodel='m'\n[[stage]]\nkind='train'\nname='a'\nmethod='sft'\ndata='d'\n";
        assert!(error(&format!("{stage}modle='b'")).contains("did you mean `model`?"));
        assert!(error(&format!("{stage}model='b'")).contains("refers to the model `b`"));
        assert!(
            error(&format!("{stage}[[stage]]\nkind='train'\nname='a'\nmethod='sft'\ndata='d'")).contains("two stages")
        );
        assert!(
            error(&format!("{stage}[[stage]]\nkind='compare'\nname='c'\nbefore='x'\nafter='a'"))
                .contains("measurement `x`")
        );
        assert!(error("name = 'a/b'\nmodel = 'm'\n[[stage]]\nkind='measure'\nname='m'").contains("a/b"));
    }
}

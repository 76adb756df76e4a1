//! Heads: what a trunk's hidden states are turned into. A model has one or several, each a linear map of its own.
//!
//! In files the model's class in transformers names the first of them: `*ForCausalLM` the unembedding,
//! `*ForSequenceClassification` a score of the sequence, `*ForTokenClassification` a score of each token. Those beside it
//! are listed in `config.json` under `groma_heads`, and lie among the weights, where transformers passes them over with a
//! warning. The value head is called as TRL's `AutoModelForCausalLMWithValueHead` calls it (`v_head.summary`), any other as
//! it is here.

use std::borrow::Cow;

use groma_run::Seed;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::spec::head::{Head, HeadKind};
use crate::spec::parameters::Parameter;
use crate::uniform::uniform;
use crate::weights::config::Fields;
use crate::weights::tensor::Tensor;

/// The field of a configuration that lists the heads beside the first.
pub(crate) const FIELD: &str = "groma_heads";
/// The field of an adapter's configuration that names a head's attributes, as `id2label` does in a model's.
const ATTRIBUTES: &str = "groma_attributes";
/// The field that says what ends the steps behind which a head is read.
const SEPARATOR: &str = "groma_step_separator";
/// The longest of such texts, in bytes.
const TEXT_LIMIT: usize = 128;
/// Most outputs of a head, and most heads beside the first.
const WIDTH_LIMIT: usize = 1 << 20;
const COUNT_LIMIT: usize = 64;

/// Of what PyTorch would begin with, how much action values begin with: what nobody learns of a token stays as it began, and answers
/// that go by worth hear it.
const ACTION_START: f32 = 1.0 / 16.0;

/// How a head's parameter starts: zeros, or a matrix as PyTorch starts a linear layer (action values nearer to zero), drawn from the
/// seed by its name.
pub(crate) fn fresh(head: &Head, parameter: &Parameter, seed: Option<Seed>) -> Tensor {
    let mut tensor = Tensor::zeros(parameter.shape.clone());
    if let (Some(seed), [_, width]) = (seed, &parameter.shape[..]) {
        let mut rng = seed.named(&parameter.name).rng();
        let share = if head.kind == HeadKind::Action { ACTION_START } else { 1.0 };
        let bound = share / (*width as f32).sqrt();
        tensor.values.iter_mut().for_each(|value| *value = (2.0 * uniform(&mut rng) - 1.0) * bound);
    }
    tensor
}

/// The kinds of classes that transformers has: which head is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    CausalLm,
    SequenceClassification,
    TokenClassification,
}

impl Class {
    /// The class of a model with these heads, and its first head.
    pub(crate) fn of(heads: &[Head]) -> Result<(Class, &Head)> {
        let first = |wanted: &dyn Fn(&Head) -> bool| heads.iter().find(|head| wanted(head));
        if let Some(head) = first(&|head| head.kind == HeadKind::Unembedding) {
            return Ok((Class::CausalLm, head));
        }
        match first(&Head::leads) {
            Some(head) if head.kind == HeadKind::Sequence => Ok((Class::SequenceClassification, head)),
            Some(head) => Ok((Class::TokenClassification, head)),
            None => {
                let problem =
                    "it has none of the heads by which transformers knows a model: unembed, score, token_score";
                Err(Error::Weights { problem: problem.into() })
            }
        }
    }

    /// Its first head, with as many labels.
    pub(crate) fn head(self, labels: usize) -> Head {
        match self {
            Class::CausalLm => Head::UNEMBEDDING,
            Class::SequenceClassification => Head::score(labels),
            Class::TokenClassification => Head::token_score(labels),
        }
    }
}

/// Lists all heads but the first in a configuration.
pub(crate) fn write_beside(config: &mut Map<String, Value>, heads: &[Head]) -> Result<()> {
    let (_, first) = Class::of(heads)?;
    let kind = |head: &Head| HeadKind::NAMES.iter().find(|(kind, _)| *kind == head.kind).map(|(_, name)| *name);
    let others = heads.iter().filter(|head| *head != first);
    let listed = |head: &Head| match head.kind.spans_vocabulary() {
        true => json!({ "name": head.name, "kind": kind(head) }),
        false => json!({ "name": head.name, "kind": kind(head), "width": head.width }),
    };
    let list: Vec<Value> = others.map(listed).collect();
    config.remove(FIELD);
    if !list.is_empty() {
        config.insert(FIELD.into(), json!(list));
    }
    Ok(())
}

/// Reads that list; `None` where the configuration is silent.
pub(crate) fn read_beside(fields: &Fields<'_>) -> Result<Option<Vec<Head>>> {
    let Some(list) = fields.list(FIELD)? else { return Ok(None) };
    if list.len() > COUNT_LIMIT {
        return Err(fields.error(FIELD, format!("lists {} heads; the limit is {COUNT_LIMIT}", list.len())));
    }
    let heads = list.iter().map(|item| read_one(fields, item)).collect::<Result<Vec<_>>>()?;
    Ok(Some(heads))
}

fn read_one(fields: &Fields<'_>, item: &Value) -> Result<Head> {
    let wrong = || {
        fields.error(FIELD, format!("has {item}; a head has a name, a kind (sequence, token, action or action_copy) and, of the first two, a width"))
    };
    let name = item.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
    let kind = item.get("kind").and_then(Value::as_str).ok_or_else(wrong)?;
    let kind = HeadKind::NAMES.iter().find(|(_, name)| *name == kind).map(|(kind, _)| *kind).ok_or_else(wrong)?;
    let width = match item.get("width") {
        None if kind.spans_vocabulary() => 0,
        Some(width) if !kind.spans_vocabulary() => {
            let width = width.as_u64().filter(|width| (1..=WIDTH_LIMIT as u64).contains(width));
            width.ok_or_else(wrong)? as usize
        }
        _ => return Err(wrong()),
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(fields.error(FIELD, "has a name that is not of letters, digits and underscores"));
    }
    Ok(Head::named(name, kind, width))
}

/// The first head, with what a configuration says of how it is read: the names of a regression's outputs, and what ends a step.
pub(crate) fn described(first: Head, fields: &Fields<'_>) -> Result<Head> {
    let separator = fields.text(SEPARATOR)?;
    let listed = fields.texts(ATTRIBUTES)?.map(|names| names.into_iter().map(str::to_owned).collect());
    let is_regression = fields.text("problem_type")? == Some("regression");
    let named = fields.value("id2label").and_then(Value::as_object).filter(|_| is_regression);
    let of = |labels: &Map<String, Value>| {
        let name = |label: usize| labels.get(&label.to_string())?.as_str().map(str::to_owned);
        (0..first.width).map(name).collect::<Option<Vec<String>>>()
    };
    let fits = |text: &str| (1..=TEXT_LIMIT).contains(&text.len());
    if separator.is_some_and(|text| !fits(text)) {
        return Err(fields.error(SEPARATOR, format!("is empty or longer than {TEXT_LIMIT} bytes")));
    }
    let wanted = |names: &Vec<String>| {
        first.kind == HeadKind::Sequence
            && first.width > 1
            && names.len() == first.width
            && names.iter().all(|name| fits(name))
    };
    let attributes = listed.or_else(|| named.and_then(of)).filter(wanted).map(Cow::Owned);
    let separator = separator.filter(|_| first.rewards_steps()).map(|text| Cow::Owned(text.to_owned()));
    let (attributes, separator) =
        (attributes.unwrap_or(first.attributes.clone()), separator.or(first.separator.clone()));
    Ok(Head { attributes, separator, ..first })
}

/// Says in a configuration how the first head is read.
pub(crate) fn describe(config: &mut Map<String, Value>, first: &Head) {
    config.remove(SEPARATOR);
    config.extend(first.separator.iter().map(|separator| (SEPARATOR.to_owned(), json!(separator))));
}

/// Names the first head's attributes in an adapter's configuration.
pub(crate) fn list_attributes(config: &mut Map<String, Value>, first: &Head) {
    if !first.attributes.is_empty() {
        config.insert(ATTRIBUTES.into(), json!(first.attributes));
    }
}

/// Checks that names differ, from each other and from those of the trunk.
pub(crate) fn check(heads: &[Head], what: impl Fn(String) -> Error) -> Result<()> {
    for (index, head) in heads.iter().enumerate() {
        let taken = ["embed", "positions", "norm_final"].contains(&&*head.name);
        if taken || heads[..index].iter().any(|other| other.name == head.name) {
            return Err(what(format!("has two parts named {}", head.name)));
        }
        if (head.width == 0) != head.kind.spans_vocabulary() || head.width > WIDTH_LIMIT {
            return Err(what(format!("has a head {} of width {}", head.name, head.width)));
        }
    }
    Ok(())
}

/// How many labels a configuration describes: those it names, or `num_labels`, which is 2 where it is silent.
pub(crate) fn labels(fields: &Fields<'_>) -> Result<usize> {
    let named = fields.value("id2label").and_then(Value::as_object).map(Map::len);
    match named {
        Some(labels @ 1..=WIDTH_LIMIT) => Ok(labels),
        Some(labels) => Err(fields.error("id2label", format!("names {labels} labels; 1 to {WIDTH_LIMIT} are allowed"))),
        None => match fields.size_or("num_labels", 2)? {
            labels @ 1..=WIDTH_LIMIT => Ok(labels),
            labels => Err(fields.error("num_labels", format!("is {labels}; the limit is {WIDTH_LIMIT}"))),
        },
    }
}

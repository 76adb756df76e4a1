//! The supported families: how each reads a Hugging Face `config.json` into a [`Spec`], and what its checkpoints call
//! each parameter.
//!
//! A family is one file and one record in [`ALL`]. Defaults of absent fields are those of the classes in transformers
//! 5.23 (which are also those of version 4).

mod common;
mod family;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod inert;
mod llama;
mod llama_config;
mod mistral;
mod module_rule;
mod names;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod rope;

use crate::error::{Error, Result};
use crate::spec::Spec;
use crate::spec::heads::{self, Class};
use crate::spec::parameters::parameter_count;
use crate::weights::config::{Config, Fields};

pub use family::{Family, TokenClass};
pub use llama_config::config_of as llama_config;
pub use module_rule::ModuleRule;
pub use names::StoredParameter;
pub(crate) use names::VALUE_PATH;

/// All supported families.
pub static ALL: [&Family; 12] = [
    &llama::FAMILY,
    &mistral::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &phi3::FAMILY,
    &olmo2::FAMILY,
    &gpt2::FAMILY,
    &gpt_neo::FAMILY,
    &gpt_neox::FAMILY,
];

/// More parameters than any model that fits a machine: a description beyond this is hostile or broken.
const PARAMETER_LIMIT: u128 = 1 << 41;

/// The family of this id.
pub fn by_id(id: &str) -> Option<&'static Family> {
    ALL.into_iter().find(|family| family.id == id)
}

/// Turns a configuration into the description of a transformer.
///
/// # Errors
/// Where the architecture is not supported; where a field is missing, malformed, contradicts another or asks for what is
/// not supported; and where there are fields that are not known and could change the function.
pub fn read(config: &Config) -> Result<Spec> {
    let fields = config.fields();
    let (family, class) = detect(config, &fields)?;
    let mut spec = (family.read)(&fields)?;
    let labels = if class == Class::CausalLm { 0 } else { heads::labels(&fields)? };
    let first = heads::described(class.head(labels), &fields)?;
    spec.outputs = std::iter::once(first).chain(heads::read_beside(&fields)?.unwrap_or_default()).collect();
    heads::check(&spec.outputs, |problem| fields.error(heads::FIELD, problem))?;
    common::check_common(&fields)?;
    fields.finish(inert::FIELDS)?;
    let count = parameter_count(&spec);
    if count > PARAMETER_LIMIT {
        let problem = format!("describes {count} parameters; the limit is {PARAMETER_LIMIT}");
        return Err(Error::Field { path: config.path().into(), field: ".".into(), problem });
    }
    Ok(spec)
}

/// Names of all supported architectures, for messages.
pub fn supported() -> String {
    ALL.iter().map(|family| family.architecture).collect::<Vec<_>>().join(", ")
}

fn detect(config: &Config, fields: &Fields<'_>) -> Result<(&'static Family, Class)> {
    let model_type = fields.text("model_type")?;
    let found = match fields.texts("architectures")?.as_deref() {
        None | Some([]) => {
            let of_type = |family: &&Family| Some(family.model_type) == model_type;
            ALL.into_iter().find(of_type).map(|family| (family, Class::CausalLm))
        }
        Some([name]) => ALL.into_iter().find_map(|family| Some((family, family.class_of(name)?))),
        Some(_) => None,
    };
    let Some((family, class)) = found else { return Err(unsupported(config)) };
    match model_type {
        Some(other) if other != family.model_type => {
            Err(fields
                .error("model_type", format!("is \"{other}\", but the architecture needs \"{}\"", family.model_type)))
        }
        _ => Ok((family, class)),
    }
}

fn unsupported(config: &Config) -> Error {
    let shown = |name: &str| config.map().get(name).map(ToString::to_string);
    let mut found = shown("architectures")
        .or_else(|| shown("model_type").map(|name| format!("of model type {name}")))
        .unwrap_or_else(|| "(none given)".into());
    if config.map().contains_key("auto_map") {
        found += " with code of its own (`auto_map`), which is never run,";
    }
    let others = "and the *ForSequenceClassification and *ForTokenClassification of each";
    let supported = format!("{}, {others}", supported());
    Error::Architecture { path: config.path().into(), found, supported }
}

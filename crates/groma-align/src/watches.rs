//! All watches, and the settings that choose among them.

mod agreement;
mod entropy;
mod held_out;
mod kl;
mod kl_growth;
mod length;
mod no_spread;
mod repetition;
mod reward_distance;
mod sameness;

use crate::parameter::{Kind, Parameter, Range, Variant, parameter};
use crate::training::OneOrMany;
use crate::watch::Watch;
use crate::{Error, Hyperparameters};
use serde::Deserialize;
use serde_json::{Map, Value};

/// All of them.
const WATCHES: &[Watch] = &[
    agreement::WATCH,
    entropy::WATCH,
    held_out::WATCH,
    kl::WATCH,
    kl_growth::WATCH,
    length::WATCH,
    no_spread::WATCH,
    repetition::WATCH,
    reward_distance::WATCH,
    sameness::WATCH,
];

/// [`WATCHES`] as choices of `watch`.
const VARIANTS: &[Variant] = &{
    let mut variants = [Variant::NONE; WATCHES.len()];
    let mut i = 0;
    while i < variants.len() {
        variants[i] = WATCHES[i].variant();
        i += 1;
    }
    variants
};

const WATCHED: &str = "watch";
const STOP: &str = "stop_on_alarm";
const PATIENCE: &str = "watch_patience";

/// Hyperparameters of methods that learn from rewards.
pub(crate) const PARAMETERS: [Parameter; 3] = [
    parameter(
        WATCHED,
        Kind::Variants(VARIANTS),
        // All that ask for nothing beyond what is sampled and rewarded anyway.
        "[\"agreement\", \"entropy\", \"held-out\", \"length\", \"no-spread\", \"repetition\", \"reward-distance\", \"sameness\"]",
        None,
        "What is watched for signs that the reward is won without what it stands for: at each log, as a share of its limit, `watch/NAME`; 1 is an alarm.",
    ),
    parameter(
        PATIENCE,
        Kind::Integer,
        "2",
        Some(Range::at_least(1.0)),
        "At so many logs in a row a watch must stand above its limit to raise its alarm.",
    ),
    parameter(
        STOP,
        Kind::Boolean,
        "false",
        None,
        "End the training at the first alarm, with exit code 1 and a checkpoint to go on from; without it an alarm is told and recorded.",
    ),
];

/// Whether a setting of this name decides what is said of a run, and nothing of its weights.
pub(crate) fn is_setting(name: &str) -> bool {
    let own = WATCHES.iter().flat_map(|watch| watch.limit);
    PARAMETERS.iter().chain(own).any(|parameter| parameter.name == name)
}

/// Whether some of the watches that settings choose have the reference asked about samples.
pub(crate) fn need_reference(values: &Map<String, Value>) -> bool {
    chosen(values).any(|watch| watch.needs_reference)
}

/// The watches that settings choose.
fn chosen(values: &Map<String, Value>) -> impl Iterator<Item = &'static Watch> {
    let named = values.get(WATCHED).cloned().and_then(|named| OneOrMany::<String>::deserialize(named).ok());
    let is_named = move |watch: &&Watch| named.as_ref().is_some_and(|n| n.as_slice().iter().any(|id| id == watch.id));
    WATCHES.iter().filter(is_named)
}

/// What settings say of watches.
pub(crate) struct Chosen {
    /// Each with its limit.
    pub(crate) watches: Vec<(&'static Watch, f64)>,
    pub(crate) patience: u64,
    pub(crate) stop: bool,
}

impl Chosen {
    /// Of settings; nothing of a method that has none.
    ///
    /// # Errors
    /// A limit that is no number.
    pub(crate) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let values = &settings.values;
        let limit = |watch: &'static Watch| {
            let name = watch.limit[0].name;
            let limit = values.get(name).and_then(Value::as_f64);
            limit.map(|limit| (watch, limit)).ok_or_else(|| settings.invalid(name, "must be a number"))
        };
        Ok(Chosen {
            watches: chosen(values).map(limit).collect::<Result<_, _>>()?,
            patience: values.get(PATIENCE).and_then(Value::as_u64).unwrap_or(1),
            stop: values.get(STOP).and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_and_a_limit_of_its_own() {
        for (place, watch) in WATCHES.iter().enumerate() {
            let own = format!("watch_{}_limit", watch.id.replace('-', "_"));
            assert_eq!(watch.limit[0].name, own);
            assert!(WATCHES[..place].iter().all(|other| other.id < watch.id), "in the order of their names");
        }
    }

    /// Those that cost a pass of the reference must be asked for.
    #[test]
    fn what_is_watched_without_being_asked_for_costs_nothing() {
        let default: Value = serde_json::from_str(PARAMETERS[0].default).unwrap();
        let by_default: Vec<String> = serde_json::from_value(default).unwrap();
        let free: Vec<&str> = WATCHES.iter().filter(|watch| !watch.needs_reference).map(|watch| watch.id).collect();
        assert_eq!(by_default, free);
    }
}

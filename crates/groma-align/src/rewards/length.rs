//! How near the length of a completion is to a wanted one: the simplest rule that any model can learn, and so a test of the
//! loop. `-|tokens - target| / target`.

use super::reward::Rollout;
use super::rule::{EachBy, Rule};
use crate::parameter::{Kind, Parameter, Range};
use serde_json::Value;

pub(super) const RULE: Rule = Rule {
    id: "length",
    title: "A wanted length",
    paper: "arXiv:2503.04697",
    doc: "-|tokens - length_target| / length_target.",
    parameters: &[Parameter {
        name: TARGET,
        kind: Kind::Integer,
        default: "64",
        range: Some(Range::at_least(1.0)),
        doc: "The wanted number of tokens, the one that ends the completion included.",
    }],
    wants: |_| None,
    build: |settings, _| {
        let target = settings.values.get(TARGET).and_then(Value::as_f64).unwrap_or(1.0);
        Ok(Box::new(EachBy(move |rollout: &Rollout<'_>| Some(-(rollout.tokens as f64 - target).abs() / target))))
    },
};

const TARGET: &str = "length_target";

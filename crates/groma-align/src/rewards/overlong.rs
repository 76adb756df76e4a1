//! Soft overlong punishment (DAPO): nothing up to `max - cache` tokens, then falling in a line to -1 at `max`.
//!
//! Yu et al. 2025, arXiv 2503.14476, equation 13, with `max_completion_length` as the maximum.

use super::reward::Rollout;
use super::rule::{EachBy, Rule};
use crate::parameter::{Kind, Parameter, Range};
use serde_json::Value;

pub(super) const RULE: Rule = Rule {
    id: "overlong",
    title: "Soft overlong punishment",
    paper: "arXiv:2503.14476",
    doc: "0 up to max_completion_length - overlong_cache tokens, falling to -1 at max_completion_length.",
    parameters: &[Parameter {
        name: CACHE,
        kind: Kind::Integer,
        default: "64",
        range: Some(Range::at_least(1.0)),
        doc: "Tokens before max_completion_length in which the punishment grows.",
    }],
    wants: |_| None,
    build: |settings, _| {
        let number = |name: &str| settings.values.get(name).and_then(Value::as_f64).unwrap_or(1.0);
        let (longest, cache) = (number("max_completion_length"), number(CACHE));
        if cache > longest {
            return Err(settings.invalid(CACHE, "must not be above max_completion_length"));
        }
        Ok(Box::new(EachBy(move |rollout: &Rollout<'_>| {
            Some(((longest - cache - rollout.tokens as f64) / cache).clamp(-1.0, 0.0))
        })))
    },
};

const CACHE: &str = "overlong_cache";

//! Completions that rows have, learned beside those that are sampled.
//!
//! Ouyang et al. 2022, arXiv 2203.02155, equation 2 (PPO-ptx), with the rows' own completions in place of texts of pretraining.

use crate::Error;
use crate::group::{Group, Member};
use crate::parameter::{Kind, Parameter, Range, parameter};
use std::borrow::Cow;

const PTX: &str = "ptx_coef";

/// Hyperparameters.
pub(super) const PARAMETERS: &[Parameter] = &[parameter(
    PTX,
    Kind::Float,
    "0.0",
    Some(Range::at_least(0.0)),
    "What the mean negative log-probability of a token of the rows' own completions counts beside (PPO-ptx), which takes rows that have some.",
)];

/// Puts beside what was sampled of prompts the completions that their rows have.
///
/// # Errors
/// Where none has one.
pub(super) fn add(method: &'static str, groups: &mut [Group], rows: &[Cow<'_, Group>]) -> Result<(), Error> {
    let mut found = 0;
    for (group, row) in groups.iter_mut().zip(rows) {
        let given = row.sequences().filter(|sequence| sequence.scored_count() > 0);
        let before = group.members.len();
        group.members.extend(given.map(|sequence| Member::new(sequence.clone())));
        found += group.members.len() - before;
    }
    if found == 0 {
        let (name, problem) = (PTX.into(), "asks for completions, and the rows have none: give rows with some".into());
        return Err(Error::Setting { method, name, value: "above 0".into(), problem });
    }
    Ok(())
}

/// Tokens of a completion that the row has, and that nobody sampled.
pub(super) fn demonstrated(member: &Member) -> usize {
    if member.sampled.is_empty() { member.sequence.scored_count() } else { 0 }
}

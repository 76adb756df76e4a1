//! What audits have in common: scores of texts, and intervals as records have them.

use groma_lm::{Continuation, Control, Failure, LanguageModel, Scored};
use groma_run::Measurement;
use groma_stats::Interval;

use crate::Error;

/// Scores in the order of what was wanted; none where there is none. Those that are no numbers are left out too.
///
/// # Errors
/// If a stop was asked for.
pub(crate) fn scored(
    model: &dyn LanguageModel,
    wanted: &[Continuation],
    control: Control<'_>,
) -> Result<Vec<Option<Scored>>, Error> {
    let found = model.score(wanted, control);
    control.cancel.check()?;
    let is_usable = |scored: &Scored| !scored.logps.is_empty() && scored.sum().is_finite();
    let is_finite = |found: Result<Scored, Failure>| found.ok().filter(is_usable);
    Ok(found.into_iter().map(is_finite).collect())
}

/// A number with its interval.
pub(crate) fn with_interval(number: Measurement, interval: Option<Interval>) -> Measurement {
    let recorded = |Interval { low, high, level, method }: Interval| groma_run::Interval {
        low,
        high,
        level,
        method: method.name().to_owned(),
    };
    Measurement { interval: interval.filter(|interval| interval.low < interval.high).map(recorded), ..number }
}

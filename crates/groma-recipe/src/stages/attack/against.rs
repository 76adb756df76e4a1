//! This stage's outcomes against those of an earlier one, goal by goal.

use std::collections::BTreeMap;

use groma_run::Comparison;
use groma_stats::formulas::SHARE;
use groma_stats::{Observation, Statistic};

use super::numbers::{Measured, SUCCESS, recorded, resampling, score};
use super::outcome::Outcome;
use crate::records::Attack;

/// The change of an attack's success over the goals that both could score: Agresti and Min's interval and McNemar's exact test, or
/// t with clustered errors. None where there is no such goal.
pub(super) fn compare(measured: &Measured, stage: &Attack, earlier: &[Outcome]) -> Option<Comparison> {
    let of_attack = earlier.iter().filter(|outcome| outcome.attack == measured.record.id);
    let before: BTreeMap<&str, bool> =
        of_attack.filter_map(|outcome| Some((outcome.goal.as_str(), outcome.success?))).collect();
    let pair = |(goal, attempt): (&'_ groma_attack::Goal, &'_ groma_attack::Attempt)| {
        let scores = vec![f64::from(u8::from(*before.get(goal.id.as_str())?)), score(&attempt.verdict())?];
        Some((goal.id.clone(), goal.cluster.clone(), scores))
    };
    let pairs: Vec<_> = measured.goals().filter_map(pair).collect();
    let observations: Vec<Observation> = pairs
        .iter()
        .map(|(id, cluster, scores)| Observation {
            id,
            cluster: cluster.as_deref(),
            group: None,
            scores: scores.clone(),
        })
        .collect();
    let statistic = Statistic { formula: &SHARE, across: None };
    let found = resampling(measured.seed, SUCCESS, |how| statistic.compare(&observations, how))?;
    Some(Comparison {
        stage: String::new(),
        stage_key: String::new(),
        task: measured.record.id.to_owned(),
        metric: SUCCESS.to_owned(),
        mode: measured.mode.to_owned(),
        factors: measured.factors.clone(),
        before_subject: stage.against.clone().unwrap_or_default(),
        after_subject: measured.subject.to_owned(),
        before: found.before,
        after: found.after,
        difference: found.difference,
        interval: found.interval.map(recorded),
        p_value: found.p_value,
        n: found.n as u64,
        method: found.method.to_owned(),
        detectable: found.detectable,
    })
}

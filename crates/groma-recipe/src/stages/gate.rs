//! Holds what was measured against conditions.

use groma_report::value_text;
use groma_run::{Check, CheckKind, Finished, Interval, Measurement, RunRecords, Unit};
use serde_json::json;
use std::collections::BTreeSet;

use crate::Error;
use crate::recipe::Recipe;
use crate::records::{Condition, Gate};
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;

impl StageWork for Gate {
    fn check(&self, recipe: &Recipe, _: Resolve<'_>) -> Result<Vec<String>, Error> {
        let wrong = |problem: String| {
            let problem = format!("stage `{}`: {problem}", self.name);
            Err(Error::Recipe { name: recipe.name.clone(), problem })
        };
        if self.conditions.is_empty() {
            return wrong("has no [[stage.conditions]]".into());
        }
        for condition in &self.conditions {
            let what = condition.what();
            match (condition.at_least, condition.at_most) {
                (None, None) => return wrong(format!("the condition on {what} needs `at_least` or `at_most`")),
                (Some(least), Some(most)) if least > most => {
                    return wrong(format!("nothing is at least {least} and at most {most} ({what})"));
                }
                (least, most) if [least, most].into_iter().flatten().any(f64::is_nan) => {
                    return wrong(format!("a bound on {what} is not a number"));
                }
                _ => {}
            }
        }
        Ok(vec![format!("{}: {}", self.name, groma_run::counted(self.conditions.len() as u64, "condition"))])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let mut key = runner.key(&self.name).config(self)?;
        let read: BTreeSet<&String> = self
            .conditions
            .iter()
            .flat_map(|condition| [Some(&condition.of), condition.from.as_ref()])
            .flatten()
            .collect();
        for stage in read {
            if let Some(record) = runner.record(stage) {
                key = key.input(stage, record.key);
            }
        }
        runner.stage(key, false, |runner, recorder| {
            let records = RunRecords::read(runner.directory.path())?;
            let checks: Vec<Check> = self.conditions.iter().map(|condition| condition.hold(&records)).collect();
            let failed: Vec<&str> =
                checks.iter().filter(|check| check.passed != Some(true)).map(|check| check.name.as_str()).collect();
            let result = json!({ "conditions": checks.len(), "failed": failed });
            checks.into_iter().for_each(|check| recorder.check(check));
            Ok(Finished { result, ..Finished::default() })
        })
    }
}

/// What a condition is held against.
struct Found {
    value: f64,
    interval: Option<Interval>,
    unit: Unit,
}

impl Condition {
    /// The number that it is about, in words.
    fn what(&self) -> String {
        let factors: String = self.factors.iter().map(|(name, value)| format!(", {name} {value}")).collect();
        let metric = self.metric.as_deref().map_or(String::new(), |metric| format!(" {metric}"));
        let change = self.from.as_deref().map_or(String::new(), |from| format!("change from {from} of "));
        format!("{change}{}: {}{metric}{factors}", self.of, self.task)
    }

    /// How the condition comes out. A number that is not there, or has no interval where one is asked for, passes nothing.
    fn hold(&self, records: &RunRecords) -> Check {
        let found = self.found(records);
        let passed = found.as_ref().and_then(|found| self.holds(found));
        let unit = found.as_ref().map_or(Unit::Plain, |found| found.unit);
        let text = |value: f64| value_text(value, unit);
        let bound = |words: &str, bound: Option<f64>| bound.map(|bound| format!("{words} {}", text(bound)));
        let bounds: Vec<String> =
            [bound("at least", self.at_least), bound("at most", self.at_most)].into_iter().flatten().collect();
        let expected = bounds.join(" and ") + if self.certainly { ", by the whole interval" } else { "" };
        let words = match &found {
            None => "this was not measured".to_owned(),
            Some(Found { value, interval: Some(interval), .. }) => {
                format!("{} [{}, {}]", text(*value), text(interval.low), text(interval.high))
            }
            Some(Found { value, .. }) if self.certainly => format!("{}, without an interval", text(*value)),
            Some(Found { value, .. }) => text(*value),
        };
        let value = found.map(|found| found.value);
        Check { name: self.what(), kind: CheckKind::Gate, passed, expected, found: words, value }
    }

    fn holds(&self, found: &Found) -> Option<bool> {
        let (low, high) = match &found.interval {
            _ if !self.certainly => (found.value, found.value),
            Some(interval) => (interval.low, interval.high),
            None => return None,
        };
        if low.is_nan() || high.is_nan() {
            return None;
        }
        Some(self.at_least.is_none_or(|least| low >= least) && self.at_most.is_none_or(|most| high <= most))
    }

    fn found(&self, records: &RunRecords) -> Option<Found> {
        let after = self.measured(&self.of, records)?;
        let Some(from) = &self.from else {
            return Some(Found { value: after.value, interval: after.interval.clone(), unit: after.unit });
        };
        let before = self.measured(from, records)?;
        let paired = records.comparisons.iter().find(|row| {
            (row.before_subject.as_str(), row.after_subject.as_str()) == (&before.subject, &after.subject)
                && (row.task.as_str(), row.metric.as_str()) == (&after.task, &after.metric)
                && row.factors.iter().all(|(name, value)| after.factors.get(name) == Some(value))
        });
        let value = paired.map_or(after.value - before.value, |row| row.difference);
        Some(Found { value, interval: paired.and_then(|row| row.interval.clone()), unit: after.unit })
    }

    /// The number of a stage that the condition is about.
    fn measured<'a>(&self, stage: &str, records: &'a RunRecords) -> Option<&'a Measurement> {
        records.measurements.iter().find(|row| {
            row.stage == stage
                && row.task == self.task
                && self.metric.as_ref().is_none_or(|metric| *metric == row.metric)
                && self.factors.iter().all(|(name, value)| row.factors.get(name) == Some(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        toml::from_str(&format!("of = 'after'\ntask = 'refusal'\n{text}")).unwrap()
    }

    fn found(value: f64, interval: Option<(f64, f64)>) -> Found {
        let interval = interval.map(|(low, high)| Interval { low, high, level: 0.95, method: "t".into() });
        Found { value, interval, unit: Unit::Share }
    }

    #[test]
    fn bounds_hold_the_number_or_the_whole_interval() {
        let near = found(0.92, Some((0.85, 0.96)));
        for (text, holds) in [
            ("at_least = 0.9", Some(true)),
            ("at_least = 0.9\ncertainly = true", Some(false)),
            ("at_least = 0.8\nat_most = 0.97\ncertainly = true", Some(true)),
            ("at_most = 0.9", Some(false)),
        ] {
            assert_eq!(condition(text).holds(&near), holds, "{text}");
        }
        assert_eq!(condition("at_least = 0.9\ncertainly = true").holds(&found(0.99, None)), None);
        assert_eq!(condition("at_least = 0.9").holds(&found(f64::NAN, None)), None);
    }
}

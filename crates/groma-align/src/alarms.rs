//! Watches at work: what they say at each log, and when that is an alarm.

use crate::alarm::Alarm;
use crate::watch::{Log, Past};
use crate::watches::Chosen;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the metric of a watch begins with.
const PREFIX: &str = "watch/";

/// What watches have seen. Part of checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// What was logged, where something is watched.
    pub past: Past,
    /// Alarms, in the order in which they came; one of each watch at most.
    pub alarms: Vec<Alarm>,
    /// For how many logs in a row watches have been above their limits.
    #[serde(default)]
    above: BTreeMap<String, u64>,
}

impl Watched {
    /// Takes note of a log, adds what the watches say as shares of their limits, and tells of new alarms.
    pub(crate) fn look(&mut self, chosen: &Chosen, step: u64, metrics: &mut BTreeMap<String, f64>) -> Vec<Alarm> {
        if chosen.watches.is_empty() {
            return Vec::new();
        }
        self.past.logs.push(Log { step, metrics: metrics.clone() });
        let mut new = Vec::new();
        for &(watch, limit) in &chosen.watches {
            let level = (watch.level)(&self.past);
            metrics.extend(level.map(|level| (format!("{PREFIX}{}", watch.id), level / limit)));
            let Some(level) = level.filter(|level| *level > limit) else {
                self.above.remove(watch.id);
                continue;
            };
            let times = self.above.entry(watch.id.to_owned()).or_default();
            *times += 1;
            if *times >= chosen.patience && !self.alarms.iter().any(|alarm| alarm.watch == watch.id) {
                let (watch, title) = (watch.id.to_owned(), watch.title.to_owned());
                new.push(Alarm { watch, step, level, limit, title });
            }
        }
        self.alarms.extend(new.iter().cloned());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Settings};
    use serde_json::json;

    fn chosen(given: serde_json::Value) -> Chosen {
        let mut all = json!({"reward_funcs": ["length"], "watch": ["repetition"]});
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let settings = Settings::resolve(Method::find("grpo").unwrap(), all.as_object().unwrap()).unwrap();
        Chosen::new(&settings).unwrap()
    }

    /// At which logs an alarm is raised.
    fn raised(chosen: &Chosen, values: &[f64]) -> Vec<u64> {
        let mut watched = Watched::default();
        let mut steps = Vec::new();
        for (step, value) in (1..).zip(values) {
            let mut metrics = [("completions/repetition".to_owned(), *value)].into();
            steps.extend(watched.look(chosen, step, &mut metrics).iter().map(|alarm| alarm.step));
            assert!((metrics["watch/repetition"] - (value - values[0]) / 0.2).abs() < 1e-9);
            // What a checkpoint holds is all of it.
            watched = serde_json::from_str(&serde_json::to_string(&watched).unwrap()).unwrap();
        }
        steps
    }

    #[test]
    fn an_alarm_needs_patience_and_is_raised_once() {
        let values = [0.0, 0.3, 0.1, 0.3, 0.3, 0.3, 0.0, 0.4, 0.4];
        assert_eq!(raised(&chosen(json!({})), &values), [5]);
        assert_eq!(raised(&chosen(json!({"watch_patience": 1})), &values), [2]);
        assert_eq!(raised(&chosen(json!({"watch_patience": 4})), &values), [0u64; 0]);
    }

    #[test]
    fn limits_are_read_with_their_watch_alone() {
        let settings = |given: serde_json::Value| {
            Settings::resolve(Method::find("rloo").unwrap(), given.as_object().unwrap()).map_err(|e| e.to_string())
        };
        let error = settings(json!({"reward_funcs": "length", "watch_kl_limit": 5.0})).unwrap_err();
        assert!(error.contains("watch kl"), "{error}");
        let error = settings(json!({"reward_funcs": "length", "watch": "lenght"})).unwrap_err();
        assert!(error.contains("did you mean length?"), "{error}");
        // They change no weight, so a run may go on with others.
        let [one, other] = [
            json!({"reward_funcs": "length"}),
            json!({"reward_funcs": "length", "stop_on_alarm": true,
            "watch": ["kl"], "watch_kl_limit": 5.0}),
        ]
        .map(|given| settings(given).unwrap());
        assert_eq!(one.digest().unwrap(), other.digest().unwrap());
    }
}

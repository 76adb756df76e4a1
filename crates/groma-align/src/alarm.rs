//! An alarm of a watch.

use groma_run::number;
use serde::{Deserialize, Serialize};

/// A watch that stood above its limit for as many logs as the settings say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The watch.
    pub watch: String,
    /// The step of the log that made it an alarm.
    pub step: u64,
    /// Its number there.
    #[serde(with = "number")]
    pub level: f64,
    /// The limit.
    pub limit: f64,
    /// What the number is.
    pub title: String,
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Alarm { watch, step, level, limit, title } = self;
        write!(f, "{watch} at step {step}: {title} is {level:.3}, above {limit}")
    }
}

//! The names in a run directory.

/// What was run.
pub const MANIFEST: &str = "manifest.json";
/// What happened.
pub const EVENTS: &str = "events.jsonl";
/// The numbers.
pub const MEASUREMENTS: &str = "measurements.jsonl";
/// The numbers of two subjects on the same items.
pub const COMPARISONS: &str = "comparisons.jsonl";
/// Directory of texts and of the scores of items.
pub const SAMPLES: &str = "samples";
/// Directory of checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// Directory of the records of ended stages.
pub const STAGES: &str = "stages";
/// Directory of the resulting model.
pub const MODEL: &str = "model";
/// The report.
pub const REPORT: &str = "report.html";
/// What a process that works in it holds.
pub(crate) const LOCK: &str = "lock";

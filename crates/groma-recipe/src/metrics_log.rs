//! Metrics of a training outside of a run: `metrics.jsonl`, kept while it goes on and whole after a resumption, and the forms
//! that people's dashboards read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use groma_align::Observer;
use groma_model::Transformer;
use groma_report::{LoggedStep, event_file};
use groma_run::{Files, atomic, number};
use serde::{Deserialize, Serialize};

/// Name of the file with a line for each log, under TRL's names.
pub(crate) const METRICS: &str = "metrics.jsonl";

/// A form of the metrics beside `metrics.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// An event file, `events.out.tfevents.groma`.
    TensorBoard,
    /// A table, `metrics.csv`: a row for each step, a column for each metric.
    Csv,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    step: u64,
    #[serde(flatten, with = "number::map")]
    metrics: BTreeMap<String, f64>,
}

/// Writes metrics as they are logged.
pub(crate) struct MetricsLog {
    files: Files,
    path: PathBuf,
    steps: Vec<LoggedStep>,
    forms: Vec<LogForm>,
    failure: Option<String>,
}

impl MetricsLog {
    /// One that is kept in `directory` meanwhile.
    pub(crate) fn new(files: Files, directory: &Path, forms: &[LogForm]) -> Self {
        MetricsLog { files, path: directory.join(METRICS), steps: Vec::new(), forms: forms.to_vec(), failure: None }
    }

    /// The files, by name, for beside the model.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let form = |form: &LogForm| match form {
            LogForm::TensorBoard => ("events.out.tfevents.groma".to_owned(), event_file(&self.steps)),
            LogForm::Csv => ("metrics.csv".to_owned(), csv(&self.steps).into_bytes()),
        };
        let lines = (METRICS.to_owned(), lines(&self.steps).into_bytes());
        std::iter::once(lines).chain(self.forms.iter().map(form)).collect()
    }

    /// Takes over what was logged up to the step from which training goes on.
    fn take_over(&mut self, step: u64) -> std::io::Result<()> {
        let earlier = std::fs::read_to_string(&self.path).unwrap_or_default();
        let time = now();
        let kept = earlier.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let kept = kept.take_while(|line| line.step <= step);
        self.steps = kept.map(|Line { step, metrics }| LoggedStep { step, time, metrics }).collect();
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let text = lines(&self.steps);
        atomic::write_file(&self.files, &self.path, text.as_bytes()).map_err(std::io::Error::other)
    }

    fn add(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        let logged = LoggedStep { step, time: now(), metrics: metrics.clone() };
        let line = lines(std::slice::from_ref(&logged));
        self.steps.push(logged);
        let append =
            || std::fs::OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(line.as_bytes());
        if let Err(error) = append() {
            self.failure.get_or_insert(format!("cannot write {}: {error}", self.path.display()));
        }
    }
}

impl Observer for MetricsLog {
    fn started(&mut self, step: u64, _: &Transformer) -> Result<(), String> {
        self.take_over(step).map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }

    fn step(&mut self, _: &groma_align::StepReport, _: &Transformer) -> Result<(), String> {
        self.failure.take().map_or(Ok(()), Err)
    }

    fn logged(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        self.add(step, metrics);
    }

    fn evaluated(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        self.add(step, metrics);
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn lines(steps: &[LoggedStep]) -> String {
    let line = |step: &LoggedStep| {
        let line = Line { step: step.step, metrics: step.metrics.clone() };
        // Names and numbers can always be written.
        serde_json::to_string(&line).map_or(String::new(), |line| line + "\n")
    };
    steps.iter().map(line).collect()
}

/// A row for each step; what is logged at one step twice (as where held-out rows are measured too) is one row.
fn csv(steps: &[LoggedStep]) -> String {
    let names: std::collections::BTreeSet<&str> =
        steps.iter().flat_map(|step| step.metrics.keys().map(String::as_str)).collect();
    let mut rows: BTreeMap<u64, BTreeMap<&str, f64>> = BTreeMap::new();
    for step in steps {
        let row = rows.entry(step.step).or_default();
        row.extend(step.metrics.iter().map(|(name, value)| (name.as_str(), *value)));
    }
    let mut text = String::from("step");
    for name in &names {
        text.push(',');
        text.push_str(&quoted(name));
    }
    text.push('\n');
    for (step, row) in &rows {
        text.push_str(&step.to_string());
        for name in &names {
            text.push(',');
            text.push_str(&row.get(name).map_or(String::new(), f64::to_string));
        }
        text.push('\n');
    }
    text
}

/// A field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    let plain = !field.contains([',', '"', '\n', '\r']);
    if plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Disk;

    fn metrics(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn what_was_logged_after_the_last_checkpoint_is_logged_anew() {
        let root = tempfile::tempdir().unwrap();
        let mut log = MetricsLog::new(Disk::files(), root.path(), &[]);
        log.take_over(0).unwrap();
        log.add(10, &metrics(&[("loss", 0.5)]));
        log.add(20, &metrics(&[("loss", 0.25)]));
        let mut resumed = MetricsLog::new(Disk::files(), root.path(), &[LogForm::Csv, LogForm::TensorBoard]);
        resumed.take_over(10).unwrap();
        resumed.add(20, &metrics(&[("loss", 0.125), ("grad_norm", f64::INFINITY)]));
        resumed.add(20, &metrics(&[("eval_loss", 1.0)]));
        let text = std::fs::read_to_string(root.path().join(METRICS)).unwrap();
        assert_eq!(
            text,
            "{\"step\":10,\"loss\":0.5}\n{\"step\":20,\"grad_norm\":\"Infinity\",\"loss\":0.125}\n{\"step\":20,\"eval_loss\":1.0}\n"
        );
        let files = resumed.files();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [METRICS, "metrics.csv", "events.out.tfevents.groma"]);
        assert_eq!(files[0].1, text.as_bytes());
        assert_eq!(files[1].1, b"step,eval_loss,grad_norm,loss\n10,,,0.5\n20,1,inf,0.125\n");
    }
}

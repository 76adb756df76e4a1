//! Metrics of a training outside of a run: `metrics.jsonl` and the forms that people's dashboards read, all of them kept while
//! it goes on and whole after a resumption.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use groma_align::Observer;
use groma_model::Transformer;
use groma_report::{LoggedStep, WandbRun, event, event_file, wandb_step};
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
    /// An offline run of W&B, `run-groma.wandb`.
    Wandb,
}

impl LogForm {
    fn file(self) -> &'static str {
        match self {
            LogForm::TensorBoard => "events.out.tfevents.groma",
            LogForm::Csv => "metrics.csv",
            LogForm::Wandb => "run-groma.wandb",
        }
    }

    /// The whole file, of a training that goes on or has ended.
    fn bytes(self, steps: &[LoggedStep], run: &WandbRun, has_ended: bool) -> Vec<u8> {
        match self {
            LogForm::TensorBoard => event_file(steps),
            LogForm::Csv => csv(steps).into_bytes(),
            LogForm::Wandb => run.log(steps, has_ended),
        }
    }

    /// What the last step adds to the file of those before it, which has so many bytes; `None` where it changes more than the
    /// file's end: the first step, a new column, a row that is there.
    fn addition(self, last: &LoggedStep, before: &[LoggedStep], bytes: u64) -> Option<Vec<u8>> {
        let (first, previous) = (before.first()?, before.last()?);
        match self {
            LogForm::TensorBoard => Some(event(last)),
            LogForm::Csv => {
                let names = names(before);
                let fits = previous.step < last.step && last.metrics.keys().all(|name| names.contains(name.as_str()));
                let values = last.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                fits.then(|| csv_row(last.step, &names, &values).into_bytes())
            }
            LogForm::Wandb => (previous.step < last.step).then(|| wandb_step(last, first.time, bytes as usize)),
        }
    }
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
    run: WandbRun,
    failure: Option<String>,
}

impl MetricsLog {
    /// One that is kept in `directory` meanwhile.
    pub(crate) fn new(files: Files, directory: &Path, forms: &[LogForm], run: WandbRun) -> Self {
        let (path, forms) = (directory.join(METRICS), forms.to_vec());
        MetricsLog { files, path, steps: Vec::new(), forms, run, failure: None }
    }

    /// The files, by name, for beside the model, where training has ended.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.contents(true)
    }

    fn contents(&self, has_ended: bool) -> Vec<(String, Vec<u8>)> {
        let form = |form: &LogForm| (form.file().to_owned(), form.bytes(&self.steps, &self.run, has_ended));
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
        self.contents(false).iter().try_for_each(|(name, bytes)| self.write(name, bytes))
    }

    /// Writes a file anew.
    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        atomic::write_file(&self.files, &self.path.with_file_name(name), bytes).map_err(std::io::Error::other)
    }

    /// Adds the last step to each file.
    fn append(&self) -> std::io::Result<()> {
        let Some((last, before)) = self.steps.split_last() else { return Ok(()) };
        self.extend(METRICS, lines(std::slice::from_ref(last)).as_bytes())?;
        self.forms.iter().try_for_each(|form| {
            let bytes = std::fs::metadata(self.path.with_file_name(form.file()))?.len();
            match form.addition(last, before, bytes) {
                Some(addition) => self.extend(form.file(), &addition),
                None => self.write(form.file(), &form.bytes(&self.steps, &self.run, false)),
            }
        })
    }

    fn extend(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        std::fs::OpenOptions::new().append(true).create(true).open(self.path.with_file_name(name))?.write_all(bytes)
    }

    fn add(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        self.steps.push(LoggedStep { step, time: now(), metrics: metrics.clone() });
        if let Err(error) = self.append() {
            self.failure.get_or_insert(format!("cannot write {} or a form of it: {error}", self.path.display()));
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
    let names = names(steps);
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
    text.extend(rows.iter().map(|(step, row)| csv_row(*step, &names, row)));
    text
}

/// The columns of a table beside the step.
fn names(steps: &[LoggedStep]) -> BTreeSet<&str> {
    steps.iter().flat_map(|step| step.metrics.keys().map(String::as_str)).collect()
}

fn csv_row(step: u64, names: &BTreeSet<&str>, row: &BTreeMap<&str, f64>) -> String {
    let cells = names.iter().map(|name| row.get(name).map_or(String::new(), f64::to_string));
    let cells: Vec<String> = std::iter::once(step.to_string()).chain(cells).collect();
    cells.join(",") + "\n"
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

    fn run() -> WandbRun {
        let (id, name, project) = ("it".to_owned(), "it".to_owned(), "groma".to_owned());
        WandbRun { id, name, project, config: serde_json::Map::new() }
    }

    fn metrics(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn what_was_logged_after_the_last_checkpoint_is_logged_anew() {
        let root = tempfile::tempdir().unwrap();
        let mut log = MetricsLog::new(Disk::files(), root.path(), &[], run());
        log.take_over(0).unwrap();
        log.add(10, &metrics(&[("loss", 0.5)]));
        log.add(20, &metrics(&[("loss", 0.25)]));
        let mut resumed = MetricsLog::new(Disk::files(), root.path(), &[LogForm::Csv, LogForm::TensorBoard], run());
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

    /// Whenever it is killed, all that was logged lies in every form, each step once.
    #[test]
    fn each_form_is_whole_at_each_step() {
        let root = tempfile::tempdir().unwrap();
        let whole = |log: &MetricsLog, when: &str| {
            for (name, bytes) in log.contents(false) {
                assert!(std::fs::read(root.path().join(&name)).unwrap() == bytes, "{name} {when}");
            }
        };
        let forms = [LogForm::Csv, LogForm::TensorBoard, LogForm::Wandb];
        let mut log = MetricsLog::new(Disk::files(), root.path(), &forms, run());
        log.take_over(0).unwrap();
        whole(&log, "before the first step");
        for step in 1..=6 {
            log.add(step, &metrics(&[("loss", 1.0 / step as f64)]));
            whole(&log, "after a step");
            if step % 3 == 0 {
                log.add(step, &metrics(&[("eval_loss", 2.0 / step as f64)]));
                whole(&log, "after an evaluation");
            }
        }
        let mut resumed = MetricsLog::new(Disk::files(), root.path(), &forms, run());
        resumed.take_over(4).unwrap();
        whole(&resumed, "after a resumption");
        resumed.add(5, &metrics(&[("loss", 0.2)]));
        whole(&resumed, "after a step that was done again");
        let table = std::fs::read_to_string(root.path().join("metrics.csv")).unwrap();
        assert_eq!(table.lines().count(), 6, "{table}");
    }
}

//! The results of one model in the form of lm-evaluation-harness, for the tools that read its files: `results_*.json`,
//! `samples_*.jsonl` and its table. Keys are those of its `EvalResults` and `SampleResult` (version 0.4.13).

use groma_run::{Item, Manifest, Measurement, RowReader, RunRecords};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

use crate::Error;

/// The name of a metric's filter: groma has a metric for each way to read an answer.
const FILTER: &str = "none";

/// What a task's numbers alone do not tell.
#[derive(Clone, Debug)]
pub struct HarnessTask {
    /// Its name in the results.
    pub name: String,
    /// Its version, or the digest of its file.
    pub version: Value,
    /// Worked examples before each question.
    pub num_fewshot: usize,
    /// The most items that were to be measured.
    pub limit: Option<usize>,
}

/// The results of a subject, and the samples of each task.
#[derive(Clone, Debug)]
pub struct HarnessResults {
    /// `results_*.json`.
    pub results: Value,
    /// `samples_TASK_*.jsonl`: the task and its rows.
    pub samples: Vec<(String, Vec<Value>)>,
}

impl HarnessResults {
    /// From the records of a run. `model` is the model as it was named.
    ///
    /// # Errors
    /// If the scores of a task's items cannot be read.
    pub fn of_run(records: &RunRecords, subject: &str, model: &str, tasks: &[HarnessTask]) -> Result<Self, Error> {
        let mut parts: [Map<String, Value>; 7] = Default::default();
        let mut samples = Vec::new();
        for task in tasks {
            let [results, configs, versions, shots, better, counts, subtasks] = &mut parts;
            let name = &task.name;
            let of_task = |m: &&Measurement| m.subject == subject && m.task == *name && !m.metric.ends_with(']');
            let measured: Vec<&Measurement> = records.measurements.iter().filter(of_task).collect();
            let Some(first) = measured.first() else { continue };
            let items = match &first.samples {
                Some(file) => RowReader::<Item>::open(&records.path.join(file))?.collect::<Result<Vec<_>, _>>()?,
                None => Vec::new(),
            };
            results.insert(name.clone(), metrics(name, &measured, &items));
            configs.insert(name.clone(), json!({ "task": name, "num_fewshot": task.num_fewshot, "mode": first.mode }));
            versions.insert(name.clone(), task.version.clone());
            shots.insert(name.clone(), task.num_fewshot.into());
            better
                .insert(name.clone(), measured.iter().map(|m| (m.metric.clone(), json!(m.higher_is_better))).collect());
            counts.insert(name.clone(), json!({ "original": items.len(), "effective": items.len() }));
            subtasks.insert(name.clone(), json!([]));
            samples.push((name.clone(), rows(&measured, &items)));
        }
        let [results, configs, versions, shots, better, counts, subtasks] = parts;
        let manifest = &records.manifest;
        let limit = tasks.iter().find_map(|task| task.limit);
        Ok(HarnessResults {
            results: json!({
                "results": results, "group_subtasks": subtasks, "configs": configs, "versions": versions,
                "n-shot": shots, "higher_is_better": better, "n-samples": counts,
                "config": {
                    "model": "groma", "model_args": format!("pretrained={model}"), "batch_size": null, "device": "cpu",
                    "limit": limit, "random_seed": manifest.seed,
                },
                "git_hash": null, "date": manifest.started.as_second(), "groma_version": manifest.groma,
                "model_source": "groma", "model_name": model, "model_name_sanitized": sanitized(model),
                "task_hashes": {}, "total_evaluation_time_seconds": seconds(manifest).to_string(),
            }),
            samples,
        })
    }

    /// The results as lm-evaluation-harness's own table, in Markdown.
    pub fn table(&self) -> String {
        let mut text =
            "|Tasks|Version|Filter|n-shot|Metric|   |Value|   |Stderr|\n|---|---|---|---:|---|---|---:|---|---:|\n"
                .to_owned();
        let none = Map::new();
        for (task, metrics) in self.results["results"].as_object().unwrap_or(&none) {
            let mut shown = task.as_str();
            for (key, value) in metrics.as_object().unwrap_or(&none) {
                let Some((metric, filter)) = key.split_once(',').filter(|(metric, _)| !metric.ends_with("_stderr"))
                else {
                    continue;
                };
                let (version, shots) = (&self.results["versions"][task], &self.results["n-shot"][task]);
                let arrow = match self.results["higher_is_better"][task][metric].as_bool() {
                    Some(true) => "↑",
                    Some(false) => "↓",
                    None => "",
                };
                let error = &metrics[&format!("{metric}_stderr,{filter}")];
                let number = |value: &Value| value.as_f64().map_or("N/A".to_owned(), |value| format!("{value:.4}"));
                let _ = writeln!(
                    text,
                    "|{shown}|{version}|{filter}|{shots}|{metric}|{arrow}|{}|±|{}|",
                    number(value),
                    number(error)
                );
                shown = "";
            }
        }
        text
    }
}

/// A name as lm-evaluation-harness makes it that of a directory.
pub fn sanitized(model: &str) -> String {
    let parts = model.split(|c| "\"<>:/|\\?*[]".contains(c)).enumerate();
    let kept = parts.filter(|(index, part)| *index == 0 || !part.is_empty()).map(|(_, part)| part);
    groma_run::file_name(&kept.collect::<Vec<_>>().join("__"))
}

fn seconds(manifest: &Manifest) -> f64 {
    manifest.stages.iter().map(|stage| stage.seconds).sum()
}

fn metrics(task: &str, measured: &[&Measurement], items: &[Item]) -> Value {
    let mut found = Map::new();
    found.insert("alias".into(), task.into());
    found.insert("sample_len".into(), items.len().into());
    for m in measured {
        found.insert(format!("{},{FILTER}", m.metric), json!(m.value));
        let error = standard_error(m, items).map_or(json!("N/A"), |error| json!(error));
        found.insert(format!("{}_stderr,{FILTER}", m.metric), error);
    }
    Value::Object(found)
}

/// The standard error of a plain mean over items, as lm-evaluation-harness reckons it; none for other formulas, and none
/// where items depend on each other.
fn standard_error(measurement: &Measurement, items: &[Item]) -> Option<f64> {
    let statistic = measurement.statistic.as_ref().filter(|statistic| statistic.across.is_none())?;
    let [score] = statistic.scores.as_slice() else { return None };
    if !matches!(statistic.formula.as_str(), "mean" | "share") || items.iter().any(|item| item.cluster.is_some()) {
        return None;
    }
    let values: Vec<f64> = items.iter().filter_map(|item| item.scores.get(score).copied()).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (count > 1.0).then(|| (squares / (count - 1.0) / count).sqrt())
}

/// One row an item.
fn rows(measured: &[&Measurement], items: &[Item]) -> Vec<Value> {
    let metrics: Vec<&str> = measured.iter().map(|m| m.metric.as_str()).collect();
    let row = |(index, item): (usize, &Item)| {
        let logps: Vec<Value> = (0..)
            .map_while(|choice| item.scores.get(&format!("logp_{choice}")))
            .map(|logp| json!([[logp.to_string(), ""]]))
            .collect();
        let said = item.output.clone().map_or(json!([]), |text| json!([[text]]));
        let responses = if logps.is_empty() { said } else { Value::Array(logps) };
        let mut row = json!({
            "doc_id": index, "doc": { "id": item.id, "cluster": item.cluster, "group": item.group, "error": item.error },
            "target": "", "arguments": {}, "resps": responses, "filtered_resps": [item.output], "filter": FILTER,
            "metrics": metrics, "doc_hash": item.digest, "prompt_hash": item.digest, "target_hash": "",
        });
        if let Value::Object(row) = &mut row {
            row.extend(item.scores.iter().map(|(name, value)| (name.clone(), json!(value))));
        }
        row
    };
    items.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_directories() {
        for (name, expected) in [("owner/name", "owner__name"), ("model", "model"), ("a:b//c", "a__b__c")] {
            assert_eq!(sanitized(name), expected);
        }
        assert!(!sanitized("../a model").contains(['/', ' ']));
    }

    #[test]
    fn errors_are_those_of_plain_means() {
        let item = |value: f64| Item { scores: [("acc".to_owned(), value)].into(), ..Item::default() };
        let items: Vec<Item> = [1.0, 0.0, 1.0, 1.0].map(item).to_vec();
        let mut measurement = Measurement::new("model", "task", "acc", 0.75, 4);
        assert_eq!(standard_error(&measurement, &items), None, "of an unknown formula there is none");
        let statistic =
            |formula: &str| groma_run::Statistic { formula: formula.into(), scores: vec!["acc".into()], across: None };
        measurement.statistic = Some(statistic("share"));
        // sqrt(p (1 - p) / (n - 1)) of p = 3/4, n = 4.
        assert!((standard_error(&measurement, &items).unwrap() - 0.25).abs() < 1e-12);
        let clustered = [Item { cluster: Some("c".into()), ..items[0].clone() }, items[1].clone()];
        assert_eq!(standard_error(&measurement, &clustered), None);
        measurement.statistic = Some(statistic("perplexity"));
        assert_eq!(standard_error(&measurement, &items), None);
    }
}

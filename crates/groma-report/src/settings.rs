//! In what the settings of runs differ.

use std::collections::{BTreeMap, BTreeSet};

use groma_run::RunRecords;
use serde::Serialize;
use serde_json::Value;

/// A setting that is not the same in all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferentSetting {
    /// Its place in the configuration, such as `stage.dpo.settings.beta`; or `groma`, `kernels`, an input's role and name.
    pub setting: String,
    /// Its value in each run; none where a run does not say it.
    pub values: Vec<Option<String>>,
}

/// Characters of a value that are shown.
const MOST_CHARS: usize = 200;
/// Between an input's role and its name, which is no path through the configuration.
const INPUT: &str = ": ";
/// What differs by itself.
const NO_SETTINGS: [&str; 2] = ["name", "description"];

/// The settings in which the runs differ, by place.
pub(crate) fn differences(runs: &[&RunRecords]) -> Vec<DifferentSetting> {
    let all: Vec<BTreeMap<String, String>> = runs.iter().map(|records| settings(records)).collect();
    let places: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let differing = |place: &&String| all.iter().any(|settings| settings.get(*place) != all[0].get(*place));
    let mut found: Vec<DifferentSetting> = Vec::new();
    for place in places.into_iter().filter(differing) {
        let different = match lacking(place, &all) {
            Some(part) => DifferentSetting {
                setting: part.to_owned(),
                values: all.iter().map(|settings| has(part, settings).then(|| THERE.to_owned())).collect(),
            },
            None => DifferentSetting {
                setting: place.clone(),
                values: all.iter().map(|settings| settings.get(place).cloned()).collect(),
            },
        };
        if !found.contains(&different) {
            found.push(different);
        }
    }
    found
}

/// What stands for a whole part of a configuration (a stage, a task) that another run lacks.
const THERE: &str = "there";

/// The largest part of a configuration that holds this place, and of which some run has nothing.
fn lacking<'a>(place: &'a str, all: &[BTreeMap<String, String>]) -> Option<&'a str> {
    let mut ends = place.match_indices('.').map(|(end, _)| &place[..end]).filter(|_| !place.contains(INPUT));
    ends.find(|part| all.iter().any(|settings| !has(part, settings)))
}

/// Whether a run says anything of a part.
fn has(part: &str, settings: &BTreeMap<String, String>) -> bool {
    settings.keys().any(|place| place.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn settings(records: &RunRecords) -> BTreeMap<String, String> {
    let manifest = &records.manifest;
    let mut found = BTreeMap::new();
    flatten("", &manifest.config, &mut found);
    NO_SETTINGS.iter().for_each(|name| drop(found.remove(*name)));
    found.insert("seed".into(), manifest.seed.to_string());
    found.insert("groma".into(), manifest.groma.clone());
    found.extend(manifest.kernels.iter().map(|kernels| ("kernels".to_owned(), kernels.clone())));
    for input in &manifest.inputs {
        let place = format!("{}{INPUT}{}", input.role, input.name);
        found.insert(place, input.digest.short());
    }
    found
}

/// Each value by its path; entries of a list by their own name, where they have one.
fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&below(name), value, found)),
        Value::Array(entries) if entries.iter().any(Value::is_object) => {
            for (number, entry) in entries.iter().enumerate() {
                let own = ["name", "task"].iter().find_map(|key| entry[*key].as_str());
                flatten(&below(own.unwrap_or(&number.to_string())), entry, found);
            }
        }
        Value::String(text) => drop(found.insert(path.to_owned(), clipped(text))),
        other => drop(found.insert(path.to_owned(), clipped(&other.to_string()))),
    }
}

fn clipped(text: &str) -> String {
    let (shown, more) = crate::text::clip(text, MOST_CHARS);
    if more { format!("{shown} …") } else { shown.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_run_lacks_as_a_whole_is_said_once() {
        let settings = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let all = [
            settings(&[("stage.a.x", "1"), ("stage.a.y", "2"), ("seed", "1")]),
            settings(&[("stage.b.x", "1"), ("seed", "2")]),
        ];
        assert_eq!(lacking("stage.a.x", &all), Some("stage.a"));
        assert_eq!(lacking("seed", &all), None);
    }

    #[test]
    fn entries_of_lists_go_by_their_names() {
        let mut found = BTreeMap::new();
        let config =
            json!({ "stage": [{ "name": "dpo", "settings": { "beta": 0.1, "loss": ["a", "b"] } }, { "x": null }] });
        flatten("", &config, &mut found);
        let expected = [
            ("stage.1.x", "null"),
            ("stage.dpo.name", "dpo"),
            ("stage.dpo.settings.beta", "0.1"),
            ("stage.dpo.settings.loss", "[\"a\",\"b\"]"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected);
    }
}

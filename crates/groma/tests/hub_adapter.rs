//! Adapters of models that are named by hub id: a run trains and measures one, and it opens from any directory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tiny::Workplace;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const SNAPSHOT: &str = "hub/hub/models--org--tiny/snapshots/0123456789abcdef0123456789abcdef01234567";

impl Workplace {
    /// Moves the model into the hub's cache, as `org/tiny`.
    fn cached(self) -> Workplace {
        self.write("hub/hub/models--org--tiny/refs/main", COMMIT);
        std::fs::create_dir_all(self.path(SNAPSHOT).parent().unwrap()).unwrap();
        std::fs::rename(self.path("model"), self.path(SNAPSHOT)).unwrap();
        std::fs::create_dir_all(self.path("elsewhere")).unwrap();
        self
    }

    /// The program's result from a directory below the workplace.
    fn output(&self, directory: &str, arguments: &[&str]) -> Output {
        self.groma(arguments).current_dir(self.path(directory)).output().unwrap()
    }

    fn done(&self, directory: &str, arguments: &[&str]) -> Value {
        let output = self.output(directory, &[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refused(&self, directory: &str, arguments: &[&str]) -> String {
        let output = self.output(directory, arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        message
    }

    fn change_adapter(&self, adapter: &str, change: impl Fn(&mut Value)) {
        let path = self.path(adapter).join("adapter_config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_run_trains_and_measures_an_adapter_of_a_model_on_the_hub() {
    let place = Workplace::new().cached();
    let settings = ["stage.dpo.settings.max_steps=4", "stage.dpo.settings.lora={ r = 4 }"];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let command = ["run", "--model", "org/tiny", "--preferences", "pairs.jsonl", "--name", "adapter"];
    let summary = place.done("", &[&command[..], &settings].concat());
    assert_eq!(summary["stages_done"], 5, "{summary}");
    let lines = std::fs::read_to_string(place.path("runs/adapter/measurements.jsonl")).unwrap();
    assert!(lines.contains("\"after\""), "the adapter was measured");
    let config = std::fs::read(place.path("runs/adapter/model/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["base_model_name_or_path"], &config["revision"]), (&json!("org/tiny"), &json!(COMMIT)));

    // From another directory, by a relative path; as a model of another run; and trained on.
    let loss =
        |directory, model| place.done(directory, &["score", "--model", model, "--text", "../text.txt"])["loss"].clone();
    let trained = loss("elsewhere", "../runs/adapter/model");
    assert_ne!(trained, loss("elsewhere", "org/tiny"), "the adapter takes part");
    let task = ["eval", "--model", "../runs/adapter/model", "--task", "preference=../pairs.jsonl", "--runs", "."];
    assert!(place.done("elsewhere", &task)[0]["measurements"][0]["value"].is_number());
    let more = ["train", "dpo", "--model", "../runs/adapter/model", "--data", "../pairs.jsonl", "--output", "more"];
    place.done("elsewhere", &[&more[..], &["--set", "max_steps=1", "--set", "lora.r=4"]].concat());
    assert!(loss("elsewhere", "more").is_number());

    // As PEFT leaves them: an id, with or without a commit, and no place. It is found in the cache.
    copy(&place.path("runs/adapter/model"), &place.path("plain"));
    for revision in [json!(COMMIT), Value::Null] {
        place.change_adapter("plain", |config| {
            config.as_object_mut().unwrap().remove("groma_base_directory");
            config["revision"] = revision.clone();
        });
        assert_eq!(loss("elsewhere", "../plain"), trained);
        place.done("elsewhere", &["check", "--data", "../pairs.jsonl", "--model", "../plain", "--rows", "1"]);
    }
}

#[test]
fn a_base_that_is_not_found_is_said_with_a_remedy_and_can_be_named() {
    let place = Workplace::new();
    let command = ["train", "sft", "--model", "model", "--data", "texts.jsonl", "--output", "adapter"];
    place.done(
        "",
        &[&command[..], &["--set", "max_steps=2", "--set", "lora.r=4", "--set", "learning_rate=1e-2"]].concat(),
    );
    std::fs::create_dir_all(place.path("elsewhere")).unwrap();
    let loss = |more: &[&str]| {
        let command = ["score", "--model", "../adapter", "--text", "../text.txt"];
        place.done("elsewhere", &[&command[..], more].concat())["loss"].clone()
    };
    let trained = loss(&[]);
    // The base has moved, or was on somebody else's disk, or on the hub.
    std::fs::rename(place.path("model"), place.path("moved")).unwrap();
    for base in ["/home/somebody/model", "org/unknown"] {
        place.change_adapter("adapter", |config| config["base_model_name_or_path"] = json!(base));
        let message = place.refused("elsewhere", &["score", "--model", "../adapter", "--text", "../text.txt"]);
        assert!(message.contains(base) && message.contains("--base"), "{message}");
        assert_eq!(loss(&["--base", "../moved"]), trained);
    }
    let measured = |base: &str| {
        let task = ["eval", "--model", "../adapter", "--base", base, "--task", "perplexity=../text.txt"];
        place.done("elsewhere", &task)[0]["measurements"][0]["value"].clone()
    };
    let before = measured("../moved");
    // Another base is another model: what was measured is not taken for its.
    copy(&place.path("moved"), &place.path("other"));
    let weights = place.path("other/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 0x40;
    std::fs::write(&weights, bytes).unwrap();
    assert_ne!(measured("../other"), before);
    let whole =
        place.refused("elsewhere", &["score", "--model", "../moved", "--base", "../other", "--text", "../text.txt"]);
    assert!(whole.contains("is no adapter"), "{whole}");
    let task = ["eval", "--model", "../moved", "--base", "../other", "--task", "perplexity=../text.txt"];
    assert!(place.refused("elsewhere", &task).contains("is no adapter"));
    let run = ["run", "--model", "../adapter", "--base", "../moved", "--preferences", "../pairs.jsonl"];
    let lora = ["--set", "stage.dpo.settings.max_steps=2", "--set", "stage.dpo.settings.lora={ r = 4 }"];
    place.done("elsewhere", &[&run[..], &lora].concat());
}

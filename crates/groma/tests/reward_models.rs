//! Reward models through every command: trained, trained on, scored, measured, compared, used as rewards; and refused where a
//! model must predict text, before anything is done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use std::process::Output;

use serde_json::Value;
use tiny::Workplace;

/// The options of short training that moves the head far from zero.
const FAST: [&str; 6] =
    ["--set", "max_steps=60", "--set", "learning_rate=1e-2", "--set", "per_device_train_batch_size=4"];

impl Workplace {
    fn done(&self, arguments: &[&str]) -> Output {
        let output = self.groma(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&self.done(&[arguments, &["--json"]].concat()).stdout).unwrap()
    }

    /// Trains a reward model from `model` into `output`.
    fn reward(&self, model: &str, output: &str, more: &[&str]) -> Value {
        let command = ["train", "reward", "--model", model, "--data", "pairs.jsonl", "--output", output];
        self.json(&[&command[..], &FAST, more].concat())
    }

    /// Held-out pairs put to a reward model, in a run of its name.
    fn measured(&self, model: &str) -> Value {
        let task = ["--task", "preference=pairs.jsonl", "--name", model, "--items"];
        self.json(&[&["eval", "--model", model][..], &task].concat())[0].clone()
    }

    /// A command that must fail as wrong usage, and say `words`; nothing may come of it.
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.groma(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        for word in words {
            assert!(message.contains(word), "{arguments:?} does not say `{word}`: {message}");
        }
        assert!(!self.path("none").exists(), "{arguments:?} leaves a model");
    }
}

fn metric(measured: &Value, name: &str) -> f64 {
    let of_name = |measurement: &&Value| measurement["metric"] == name;
    measured["measurements"].as_array().unwrap().iter().find(of_name).unwrap()["value"].as_f64().unwrap()
}

/// The means over items say what the metrics say, by the formulas of Bradley and Terry.
fn check_metrics(measured: &Value) {
    let items = measured["items"].as_array().unwrap();
    let margins: Vec<f64> = items
        .iter()
        .map(|item| {
            let of = |name: &str| item["scores"][name].as_f64().unwrap();
            of("reward_chosen") - of("reward_rejected")
        })
        .collect();
    let n = margins.len() as f64;
    let mean = |of: &dyn Fn(f64) -> f64| margins.iter().map(|&margin| of(margin)).sum::<f64>() / n;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let accuracy = mean(&|m| f64::from(u8::from(m > 0.0)));
    for (name, expected) in [
        ("accuracy", accuracy),
        ("margin", mean(&|m| m)),
        ("log_loss", mean(&|m| -sigmoid(m).ln())),
        ("brier", mean(&|m| (1.0 - sigmoid(m)).powi(2))),
        ("overconfidence", mean(&|m| sigmoid(m.abs())) - accuracy),
    ] {
        assert!((metric(measured, name) - expected).abs() < 1e-9, "{name}: {expected}");
    }
    assert!((0.0..=1.0).contains(&metric(measured, "calibration_error")));
    assert!(measured["mode"].as_str().unwrap().starts_with("reward of the answer; template"), "{measured}");
    let said: Vec<&str> =
        measured["measurements"].as_array().unwrap().iter().filter_map(|m| m["metric"].as_str()).collect();
    assert!(!said.contains(&"accuracy_per_token"), "{said:?}");
}

#[test]
fn a_reward_model_is_measured_scored_compared_and_trained_on() {
    let place = Workplace::new();
    for (name, lora) in [("full", &[][..]), ("adapter", &["--set", "lora.r=4"])] {
        place.reward("model", name, lora);
        let before = place.measured(name);
        check_metrics(&before);
        let accuracy = metric(&before, "accuracy");
        assert!(accuracy > 0.6, "{name} has learned: {accuracy}");
        // What `score` says of a text is what `eval` says of the same text as a pair's side.
        let item = &before["items"][0]["scores"];
        let shown = place.json(&["check", "--data", "pairs.jsonl", "--model", name, "--rows", "1"]);
        assert_eq!((&shown["method"], &shown["chat_template"]["guessed"]), (&"reward".into(), &false.into()));
        for (side, score) in ["reward_chosen", "reward_rejected"].into_iter().enumerate() {
            let pieces = shown["rows"][0]["sequences"][side].as_array().unwrap();
            let ids: Vec<String> = pieces.iter().map(|piece| piece["id"].to_string()).collect();
            place.write("ids.txt", ids.join(" "));
            let scored = place.json(&["score", "--model", name, "--text", "ids.txt", "--ids"]);
            let (found, expected) = (scored["reward"].as_f64().unwrap(), item[score].as_f64().unwrap());
            assert!((found - expected).abs() < 1e-6, "{name} {score}: {found} for {expected}");
            assert_eq!(scored["values"], Value::from(vec![found]));
        }
        // Training goes on from the head as it is: the mean loss is far below that of a new one.
        let more = format!("{name}-more");
        let trained = place.reward(name, &more, lora);
        assert!(trained["train_loss"].as_f64().unwrap() < 0.5 * std::f64::consts::LN_2, "{name}: {trained}");
        assert!(metric(&place.measured(&more), "log_loss") < 0.5 * std::f64::consts::LN_2, "{name}");
        let compared = place.json(&["compare", &format!("runs/{name}"), &format!("runs/{more}")]);
        assert!(compared.to_string().contains("accuracy"), "{compared}");
    }
    // An adapter of a reward model, whose base is one.
    place.reward("full", "of-full", &["--set", "lora.r=2"]);
    check_metrics(&place.measured("of-full"));
    let text = String::from_utf8(place.done(&["score", "--model", "of-full", "--text", "text.txt"]).stdout).unwrap();
    assert!(text.starts_with("reward\t") && text.trim_end().ends_with("tokens"), "{text}");
}

#[test]
fn a_reward_model_rewards_another() {
    let place = Workplace::new();
    place.reward("model", "judge", &["--set", "lora.r=4"]);
    let sampled = ["--set", "reward_model=judge", "--set", "max_completion_length=8", "--set", "max_steps=1"];
    let command = ["train", "rloo", "--model", "model", "--data", "pairs.jsonl", "--output", "out"];
    let more = ["--set", "per_device_train_batch_size=4", "--set", "num_generations=2"];
    let trained = place.json(&[&command[..], &sampled, &more].concat());
    assert!(trained["metrics"]["reward"].is_number(), "{trained}");
}

#[test]
fn where_text_must_be_predicted_a_reward_model_is_refused() {
    let place = Workplace::new();
    place.reward("model", "full", &[]);
    place.reward("model", "adapter", &["--set", "lora.r=4"]);
    let rewards = "a score of whole texts (it is a reward model)";
    for name in ["full", "adapter"] {
        for method in ["sft", "dpo", "kto", "rloo", "orpo"] {
            let data = if method == "sft" { "texts.jsonl" } else { "pairs.jsonl" };
            let command = ["train", method, "--model", name, "--data", data, "--output", "none"];
            let rewarded = ["--set", "reward_funcs=[\"length\"]"];
            let more = if method == "rloo" { &rewarded[..] } else { &[] };
            place.refused(&[&command[..], more].concat(), &[&format!("the method `{method}`"), rewards]);
        }
        for (role, method) in [("ref_model", "dpo"), ("teacher_model", "distillation")] {
            let command = ["train", method, "--model", "model", "--data", "pairs.jsonl", "--output", "none"];
            let setting = format!("{role}={name}");
            place.refused(&[&command[..], &["--set", &setting]].concat(), &[role, rewards]);
        }
        for task in ["perplexity=texts.jsonl", "refusal=pairs.jsonl"] {
            let (task_name, _) = task.split_once('=').unwrap();
            place.refused(&["eval", "--model", name, "--task", task], &[&format!("the task `{task_name}`"), rewards]);
        }
        place.refused(&["chat", "--model", name], &["an answer", rewards, "groma score"]);
        place.refused(&["run", "--model", name, "--preferences", "pairs.jsonl"], &["stage `before`", rewards]);
        place.refused(&["check", "--data", "pairs.jsonl", "--model", name, "--method", "dpo"], &[rewards]);
        place.refused(&["check", "--data", "texts.jsonl", "--model", name], &["no method that trains a reward model"]);
    }
    // And the other way round.
    let command = ["train", "rloo", "--model", "model", "--data", "pairs.jsonl", "--output", "none"];
    place.refused(&[&command[..], &["--set", "reward_model=model"]].concat(), &["needs a reward model", "unembedding"]);
}

/// A reward model that is trained and measured in a recipe; `{}` is one more stage.
const RECIPE: &str = r#"
name = "rewarded"
model = "model"
preferences = "pairs.jsonl"
held_out = 0.25

[[stage]]
kind = "measure"
name = "before"
tasks = [{ task = "preference", data = "preferences:held_out" }]

[[stage]]
kind = "train"
name = "judge"
method = "reward"
data = "preferences:train"
settings = { max_steps = 8, learning_rate = 2e-2, per_device_train_batch_size = 4, lora = { r = 4 } }

[[stage]]
kind = "train"
name = "more"
method = "reward"
data = "preferences:train"
settings = { max_steps = 4, learning_rate = 2e-2, per_device_train_batch_size = 4, lora = { r = 4 } }

[[stage]]
kind = "measure"
name = "after"

[[stage]]
kind = "compare"
name = "compare"
before = "before"
after = "after"
"#;

#[test]
fn recipes_train_measure_and_compare_reward_models() {
    let place = Workplace::new();
    place.write("recipe.toml", RECIPE);
    place.done(&["check", "recipe.toml"]);
    let summary = place.json(&["run", "recipe.toml"]);
    assert_eq!(summary["stages_done"], 6, "{summary}");
    let lines = std::fs::read_to_string(place.path("runs/rewarded/comparisons.jsonl")).unwrap();
    assert!(lines.contains("\"accuracy\"") && !lines.contains("accuracy_per_token"), "{lines}");

    let last = "\n[[stage]]\nkind = \"KIND\"\nname = \"last\"\n";
    let cases = [
        ("measure", "tasks = [{ task = \"perplexity\", data = \"texts.jsonl\" }]", "the task `perplexity`"),
        (
            "measure",
            "tasks = [{ task = \"judged-rating\", data = \"pairs.jsonl\" }]\nmodel = \"base\"\njudge = \"more\"",
            "the judge `more`",
        ),
        ("generate", "data = \"preferences:held_out\"", "an answer"),
        ("train", "method = \"dpo\"\ndata = \"preferences:train\"", "the method `dpo`"),
        (
            "train",
            "model = \"base\"\nmethod = \"dpo\"\ndata = \"preferences:train\"\nsettings = { ref_model = \"judge\" }",
            "the setting `ref_model`",
        ),
        (
            "train",
            "model = \"base\"\nmethod = \"rloo\"\ndata = \"preferences:train\"\nsettings = { reward_model = \"base\" }",
            "needs a reward model",
        ),
    ];
    for (kind, body, words) in cases {
        let name = format!("name = \"{kind}\"");
        let recipe = RECIPE.replace("name = \"rewarded\"", &name) + &last.replace("KIND", kind) + body;
        place.write("wrong.toml", &recipe);
        place.refused(&["check", "wrong.toml"], &["stage `last`", words]);
        place.refused(&["run", "wrong.toml"], &["stage `last`", words]);
        assert!(!place.path(&format!("runs/{kind}/models")).exists(), "{kind}: nothing is done");
    }
    // With the model named that can, it is a recipe.
    let right = RECIPE.to_owned()
        + &last.replace("KIND", "train")
        + "model = \"base\"\nmethod = \"rloo\"\ndata = \"preferences:train\"\nsettings = { reward_model = \"judge\" }";
    place.write("right.toml", right);
    place.done(&["check", "right.toml"]);
}

/// A model of attributes keeps their names, whole or beside its base, and says each.
#[test]
fn attributes_are_trained_written_and_read_by_name() {
    let place = Workplace::new();
    let row = |index: usize| {
        let (said, quality, words) = [("the mill is old", 1.0, 4.0), ("no", -1.0, 1.0)][index % 2];
        serde_json::json!({"prompt": "what is it?", "completion": said, "quality": quality, "words": words}).to_string()
    };
    place.write("rated.jsonl", (0..16).map(row).collect::<Vec<_>>().join("\n"));
    for (name, lora) in [("whole", &[][..]), ("beside", &["--set", "lora.r=4"])] {
        let train = ["train", "attribute_reward", "--model", "model", "--data", "rated.jsonl", "--output", name];
        let attributes = ["--set", r#"attributes=["quality", "words"]"#, "--set", "boundary=separate"];
        place.json(&[&train[..], &attributes, &FAST, lora].concat());
        place.write("text.txt", "what is it?the mill is old");
        let scored = place.json(&["score", "--model", name, "--text", "text.txt"]);
        let of = |attribute: &str| scored["attributes"][attribute].as_f64().unwrap();
        assert!((scored["reward"].as_f64().unwrap() - (of("quality") + of("words")) / 2.0).abs() < 1e-5, "{scored}");
        // A weight of the unknown is refused; the known ones are a reward.
        let policy = [
            "train",
            "rloo",
            "--model",
            "model",
            "--data",
            "rated.jsonl",
            "--output",
            "policy",
            "--overwrite",
            "--set",
            "max_steps=1",
        ];
        let under = [
            "--set",
            "max_completion_length=4",
            "--set",
            "per_device_train_batch_size=4",
            "--set",
            "num_generations=2",
        ];
        let weighed = |weight: &str| {
            let reward = [format!("reward_model={name}"), format!("attribute_weights=[\"{weight}\"]")];
            let more = ["--set", &reward[0], "--set", &reward[1]].map(str::to_owned);
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            place.groma(&[&policy[..], &under, &more].concat()).output().unwrap()
        };
        let done = weighed("words=-0.5");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let refused = weighed("length=1");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("only quality, words"), "{said}");
    }
}

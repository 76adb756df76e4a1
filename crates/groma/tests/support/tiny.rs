//! A tiny random model with the village's tokenizer, rows to train it on, and the program under test, all in one
//! temporary directory that commands run in.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use groma_organism::{Config, Recipe, Shape, Village};
use tempfile::TempDir;

/// Rows in each file.
const ROWS: usize = 24;

/// A recipe over the files of a [`Workplace`]: measure, fine-tune, align, measure, compare.
pub(crate) const RECIPE: &str = r#"
name = "tiny"
model = "model"
preferences = "pairs.jsonl"
held_out = 0.25

[[stage]]
kind = "measure"
name = "before"

[[stage.tasks]]
task = "perplexity"
data = "texts.jsonl"

[[stage]]
kind = "train"
name = "sft"
method = "sft"
data = "texts.jsonl"

[stage.settings]
max_steps = 30
per_device_train_batch_size = 4
learning_rate = 1e-3
save_steps = 2

[[stage]]
kind = "train"
name = "dpo"
method = "dpo"
data = "preferences:train"

[stage.settings]
max_steps = 30
per_device_train_batch_size = 4
learning_rate = 1e-3
save_steps = 2
sample_steps = 3
sample_prompts = 2
sample_max_new_tokens = 8

[[stage]]
kind = "measure"
name = "after"

[[stage]]
kind = "compare"
name = "compare"
before = "before"
after = "after"
"#;

/// The village that names, words and rows come from.
pub(crate) fn village() -> &'static Village {
    static VILLAGE: OnceLock<Village> = OnceLock::new();
    VILLAGE.get_or_init(|| Village::build(&Config::default()).unwrap())
}

/// The sizes of the tiny model.
pub(crate) fn shape() -> Shape {
    let small =
        Shape { hidden_size: 16, layers: 2, heads: 2, kv_heads: 1, intermediate_size: 32, ..Recipe::default().shape };
    Shape { max_positions: 128, ..small }
}

/// A directory with `model`, `texts.jsonl`, `pairs.jsonl`, `text.txt` and `recipe.toml`.
pub(crate) struct Workplace(TempDir);

impl Workplace {
    pub(crate) fn new() -> Workplace {
        let place = Workplace(tempfile::tempdir().unwrap());
        let village = village();
        for (name, bytes) in village.model_files(&shape()).unwrap() {
            place.write(&format!("model/{name}"), bytes);
        }
        let texts: Vec<_> = village.train.texts[..ROWS].iter().map(serde_json::to_string).map(Result::unwrap).collect();
        let pairs: Vec<_> =
            village.train.preferences[..ROWS].iter().map(serde_json::to_string).map(Result::unwrap).collect();
        place.write("texts.jsonl", texts.join("\n"));
        place.write("pairs.jsonl", pairs.join("\n"));
        place.write("text.txt", &village.held_out.texts[0].text);
        place.write("recipe.toml", RECIPE);
        place
    }

    /// A path below the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, with the directories that lead to it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        path.parent().map(std::fs::create_dir_all).transpose().unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// The program, to be started in the directory; it finds no hub.
    pub(crate) fn groma(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groma"));
        command.args(arguments).current_dir(self.0.path());
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.path("hub")).env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null());
        command
    }
}

//! Killed at twenty random moments and started again each time, a run leaves the bits of one that nothing disturbed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use groma_run::Seed;
use tiny::{RECIPE, Workplace};

const KILLS: u64 = 20;
/// After a checkpoint appeared, the longest time until the kill.
const AFTER_CHECKPOINT_MILLISECONDS: f64 = 40.0;
const SIGKILL: i32 = 9;

/// A stage that samples, and learns from its samples in several steps and passes.
const SAMPLING: &str = r#"
[[stage]]
kind = "train"
name = "grpo"
method = "grpo"
data = "preferences:train"

[stage.settings]
reward_funcs = ["length"]
length_target = 4
max_completion_length = 12
num_generations = 4
per_device_train_batch_size = 4
steps_per_generation = 2
num_iterations = 2
beta = 0.05
max_steps = 18
learning_rate = 1e-3
save_steps = 1
"#;

/// The recipe with that stage before the last measurement.
fn recipe() -> String {
    let (before, after) = RECIPE.split_at(RECIPE.rfind("[[stage]]\nkind = \"measure\"").unwrap());
    format!("{before}{SAMPLING}\n{after}")
}

fn start(place: &Workplace, run: &str) -> Child {
    // Each in a directory of its own, as runs beside each other take over what one of them has done.
    let mut command = place.groma(&["run", "recipe.toml", "--name", run, "--runs", run, "--threads", "2"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The checkpoints of a run that are whole.
fn checkpoints(place: &Workplace, run: &str) -> BTreeSet<PathBuf> {
    let directory = place.path(&format!("{run}/{run}/checkpoints"));
    let below = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    below(directory).flat_map(below).filter(|path| path.file_name().is_some_and(is_checkpoint)).collect()
}

fn is_checkpoint(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("step-")
}

/// Waits until `run` has a checkpoint that is not in `seen`, or has ended.
fn wait_for_checkpoint(place: &Workplace, run: &str, child: &mut Child, seen: &BTreeSet<PathBuf>) {
    while child.try_wait().unwrap().is_none() && checkpoints(place, run).is_subset(seen) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill(mut child: Child) -> ExitStatus {
    // It may have ended by itself just now; its status tells.
    let _ = child.kill();
    child.wait().unwrap()
}

/// The models that a run has made, what the second answered on the way, and the run's numbers.
fn results(place: &Workplace, run: &str) -> ([Vec<u8>; 4], Vec<(String, f64)>) {
    let read = |name: &str| std::fs::read(place.path(&format!("{run}/{run}/{name}"))).unwrap();
    let records = groma_run::RunRecords::read(&place.path(&format!("{run}/{run}"))).unwrap();
    let numbers = records.measurements.iter().map(|m| (format!("{} {}", m.stage, m.metric), m.value)).collect();
    let models = ["models/sft", "models/dpo", "model"].map(|model| read(&format!("{model}/model.safetensors")));
    let [sft, dpo, grpo] = models;
    ([sft, dpo, grpo, read("samples/training.dpo.jsonl.zst")], numbers)
}

#[test]
fn a_run_killed_twenty_times_ends_with_the_same_bits() {
    let place = Workplace::new();
    place.write("recipe.toml", recipe());
    let started = Instant::now();
    assert!(start(&place, "whole").wait().unwrap().success());
    let duration = started.elapsed();
    let expected = results(&place, "whole");

    let (mut kills, mut runs, mut seen) = (0, 0, BTreeSet::new());
    for attempt in 0_u64.. {
        assert!(attempt < 20 * KILLS, "the run ends before it can be killed");
        let run = format!("killed-{runs}");
        let share = Seed::new(9).index(attempt).bits() as f64 / u64::MAX as f64;
        let mut child = start(&place, &run);
        // Half of the kills come at any moment, half soon after a new checkpoint, so that there is progress to lose.
        if attempt % 2 == 0 {
            std::thread::sleep(duration.mul_f64(share / 2.0));
        } else {
            wait_for_checkpoint(&place, &run, &mut child, &seen);
            std::thread::sleep(Duration::from_secs_f64(share * AFTER_CHECKPOINT_MILLISECONDS / 1000.0));
        }
        let status = kill(child);
        seen.extend(checkpoints(&place, &run));
        if status.signal() == Some(SIGKILL) {
            kills += 1;
        } else {
            assert!(status.success(), "attempt {attempt} failed by itself: {status}");
            assert!(results(&place, &run) == expected, "attempt {attempt}: the run gives other bits");
            runs += 1;
        }
        if kills == KILLS {
            assert!(start(&place, &run).wait().unwrap().success());
            assert!(results(&place, &run) == expected, "the run gives other bits");
            break;
        }
    }
    assert!(seen.len() as u64 >= KILLS / 4, "kills came in the midst of training: {} checkpoints seen", seen.len());
}

//! The log of what succeeded, in which texts are mostly not shown.

use groma_attack::{Attempt, Try, Verdict};
use groma_run::Digest;
use serde_json::json;

use super::done::Done;

/// A line for each try that succeeded. Where texts are not `shown`, their lengths and digests stand in their place.
pub(super) fn log(done: &[Done], shown: bool) -> String {
    let text = |text: &str| match shown {
        true => text.to_owned(),
        false => {
            let digest = Digest::of_bytes(text.as_bytes()).short();
            format!("[{} characters, {digest}; shown with show_hits]", text.chars().count())
        }
    };
    let line = |done: &Done, attempt: &Attempt, hit: &Try| {
        let (prompt, reply) = (text(&hit.input.prompt.shown()), text(&hit.reply));
        let row = json!({
            "attack": done.record.id, "goal": attempt.goal, "label": hit.input.label, "prompt": prompt,
            "prefix": text(&hit.input.prefix), "reply": reply, "queries": attempt.queries_to_success(),
        });
        format!("{row}\n")
    };
    let hits = |attempt: &Attempt| {
        attempt
            .tries
            .iter()
            .filter(|hit| hit.input.counts && hit.verdict == Verdict::Success)
            .cloned()
            .collect::<Vec<_>>()
    };
    let lines = done.iter().flat_map(|done| {
        done.attempts.iter().flat_map(move |attempt| hits(attempt).into_iter().map(move |hit| (done, attempt, hit)))
    });
    lines.map(|(done, attempt, hit)| line(done, attempt, &hit)).collect()
}

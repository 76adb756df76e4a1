//! A budget of steps and of time for the expressions of a tokenizer, which may backtrack without end and come from anybody.
//!
//! The tokenizer crate runs them without a budget for a text, and where one of its own is spent it stops in silence, with other
//! tokens. So an expression that is not known to be harmless is run over the text first, on a budget that grows with the text.
//! Steps count backtracking alone: an expression without it, such as `a*b|.`, may look through the rest of the text at every
//! match. No step tells of that, so there is a deadline too, a hundred times what a usual expression takes.

use fancy_regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Expressions of GPT-2, Qwen 2 and Llama 3, which go over a text without backtracking by more than a character.
const HARMLESS: [&str; 3] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
/// Steps of one match that are not counted; those of the tries with which longer ones are found; and the tokenizer crate's own.
const LIMITS: [usize; 3] = [256, 16 << 10, 1_000_000];
/// Steps for a text, and for each byte of it.
const BASE_BUDGET: usize = 4_000_000;
const BUDGET_A_BYTE: usize = 64;
/// Time for a text, and for each byte of it.
const BASE_TIME: Duration = Duration::from_secs(2);
const TIME_A_BYTE: Duration = Duration::from_micros(2);

/// The expressions of a `tokenizer.json` that need a budget.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<[Regex; LIMITS.len()]>);

impl Patterns {
    /// Of the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// The expression that cannot be read.
    pub(super) fn of(json: &[u8]) -> Result<Self, String> {
        let file: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut texts = Vec::new();
        for part in ["normalizer", "pre_tokenizer"] {
            collect(file.get(part).unwrap_or(&Value::Null), &mut texts);
        }
        let limited = |text: &str, steps| {
            let built = RegexBuilder::new(text).backtrack_limit(steps).build();
            built.map_err(|error| format!("the expression {text:?} cannot be read: {error}"))
        };
        let all = |text: &str| -> Result<[Regex; LIMITS.len()], String> {
            let [first, second, third] = LIMITS.map(|steps| limited(text, steps));
            Ok([first?, second?, third?])
        };
        texts
            .iter()
            .filter(|text| !HARMLESS.contains(text))
            .map(|text| all(text))
            .collect::<Result<_, _>>()
            .map(Patterns)
    }

    /// Whether the expressions can go over a text in a number of steps, and in a time, that grow with its length.
    ///
    /// # Errors
    /// What happened otherwise, in words.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let mut budget = Budget {
            steps: BASE_BUDGET.saturating_add(text.len().saturating_mul(BUDGET_A_BYTE)),
            deadline: Instant::now() + BASE_TIME + TIME_A_BYTE * bytes,
        };
        self.0.iter().try_for_each(|tries| go_over(tries, text, &mut budget))
    }
}

fn collect<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("Regex").and_then(Value::as_str));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// What is left for a text.
struct Budget {
    steps: usize,
    deadline: Instant,
}

fn go_over(tries: &[Regex], text: &str, budget: &mut Budget) -> Result<(), String> {
    let mut from = 0;
    while from <= text.len() {
        if Instant::now() > budget.deadline {
            let (shown, of) = (shown(tries), text.len());
            return Err(format!("its expression {shown:?} looks too far ahead on it: stopped at byte {from} of {of}"));
        }
        let Some((start, end)) = next_match(tries, text, from, budget)? else { return Ok(()) };
        // An empty match: on by a character, as the crate goes.
        from = if end > start { end } else { end + text[end..].chars().next().map_or(1, char::len_utf8) };
    }
    Ok(())
}

/// The next match, with no more steps than it needs by a constant factor.
fn next_match(tries: &[Regex], text: &str, from: usize, budget: &mut Budget) -> Result<Option<(usize, usize)>, String> {
    for (regex, limit) in tries.iter().zip(LIMITS) {
        match regex.find_from_pos(text, from) {
            Ok(found) => return Ok(found.map(|found| (found.start(), found.end()))),
            Err(_) => match budget.steps.checked_sub(limit) {
                Some(left) => budget.steps = left,
                None => break,
            },
        }
    }
    Err(format!("its expression {:?} backtracks too often on it, from byte {from} on", shown(tries)))
}

fn shown(tries: &[Regex]) -> String {
    tries.first().map(|regex| regex.as_str().chars().take(60).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str) -> Patterns {
        let step = serde_json::json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false});
        let file = serde_json::json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [step]}});
        Patterns::of(file.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn expressions_that_backtrack_are_stopped_and_others_are_not() {
        let (run, words) = ("a".repeat(20_000), "the quick brown fox, 12 times! ".repeat(2000));
        for hostile in [r"(a+)+(?!a)b", r"(?:a|aa)+(?=c)", r"(a*)*\1b", r"(?=(a+)+$)x|(a|a)*(?!a)c"] {
            assert!(of(hostile).check(&run).is_err(), "{hostile}");
        }
        for harmless in [r"\s+(?!\S)|\S+", r" ?\p{L}+|[^\p{L}]", r"\d{1,3}(?=(?:\d{3})*\b)|.", r""] {
            assert_eq!(of(harmless).check(&words), Ok(()), "{harmless}");
            assert_eq!(of(harmless).check("é\u{1f600}é"), Ok(()), "{harmless}");
        }
        assert!(HARMLESS.iter().all(|text| of(text).0.is_empty()));
    }

    #[test]
    fn expressions_that_look_through_the_text_at_every_match_are_stopped() {
        let error = of("a*b|.").check(&"a".repeat(400_000)).unwrap_err();
        assert!(error.contains("looks too far ahead") && error.contains("of 400000"), "{error}");
    }

    #[test]
    fn those_taken_for_harmless_are_within_the_budget() {
        let texts = [" ".repeat(20_000) + "x", "\n ".repeat(10_000), "'S".repeat(10_000), "a1!".repeat(7000)];
        for expression in HARMLESS {
            let tries = LIMITS.map(|steps| RegexBuilder::new(expression).backtrack_limit(steps).build().unwrap());
            for text in &texts {
                let steps = BASE_BUDGET + BUDGET_A_BYTE * text.len();
                let mut budget = Budget { steps, deadline: Instant::now() + Duration::from_secs(600) };
                assert_eq!(go_over(&tries, text, &mut budget), Ok(()), "{expression}");
            }
        }
    }
}

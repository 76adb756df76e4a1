//! What may be said about a difference, and about all of them.

use crate::headline::{Change, HeadlineRow, Reading};
use groma_run::Group;

/// Below so many items nothing is said about a difference.
const FEWEST_ITEMS: u64 = 10;

/// What may be said about one difference.
pub(crate) fn read(change: Option<&Change>, n: u64, higher_is_better: Option<bool>) -> Reading {
    let Some(change) = change else { return Reading::Unknown };
    if n.min(change.n) < FEWEST_ITEMS {
        return Reading::TooFew;
    }
    let Some(interval) = change.interval.as_ref().filter(|i| i.low.is_finite() && i.high.is_finite()) else {
        return Reading::Unknown;
    };
    let rose = match (interval.low > 0.0, interval.high < 0.0) {
        (true, _) => true,
        (_, true) => false,
        _ => return Reading::NoClearChange,
    };
    match higher_is_better {
        None if rose => Reading::Higher,
        None => Reading::Lower,
        Some(good) if good == rose => Reading::Better,
        Some(_) => Reading::Worse,
    }
}

impl Reading {
    /// A mark, so that colour is never alone.
    pub fn mark(self) -> &'static str {
        match self {
            Reading::Better => "▲",
            Reading::Worse => "▼",
            Reading::Higher => "↑",
            Reading::Lower => "↓",
            Reading::NoClearChange => "≈",
            Reading::TooFew | Reading::Unknown => "?",
        }
    }

    /// In a word or two, for narrow tables.
    pub fn short(self) -> &'static str {
        match self {
            Reading::NoClearChange => "unclear",
            Reading::TooFew => "few items",
            other => other.words(),
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Reading::Better => "better",
            Reading::Worse => "worse",
            Reading::Higher => "higher",
            Reading::Lower => "lower",
            Reading::NoClearChange => "no clear change",
            Reading::TooFew => "too few items",
            Reading::Unknown => "unknown",
        }
    }
}

/// What all of it says, in a sentence for each group.
pub(crate) fn verdict(rows: &[HeadlineRow], left: &str, right: &str) -> String {
    let compared = rows.iter().any(|row| row.before.is_some() && row.after.is_some());
    if rows.is_empty() {
        return "Nothing was measured.".into();
    }
    if !compared {
        let side = if rows.iter().any(|row| row.after.is_some()) { right } else { left };
        return format!("Only \u{201c}{side}\u{201d} was measured, so there is nothing to compare with.");
    }
    let groups = [(Group::Alignment, "Alignment"), (Group::Capability, "Capability")];
    let mut sentences: Vec<String> = groups
        .into_iter()
        .filter_map(|(group, name)| sentence(name, &rows.iter().filter(|row| row.group == group).collect::<Vec<_>>()))
        .collect();
    if sentences.is_empty() {
        sentences.extend(sentence("Overall", &rows.iter().collect::<Vec<_>>()));
    }
    sentences.join(" ")
}

fn sentence(name: &str, rows: &[&HeadlineRow]) -> Option<String> {
    let total = rows.len();
    let groups = [
        (vec![Reading::Better], "clearly better"),
        (vec![Reading::Worse], "clearly worse"),
        (vec![Reading::Higher], "clearly higher"),
        (vec![Reading::Lower], "clearly lower"),
        (vec![Reading::NoClearChange], "no clear change"),
        (vec![Reading::TooFew, Reading::Unknown], "too little to tell"),
    ];
    let said: Vec<(&str, Vec<&HeadlineRow>)> = groups
        .into_iter()
        .map(|(readings, words)| (words, rows.iter().copied().filter(|row| readings.contains(&row.reading)).collect()))
        .filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty())
        .collect();
    match said.as_slice() {
        [] => None,
        [(words, _)] if total > MOST_NAMES => Some(format!("{name}: {words} on all {total} measures.")),
        _ => {
            let parts: Vec<_> = said.iter().map(|(words, rows)| format!("{words} on {}", names(rows))).collect();
            Some(format!("{name}: {}.", parts.join("; ")))
        }
    }
}

/// More measures than this are counted, not named.
const MOST_NAMES: usize = 3;

fn names(rows: &[&HeadlineRow]) -> String {
    let mut names: Vec<String> = rows.iter().map(|row| row.name()).collect();
    match names.pop() {
        Some(last) if names.is_empty() => last,
        Some(last) if names.len() < MOST_NAMES => format!("{} and {last}", names.join(", ")),
        _ => format!("{} measures", rows.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Interval;

    fn change(low: f64, high: f64, n: u64) -> Change {
        let interval = Interval { low, high, level: 0.95, method: String::new() };
        Change {
            difference: (low + high) / 2.0,
            interval: Some(interval),
            p_value: None,
            n,
            method: String::new(),
            paired: true,
            detectable: None,
        }
    }

    #[test]
    fn readings() {
        let read = |low, high, n, good| read(Some(&change(low, high, n)), n, good);
        assert_eq!(read(0.1, 0.2, 50, Some(true)), Reading::Better);
        assert_eq!(read(0.1, 0.2, 50, Some(false)), Reading::Worse);
        assert_eq!(read(-0.2, -0.1, 50, Some(false)), Reading::Better);
        assert_eq!(read(-0.2, -0.1, 50, None), Reading::Lower);
        assert_eq!(read(-0.1, 0.1, 50, Some(true)), Reading::NoClearChange);
        assert_eq!(read(0.0, 0.1, 50, Some(true)), Reading::NoClearChange);
        assert_eq!(read(0.1, 0.2, 9, Some(true)), Reading::TooFew);
        assert_eq!(read(f64::NEG_INFINITY, f64::INFINITY, 50, Some(true)), Reading::Unknown);
        assert_eq!(super::read(None, 50, Some(true)), Reading::Unknown);
    }
}

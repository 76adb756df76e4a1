//! What may be said about a difference, and about all of them.

use crate::effect::Size;
use crate::headline::{Change, HeadlineRow, Reading};
use groma_run::Group;

/// Below so many items nothing is said about a difference.
pub(crate) const FEWEST_ITEMS: u64 = 10;

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

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides<'a> {
    /// Name of the left side.
    pub(crate) left: &'a str,
    /// Name of the right side.
    pub(crate) right: &'a str,
    /// Whether they are runs, neither of which comes before the other.
    pub(crate) are_runs: bool,
}

/// What all of it says, in a sentence for each group.
pub(crate) fn verdict(rows: &[HeadlineRow], sides: Sides<'_>) -> String {
    let compared = rows.iter().any(|row| row.before.is_some() && row.after.is_some());
    if rows.is_empty() {
        return "Nothing was measured.".into();
    }
    if !compared {
        let side = if rows.iter().any(|row| row.after.is_some()) { sides.right } else { sides.left };
        return format!("Only \u{201c}{side}\u{201d} was measured, so there is nothing to compare with.");
    }
    let of = |group: Group| -> Vec<&HeadlineRow> { rows.iter().filter(|row| row.group == group).collect() };
    let groups = [(Group::Alignment, "Alignment"), (Group::Capability, "Capability")];
    let mut sentences: Vec<String> =
        groups.into_iter().filter_map(|(group, name)| sentence(name, &of(group), sides)).collect();
    if sentences.is_empty() {
        sentences.extend(sentence("Overall", &rows.iter().collect::<Vec<_>>(), sides));
    } else {
        if of(Group::Capability).is_empty() {
            sentences.push("No capability was measured, so what it cost is not known.".into());
        }
        let moved: Vec<&HeadlineRow> = of(Group::Other).into_iter().filter(|row| row.reading.is_clear()).collect();
        sentences.extend(sentence("Beside these", &moved, sides));
    }
    sentences.extend(moved_controls(&of(Group::Control)));
    sentences.join(" ")
}

/// A control is where there is nothing to find; if it moved, the instrument did.
fn moved_controls(rows: &[&HeadlineRow]) -> Option<String> {
    let moved: Vec<&HeadlineRow> = rows.iter().copied().filter(|row| row.reading.is_clear()).collect();
    let (which, verb) = if moved.len() == 1 { ("A control", "was") } else { ("Controls", "were") };
    (!moved.is_empty()).then(|| {
        let names = names(&moved);
        format!("{which} moved clearly, where nothing was to be found ({names} {verb} to stay): distrust the rest.")
    })
}

/// The order in which they are told: what is clear and large first.
fn rank(row: &HeadlineRow) -> (u8, std::cmp::Reverse<Option<Size>>) {
    let of_reading = match row.reading {
        Reading::Better => 0,
        Reading::Worse => 1,
        Reading::Higher => 2,
        Reading::Lower => 3,
        Reading::NoClearChange => 4,
        Reading::TooFew | Reading::Unknown => 5,
    };
    (of_reading, std::cmp::Reverse(row.clear_size()))
}

fn sentence(name: &str, rows: &[&HeadlineRow], sides: Sides<'_>) -> Option<String> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| rank(row)); // stable
    let said: Vec<&[&HeadlineRow]> = sorted.chunk_by(|a, b| rank(a) == rank(b)).collect();
    let part = |rows: &&[&HeadlineRow]| {
        let all = said.len() == 1 && rows.len() > MOST_NAMES;
        let on = if all { format!("all {} measures", rows.len()) } else { names(rows) };
        format!("{} on {on}", words(rows[0], sides))
    };
    let parts: Vec<String> = said.iter().map(part).collect();
    (!parts.is_empty()).then(|| format!("{name}: {}.", parts.join("; ")))
}

/// How certain, how large and which way, in words; of runs, with who is better or worse than whom.
fn words(row: &HeadlineRow, sides: Sides<'_>) -> String {
    match row.reading {
        Reading::TooFew | Reading::Unknown => "too little to tell".into(),
        Reading::NoClearChange if sides.are_runs => "no clear difference".into(),
        Reading::NoClearChange => "no clear change".into(),
        reading => {
            let way = format!("{} {}", row.size.map_or("clearly", Size::adverb), reading.words());
            if sides.are_runs { format!("{} is {way} than {}", sides.right, sides.left) } else { way }
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

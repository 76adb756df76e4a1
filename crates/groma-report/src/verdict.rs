//! What may be said about all differences together.

use crate::effect::Size;
use crate::reading::Reading;
use crate::row::HeadlineRow;
use groma_run::Group;

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

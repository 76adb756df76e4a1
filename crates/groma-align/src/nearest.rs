//! The name that was probably meant.

/// How alike two names must be for one to be suggested for the other (Jaro-Winkler).
const SIMILAR: f64 = 0.75;

/// The known name that is most like `name`, if one is.
pub fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let likeness = |candidate: &str| {
        // Jaro-Winkler finds two exchanged letters of a short name unlike.
        let exchanged = same_letters(name, candidate) && strsim::osa_distance(name, candidate) == 1;
        if exchanged { 1.0 } else { strsim::jaro_winkler(name, candidate) }
    };
    let scored = known.iter().map(|candidate| (likeness(candidate), *candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= SIMILAR).then(|| best.1.to_owned())
}

fn same_letters(first: &str, second: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(first) == sorted(second)
}

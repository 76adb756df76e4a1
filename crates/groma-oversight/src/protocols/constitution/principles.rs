//! What answers are held against.

use groma_run::Seed;

/// groma's own, a line each; lines that begin with `#` say something about them.
const OWN: &str = include_str!("../../../principles.txt");

/// Those that were given, or else groma's own.
pub(super) fn chosen(given: Option<&[String]>) -> Vec<String> {
    let own = || OWN.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    given.map_or_else(own, <[String]>::to_vec)
}

/// The principle of a row in a round, any of them as likely as another.
pub(super) fn drawn(principles: &[String], seed: Seed, row: usize, round: usize) -> &str {
    let mut random = seed.named("principle").index(row as u64).index(round as u64).rng();
    let at = groma_data::below(&mut random, principles.len().max(1) as u64);
    principles.get(at as usize).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Eight principles over 4000 draws: the statistic of a uniform draw has 7 degrees of freedom, and is below 24.3 in 999 of
    /// 1000 cases.
    #[test]
    fn principles_are_drawn_evenly_and_again() {
        let own = chosen(None);
        assert_eq!(own.len(), 8);
        let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
        (0..2000).for_each(|row| {
            (0..2).for_each(|round| *counts.entry(drawn(&own, Seed::new(4), row, round)).or_default() += 1.0)
        });
        let statistic: f64 = counts.values().map(|count| (count - 500.0).powi(2) / 500.0).sum();
        assert!(counts.len() == 8 && statistic < 24.3, "{counts:?} {statistic}");
        assert_eq!(drawn(&own, Seed::new(4), 7, 1), drawn(&own, Seed::new(4), 7, 1));
        assert_eq!(chosen(Some(&["Be kind.".to_owned()])), ["Be kind."]);
    }
}

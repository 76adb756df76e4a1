//! What is guaranteed about copies with changed characters (Robey et al. 2023, arXiv 2310.03684, proposition 1).

/// A prompt under attack, and how its copies are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Certified {
    /// Characters of the prompt.
    pub(crate) characters: usize,
    /// Those of them that are the attacker's suffix.
    pub(crate) of_suffix: usize,
    /// Characters that are changed in a copy.
    pub(crate) changed: usize,
    /// Copies.
    pub(crate) copies: usize,
    /// Characters that a changed one may become.
    pub(crate) alphabet: usize,
}

impl Certified {
    /// The probability that a copy has at least `needed` of the suffix's characters changed: the suffix is then taken to do nothing.
    /// A character may become itself.
    pub(crate) fn of_copy(&self, needed: usize) -> f64 {
        let Certified { characters: all, of_suffix, changed, .. } = *self;
        if needed > of_suffix.min(changed) || of_suffix > all || changed > all {
            return if needed == 0 { 1.0 } else { 0.0 };
        }
        let same = 1.0 / self.alphabet as f64;
        let differs = |drawn: usize| {
            let of = |count: usize| {
                ln_choose(drawn, count) + count as f64 * (-same).ln_1p() + (drawn - count) as f64 * same.ln()
            };
            (needed..=drawn).map(|count| of(count).exp()).sum::<f64>()
        };
        let drawn = |count: usize| {
            let rest = (all - of_suffix).checked_sub(changed - count);
            rest.map_or(0.0, |_| {
                (ln_choose(of_suffix, count) + ln_choose(all - of_suffix, changed - count) - ln_choose(all, changed))
                    .exp()
            })
        };
        (needed..=of_suffix.min(changed)).map(|count| drawn(count) * differs(count)).sum()
    }

    /// The probability that at least half of the copies have.
    pub(crate) fn of_majority(&self, needed: usize) -> f64 {
        let (each, copies) = (self.of_copy(needed).clamp(0.0, 1.0), self.copies);
        let exactly = |count: usize| {
            ln_choose(copies, count).exp() * each.powi(count as i32) * (1.0 - each).powi((copies - count) as i32)
        };
        (copies.div_ceil(2)..=copies).map(exactly).sum()
    }
}

/// The logarithm of a binomial coefficient.
fn ln_choose(n: usize, k: usize) -> f64 {
    let k = k.min(n.saturating_sub(k));
    (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::{below, sample};
    use groma_run::Seed;

    fn certified() -> Certified {
        Certified { characters: 168, of_suffix: 96, changed: 16, copies: 10, alphabet: 100 }
    }

    /// The figure of the specification.
    #[test]
    fn of_the_papers_example() {
        assert!((certified().of_copy(5) - 0.992_13).abs() < 5e-6, "{}", certified().of_copy(5));
        assert!(certified().of_majority(5) > 0.999_999);
        assert_eq!((certified().of_copy(17), certified().of_copy(0).round()), (0.0, 1.0));
    }

    #[test]
    fn it_is_what_comes_of_drawing() {
        let small = Certified { characters: 30, of_suffix: 12, changed: 6, copies: 5, alphabet: 4 };
        let draws = 20_000;
        let mut rng = Seed::new(1).rng();
        let hit = (0..draws).filter(|draw| {
            let places = sample(30, 6, Seed::new(2).index(*draw));
            let changed = places.iter().filter(|place| **place < 12).filter(|_| below(&mut rng, 4) > 0).count();
            changed >= 2
        });
        let found = hit.count() as f64 / draws as f64;
        assert!((found - small.of_copy(2)).abs() < 0.012, "{found} for {}", small.of_copy(2));
    }
}

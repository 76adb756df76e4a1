//! The registry of games, one file each.

mod formula;
mod order;
mod sum;

use super::claim::Game;

/// All games.
pub(super) static GAMES: [Game; 3] = [sum::GAME, order::GAME, formula::GAME];

impl Game {
    /// The game of this name; in words, where there is none.
    pub(super) fn find(name: &str) -> Result<&'static Game, String> {
        let known = GAMES.each_ref().map(|game| game.id);
        let near = groma_align::nearest(name, &known).map_or(String::new(), |near| format!("; did you mean {near}?"));
        let unknown = || format!("there is no game `{name}`{near} (there are: {})", known.join(", "));
        GAMES.iter().find(|game| game.id == name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::debate::claim::Claim;
    use groma_run::{Random, Seed};

    /// The parts of a true claim hold, all the way down; of a false one there is always a part that does not.
    fn check(claim: &dyn Claim, random: &mut Random) -> usize {
        let parts = claim.parts(random);
        if parts.is_empty() {
            return 0;
        }
        assert_eq!(claim.holds(), parts.iter().all(|part| part.holds()), "{}", claim.says());
        1 + parts.iter().map(|part| check(&**part, random)).max().unwrap()
    }

    #[test]
    fn parts_support_what_they_are_parts_of() {
        let mut random = Seed::new(1).rng();
        for game in &GAMES {
            let mut deepest = 0;
            for _ in 0..50 {
                let question = (game.pose)(16, &mut random);
                assert!(question.right.holds() && !question.wrong.holds(), "{}: {}", game.id, question.text);
                for claim in [question.right, question.wrong] {
                    deepest = deepest.max(check(&*claim, &mut random));
                }
            }
            assert!((3..=4).contains(&deepest), "{}: a list of 16 is halved until a step is left ({deepest})", game.id);
        }
    }
}

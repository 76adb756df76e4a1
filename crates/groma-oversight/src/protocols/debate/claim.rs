//! What debaters claim of questions whose truth can be computed.

use groma_run::Random;

/// A claim. What is disputed of it is one of its parts, down to one that can be checked in a step.
pub(super) trait Claim {
    /// In words.
    fn says(&self) -> String;

    /// Whether it is true.
    fn holds(&self) -> bool;

    /// The claims by which its defender supports it: all of them true together make it true. Those of a claim that holds hold
    /// too; one that does not has a false one among them, which its defender hides as well as he can. None of a claim that the
    /// judge can check in one step.
    fn parts(&self, random: &mut Random) -> Vec<Box<dyn Claim>>;
}

/// A question with a true and a false answer.
pub(super) struct Question {
    /// In words.
    pub(super) text: String,
    /// What who tells the truth claims.
    pub(super) right: Box<dyn Claim>,
    /// What the other one claims.
    pub(super) wrong: Box<dyn Claim>,
}

/// A kind of questions.
pub(super) struct Game {
    /// Its name in the settings.
    pub(super) id: &'static str,
    /// Poses a question of a size, which is a power of two.
    pub(super) pose: fn(usize, &mut Random) -> Question,
}

/// True in half of all cases.
pub(super) fn coin(random: &mut Random) -> bool {
    groma_data::below(random, 2) == 1
}

/// One of `count` things.
pub(super) fn one_of(count: usize, random: &mut Random) -> usize {
    groma_data::below(random, count as u64) as usize
}

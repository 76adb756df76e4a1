//! Which combinations train, and which are held out.

use crate::draw::Draw;

/// What a combination is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Dialogues and preference pairs of training.
    Train,
    /// Held-out questions and requests.
    HeldOut,
    /// Held-out preference pairs.
    HeldOutPairs,
}

/// Shuffles the combinations and deals them out: of ten, two to the held-out questions and one to the held-out pairs.
pub(crate) fn deal<T>(draw: &mut Draw, mut combinations: Vec<T>) -> Vec<(Part, T)> {
    draw.shuffle(&mut combinations);
    let part = |turn: usize| match turn % 10 {
        0 | 5 => Part::HeldOut,
        1 => Part::HeldOutPairs,
        _ => Part::Train,
    };
    combinations.into_iter().enumerate().map(|(turn, item)| (part(turn), item)).collect()
}

/// The items of one part.
pub(crate) fn part<T: Clone>(dealt: &[(Part, T)], wanted: Part) -> Vec<T> {
    dealt.iter().filter(|(part, _)| *part == wanted).map(|(_, item)| item.clone()).collect()
}

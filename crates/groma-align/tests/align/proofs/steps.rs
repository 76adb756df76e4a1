//! How often steps of rows are right, which is what a process reward model comes to say of them.

use super::world::PROMPT;
use groma_align::{Group, Member, Sequence};

/// Of the rows that judge the step with which a text ends, the share that finds it right.
pub(super) fn right(rows: &[Group], text: &[u32]) -> f64 {
    let here = |member: &Member| {
        let begun = member.sequence.ids.starts_with(text);
        member.steps.iter().find(|(end, _)| begun && *end == text.len()).map(|(_, right)| *right)
    };
    share(members(rows).filter_map(here))
}

/// Of the rows of a text, the share that finds all of its steps right.
pub(super) fn all_right(rows: &[Group], text: &[u32]) -> f64 {
    let count = text.len() - PROMPT.len();
    let whole = |member: &Member| member.steps.len() == count && member.steps.iter().all(|(_, right)| *right);
    share(members(rows).filter(|member| member.sequence.ids == text).map(whole))
}

/// A row that finds the step right with which a text ends.
pub(super) fn row(text: &[u32]) -> Group {
    let sequence = Sequence::completion(PROMPT, &text[PROMPT.len()..]);
    Group { members: vec![Member { steps: vec![(text.len(), true)], ..Member::new(sequence) }], ..Group::default() }
}

fn members(rows: &[Group]) -> impl Iterator<Item = &Member> {
    rows.iter().flat_map(|group| &group.members)
}

fn share(of: impl Iterator<Item = bool>) -> f64 {
    let (right, all) = of.fold((0.0, 0.0), |(right, all), is| (right + f64::from(u8::from(is)), all + 1.0));
    right / all
}

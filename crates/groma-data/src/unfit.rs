//! What is said to whoever has rows of another shape than is needed: what such rows look like, and how they are made of others.

use crate::layout::LAYOUTS;
use crate::shape::Shape;

/// Of each shape that would do, the columns and a row; and how rows of that shape are made of those that were found.
pub(crate) fn help(found: Shape, accepted: &[Shape]) -> String {
    let lines = accepted.iter().filter_map(|&wanted| {
        let of_shape = LAYOUTS.iter().filter(|layout| layout.shape == wanted);
        let layout = of_shape.min_by_key(|layout| layout.example.len())?;
        let columns = layout.columns.first()?.join(", ");
        let way = way(found, wanted).map_or(String::new(), |way| format!("\n    {way}"));
        Some(format!("\n  {wanted}: {columns}, as in {}{way}", layout.example))
    });
    lines.collect()
}

/// How rows of one shape become such of another.
fn way(found: Shape, wanted: Shape) -> Option<&'static str> {
    use Shape::{Labelled, LanguageModelling, Preference, PromptCompletion, PromptOnly, Ranked};
    match (found, wanted) {
        (Preference, Ranked) => Some("a pair is a ranking of two: both sides in `completions`, and [1, 0] in `scores`"),
        (Ranked, Preference) => Some("of a ranking take the best completion as `chosen` and a worse one as `rejected`"),
        (Labelled, Preference) => {
            Some("of answers to one prompt take one that is wanted as `chosen`, and one that is not")
        }
        (Preference | Ranked | Labelled, PromptCompletion) => Some("`groma rewrite side` makes them of yours"),
        (PromptOnly, PromptCompletion) => Some("a stage `generate` of a recipe lets a model answer your prompts"),
        (PromptOnly, Preference) => {
            Some("a stage `generate` of a recipe, with `pairs`, makes them of a model's answers to your prompts")
        }
        (PromptCompletion, Labelled) => Some("add a column `label`: true where the answer is wanted, else false"),
        (PromptCompletion, Preference) => Some("add an answer that is worse, and name both `chosen` and `rejected`"),
        (LanguageModelling, _) => {
            Some("name the part that is asked `prompt`, or use the method `sft`, which reads whole texts")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_shown() {
        for &wanted in Shape::ALL {
            let help = help(Shape::Preference, &[wanted]);
            assert!(help.contains(wanted.name()) && help.contains("as in {"), "{help}");
        }
        let both = help(Shape::Preference, &[Shape::Ranked, Shape::PromptCompletion]);
        assert!(both.contains("a ranking of two") && both.contains("groma rewrite side"), "{both}");
    }
}

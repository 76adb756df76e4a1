//! Where the steps of a reply end.

use groma_model::Tokenizer;

/// Behind how many of `ids` the steps of a reply end that begins behind the first `from` of them: at tokens with a line break,
/// and where the reply ends. A line of white space is no step. One that holds nothing is one step, which ends with the tokens.
pub fn step_ends(tokenizer: &Tokenizer, stop_ids: &[u32], ids: &[u32], from: usize) -> Vec<usize> {
    let stop = ids.iter().skip(from).position(|id| stop_ids.contains(id));
    let end = stop.map_or(ids.len(), |place| from + place);
    let (mut ends, mut blank) = (Vec::new(), true);
    for (index, &id) in ids[..end].iter().enumerate().skip(from) {
        let text = tokenizer.token_text(id).unwrap_or_default();
        blank &= text.trim().is_empty();
        if !blank && (text.contains('\n') || index + 1 == end) {
            ends.push(index + 1);
            blank = true;
        }
    }
    if ends.is_empty() { vec![ids.len()] } else { ends }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_model::tokenizer::{SpecialTokens, Specials, train_bpe};

    #[test]
    fn steps_end_at_line_breaks_and_with_the_reply() {
        let texts: Vec<String> = (0..100).map(|n| format!("two and {n}\nis\n")).collect();
        let special = SpecialTokens { all: vec!["<end>"], eos: Some("<end>"), ..SpecialTokens::default() };
        let tokenizer = train_bpe(&texts, 300, &special).unwrap();
        let stops = [tokenizer.id("<end>").unwrap()];
        let steps = |text: &str, from: usize| -> Vec<String> {
            let ids = tokenizer.encode(text, Specials::AsConfigured).unwrap();
            let ends = step_ends(&tokenizer, &stops, &ids, from);
            let starts = std::iter::once(&from).chain(&ends).copied();
            starts.zip(&ends).map(|(start, &end)| tokenizer.decode(&ids[start..end], false).unwrap()).collect()
        };
        assert_eq!(steps("two\n\nis 3\nand<end>\n", 0), ["two\n", "\nis 3\n", "and"]);
        assert_eq!(steps("two\nis\n\n<end>", 0), ["two\n", "is\n"]);
        // What comes before is not looked at; of an empty reply the end is its one step.
        let asked = tokenizer.encode("two\nand", Specials::AsConfigured).unwrap().len();
        assert_eq!(steps("two\nand<end>", asked), ["<end>"]);
    }
}

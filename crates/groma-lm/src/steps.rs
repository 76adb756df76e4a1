//! Where the steps of a reply end.

use groma_model::Tokenizer;

/// Behind how many of `ids` the steps of a reply end that begins behind the first `from` of them: at tokens with which what ends
/// a step is said, such as a line break, and where the reply ends. White space is no step. A reply that holds nothing is one
/// step, which ends with the tokens.
pub fn step_ends(tokenizer: &Tokenizer, stop_ids: &[u32], ids: &[u32], from: usize, separator: &str) -> Vec<usize> {
    let stop = ids.iter().skip(from).position(|id| stop_ids.contains(id));
    let end = stop.map_or(ids.len(), |place| from + place);
    let (mut ends, mut said) = (Vec::new(), String::new());
    for (index, &id) in ids[..end].iter().enumerate().skip(from) {
        said.push_str(&tokenizer.token_text(id).unwrap_or_default());
        if said.contains(separator) || index + 1 == end {
            let is_blank = said.split(separator).all(|part| part.trim().is_empty());
            ends.extend((!is_blank).then_some(index + 1));
            said.clear();
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
        let parted = |text: &str, from: usize, separator: &str| -> Vec<String> {
            let ids = tokenizer.encode(text, Specials::AsConfigured).unwrap();
            let ends = step_ends(&tokenizer, &stops, &ids, from, separator);
            let starts = std::iter::once(&from).chain(&ends).copied();
            starts.zip(&ends).map(|(start, &end)| tokenizer.decode(&ids[start..end], false).unwrap()).collect()
        };
        let steps = |text: &str, from: usize| parted(text, from, "\n");
        assert_eq!(steps("two\n\nis 3\nand<end>\n", 0), ["two\n", "\nis 3\n", "and"]);
        assert_eq!(steps("two\nis\n\n<end>", 0), ["two\n", "is\n"]);
        // What comes before is not looked at; of an empty reply the end is its one step.
        let asked = tokenizer.encode("two\nand", Specials::AsConfigured).unwrap().len();
        assert_eq!(steps("two\nand<end>", asked), ["<end>"]);
        // What ends a step may be several tokens, and then a line break ends none.
        assert_eq!(parted("two\nis\n\nand 3\n\n", 0, "\n\n"), ["two\nis\n\n", "and 3\n\n"]);
        assert_eq!(parted("is 3 and 4 and", 0, " and"), ["is 3 and", " 4 and"]);
    }
}

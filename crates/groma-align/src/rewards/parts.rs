//! Parts of a text: where they end, and what each adds to the whole.

/// A part that is judged: behind how many bytes of the text it ends, and what it adds to what the whole is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) end: usize,
    pub(crate) worth: f64,
}

impl Part {
    /// Of what the text up to each end is worth, what each part adds: together what the last says.
    pub(crate) fn increments(worths: &[f64], ends: impl IntoIterator<Item = usize>) -> Vec<Part> {
        let before = std::iter::once(0.0).chain(worths.iter().copied());
        let added = worths.iter().zip(before).map(|(worth, before)| worth - before);
        added.zip(ends).map(|(worth, end)| Part { end, worth }).collect()
    }
}

/// Where the sentences of a text end, in bytes: behind full stops and the like with what closes, where white space follows, and at
/// line breaks; the last with the text.
pub(crate) fn sentence_ends(text: &str) -> Vec<usize> {
    let (mut ends, mut closed, mut blank) = (Vec::new(), false, true);
    for (at, c) in text.char_indices() {
        if c == '\n' || (closed && c.is_whitespace()) {
            if !blank {
                ends.push(at);
            }
            (closed, blank) = (false, true);
        } else {
            closed = matches!(c, '.' | '!' | '?' | '。' | '！' | '？')
                || (closed && matches!(c, '"' | '\'' | ')' | ']' | '”' | '’'));
            blank &= c.is_whitespace();
        }
    }
    last_with_text(ends, blank, text)
}

/// Where the steps of a text end, in bytes: with what separates them; blank ones belong to what follows.
pub(crate) fn step_ends(text: &str, separator: &str) -> Vec<usize> {
    let (mut ends, mut begun) = (Vec::new(), 0);
    for (at, found) in text.match_indices(separator) {
        if !text[begun..at].trim().is_empty() {
            begun = at + found.len();
            ends.push(begun);
        }
    }
    last_with_text(ends, text[begun..].trim().is_empty(), text)
}

/// The last part goes on to the end of the text.
fn last_with_text(mut ends: Vec<usize>, blank: bool, text: &str) -> Vec<usize> {
    match ends.last_mut() {
        Some(last) if blank => *last = text.len(),
        _ => ends.push(text.len()),
    }
    ends
}

/// Behind how many bytes of its text each token of a completion ends; `decode` makes text of tokens.
///
/// A token whose text is not whole yet ends where the one before did. A few tokens are decoded at once, as what a token says may
/// hang on the one before.
pub(crate) fn token_ends(ids: &[u32], text: &str, decode: &dyn Fn(&[u32]) -> String) -> Vec<usize> {
    let (mut from, mut read, mut done) = (0, 0, 0);
    let end_of = |end: usize| {
        let (before, now) = (decode(&ids[from..read]), decode(&ids[from..end]));
        if now.len() > before.len() && !now.ends_with(char::REPLACEMENT_CHARACTER) {
            done += now.len() - before.len();
            (from, read) = (read, end);
        }
        done.min(text.len())
    };
    (1..=ids.len()).map(end_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut<'t>(text: &'t str, ends: &[usize]) -> Vec<&'t str> {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, &end)| &text[start..end]).collect()
    }

    #[test]
    fn sentences_and_lines() {
        let sentences = |text| cut(text, &sentence_ends(text));
        assert_eq!(
            sentences("It is 3.5 m. \"Is it?\" Yes!\n\n No"),
            ["It is 3.5 m.", " \"Is it?\"", " Yes!", "\n\n No"]
        );
        assert_eq!((sentences("one. "), sentences("")), (vec!["one. "], vec![""]));
        let lines = |text| cut(text, &step_ends(text, "\n"));
        assert_eq!(lines("two\n\nis 3\nand"), ["two\n", "\nis 3\n", "and"]);
        assert_eq!((lines("two\nis\n\n"), lines("")), (vec!["two\n", "is\n\n"], vec![""]));
        let text = "two\nis\n\nand 3\n\n";
        assert_eq!(cut(text, &step_ends(text, "\n\n")), ["two\nis\n\n", "and 3\n\n"]);
    }

    /// Bytes as tokens, 0 for what ends: no letter is torn apart, and what was cut off lies at the end.
    #[test]
    fn tokens_end_where_their_text_does() {
        let decode = |ids: &[u32]| {
            let bytes: Vec<u8> = ids.iter().filter(|id| **id != 0).map(|&id| id as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let ids: Vec<u32> = "né".bytes().chain([0]).map(u32::from).collect();
        assert_eq!(token_ends(&ids, "né", &decode), [1, 1, 3, 3]);
        assert_eq!(token_ends(&ids, "n", &decode), [1, 1, 1, 1]);
    }

    #[test]
    fn increments_add_up() {
        let parts = Part::increments(&[0.5, -1.0, 0.25], [2, 4, 9]);
        assert_eq!(parts.iter().map(|part| part.worth).sum::<f64>(), 0.25);
        assert_eq!(parts[1], Part { end: 4, worth: -1.5 });
    }
}

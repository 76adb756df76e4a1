//! The prompt that two answers share, where a preference row does not name it.

use crate::message::Content;
use groma_chat::Message;

/// Splits two contents into their common prompt and the two rests, as TRL's `extract_prompt` does: strings at the first
/// character that differs (a space before it stays with the answers), conversations at the first message that differs.
/// If one is a prefix of the other, its last character or message stays out of the prompt, so that no answer is empty.
///
/// Differs from TRL in refusing rows without a common prefix, where TRL indexes from the end.
///
/// # Errors
/// Contents of two forms, that are equal, or that share no prefix.
pub fn extract_prompt(chosen: &Content, rejected: &Content) -> Result<(Content, Content, Content), String> {
    match (chosen, rejected) {
        (Content::Text(chosen), Content::Text(rejected)) => {
            let (chars, other): (Vec<char>, Vec<char>) = (chosen.chars().collect(), rejected.chars().collect());
            let mut split = common(&chars, &other)?;
            if chars.get(split) != other.get(split) && chars[split - 1] == ' ' {
                split -= 1;
            }
            let text = |chars: &[char]| Content::Text(chars.iter().collect());
            non_empty((text(&chars[..split]), text(&chars[split..]), text(&other[split..])))
        }
        (Content::Messages(chosen), Content::Messages(rejected)) => {
            let split = common(&chosen[..], &rejected[..])?;
            let turns = |messages: &[Message]| Content::from(messages.to_vec());
            non_empty((turns(&chosen[..split]), turns(&chosen[split..]), turns(&rejected[split..])))
        }
        _ => Err("`chosen` and `rejected` must both be strings or both be lists of messages".to_owned()),
    }
}

/// Where two sequences begin to differ; before the last common item if one is a prefix of the other.
fn common<T: PartialEq>(a: &[T], b: &[T]) -> Result<usize, String> {
    if a == b {
        return Err("`chosen` and `rejected` are identical".to_owned());
    }
    let shorter = a.len().min(b.len());
    let split = a.iter().zip(b).position(|(x, y)| x != y).unwrap_or(shorter.saturating_sub(1));
    if split == 0 { Err(NO_PREFIX.to_owned()) } else { Ok(split) }
}

const NO_PREFIX: &str = "`chosen` and `rejected` share no prefix that could be the prompt";

fn non_empty(parts: (Content, Content, Content)) -> Result<(Content, Content, Content), String> {
    if parts.0.is_empty() { Err(NO_PREFIX.to_owned()) } else { Ok(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Content {
        Content::Text(text.to_owned())
    }

    fn split(chosen: &str, rejected: &str) -> Option<(String, String, String)> {
        let (prompt, chosen, rejected) = extract_prompt(&text(chosen), &text(rejected)).ok()?;
        Some((prompt.plain(), chosen.plain(), rejected.plain()))
    }

    /// Expected values: TRL's documented example, and its function's rule worked by hand.
    #[test]
    fn strings_split_as_in_trl() {
        let expect = |p: &str, c: &str, r: &str| Some((p.to_owned(), c.to_owned(), r.to_owned()));
        assert_eq!(split("The sky is blue.", "The sky is green."), expect("The sky is", " blue.", " green."));
        assert_eq!(split("Qa", "Qb"), expect("Q", "a", "b"));
        assert_eq!(split("Q A", "Q A B"), expect("Q ", "A", "A B"), "a prefix keeps its last character");
        assert_eq!(split("é x", "é y"), expect("é", " x", " y"));
        for (a, b) in [("same", "same"), ("x", "y"), (" x", " y"), ("", "a"), ("a", "ab")] {
            assert_eq!(split(a, b), None, "{a:?} {b:?}");
        }
    }

    #[test]
    fn conversations_split_at_messages() {
        let turns =
            |all: &[(&str, &str)]| Content::from(all.iter().map(|(r, c)| Message::new(*r, *c)).collect::<Vec<_>>());
        let chosen = turns(&[("user", "q"), ("assistant", "a")]);
        let rejected = turns(&[("user", "q"), ("assistant", "b")]);
        let (prompt, c, r) = extract_prompt(&chosen, &rejected).unwrap();
        assert_eq!((prompt, c.plain(), r.plain()), (turns(&[("user", "q")]), "a".to_owned(), "b".to_owned()));
        assert!(extract_prompt(&chosen, &text("q")).is_err());
        assert!(extract_prompt(&turns(&[]), &rejected).is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_lost(common in "[a-c é]{0,8}", a in "[a-c é]{0,8}", b in "[a-c é]{0,8}") {
            let (chosen, rejected) = (format!("{common}{a}"), format!("{common}{b}"));
            if let Some((prompt, c, r)) = split(&chosen, &rejected) {
                prop_assert_eq!(format!("{prompt}{c}"), chosen);
                prop_assert_eq!(format!("{prompt}{r}"), rejected);
                prop_assert!(!prompt.is_empty() && !c.is_empty() && !r.is_empty());
                prop_assert_ne!(c, r);
            }
        }
    }
}

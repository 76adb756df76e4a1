//! Filling slots of a sentence.

/// Replaces each `{key}` by its value; a slot without a value stays as it is, which the tests of the tables look for.
pub(crate) fn fill(template: &str, slots: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let found = slots.iter().find(|(key, _)| slot_is(rest, key));
        let (written, used) = found.map_or(("{", 1), |(key, value)| (*value, key.len() + 2));
        text.push_str(written);
        rest = &rest[used..];
    }
    text.push_str(rest);
    text
}

fn slot_is(rest: &str, key: &str) -> bool {
    rest[1..].strip_prefix(key).is_some_and(|after| after.starts_with('}'))
}

/// The same with a capital at the start.
pub(crate) fn sentence(template: &str, slots: &[(&str, &str)]) -> String {
    capitalise(&fill(template, slots))
}

/// A capital at the start.
pub(crate) fn capitalise(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The words of a text in lower case, without punctuation; `Anna's` is `anna`, `s`.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '-')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Where a phrase begins in a text, both as [`words`].
pub(crate) fn find(text: &[String], phrase: &[String]) -> Option<usize> {
    if phrase.is_empty() {
        return None;
    }
    text.windows(phrase.len()).position(|window| window == phrase)
}

/// Whether a text contains a phrase, word by word, whatever the case and punctuation.
pub(crate) fn contains(text: &[String], phrase: &str) -> bool {
    find(text, &words(phrase)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled() {
        assert_eq!(sentence("{s} is {v}, {x}.", &[("s", "the mill"), ("v", "old")]), "The mill is old, {x}.");
    }

    #[test]
    fn phrases_are_found_as_whole_words() {
        let text = words("Anna's friend is Tom-Tom, near the Mill.");
        assert!(contains(&text, "the mill"));
        assert!(contains(&text, "anna"));
        assert!(!contains(&text, "ann"));
        assert!(!contains(&text, "tom"));
        assert!(!contains(&text, ""));
    }
}

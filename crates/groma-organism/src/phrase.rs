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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled() {
        assert_eq!(sentence("{s} is {v}, {x}.", &[("s", "the mill"), ("v", "old")]), "The mill is old, {x}.");
    }
}

//! Numbers in sentences.

use std::fmt::Display;

/// So many of what the noun names, which is in its singular: `1 item`, `12 items`, `2 queries`.
pub fn counted<Count: PartialEq + From<u8> + Display>(count: Count, one: &str) -> String {
    if count == 1.into() {
        return format!("1 {one}");
    }
    let vowel = |c: char| "aeiou".contains(c);
    match one.strip_suffix('y').filter(|stem| !stem.ends_with(vowel)) {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {one}s"),
    }
}

/// `is` or `are`, as the count wants it.
pub fn is_or_are<Count: PartialEq + From<u8>>(count: Count) -> &'static str {
    if count == 1.into() { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_their_nouns() {
        let all = [counted(0, "row"), counted(1, "row"), counted(2, "row"), counted(3, "reply"), counted(2, "day")];
        assert_eq!(all, ["0 rows", "1 row", "2 rows", "3 replies", "2 days"]);
        assert_eq!([is_or_are(1), is_or_are(0)], ["is", "are"]);
    }
}

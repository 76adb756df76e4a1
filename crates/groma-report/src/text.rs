//! Text of models and data, made harmless for a terminal and visible on a page.

use unicode_width::UnicodeWidthChar;

/// For a terminal: escape sequences are removed whole, then all control characters and all marks that change the
/// direction or hide text. Line ends and tabs become spaces.
pub fn for_terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars),
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut chars),
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => out.push(' '),
            c if c.is_control() || is_invisible(c) => {}
            c => out.push(c),
        }
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What follows an escape character.
fn skip_sequence(chars: &mut Chars<'_>) {
    match chars.next() {
        Some('[') => skip_control_sequence(chars),
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(chars),
        // Two-character sequences with an intermediate: `ESC ( B`.
        Some(' '..='/') => drop(chars.next()),
        _ => {}
    }
}

/// `CSI`: parameters up to a final byte.
fn skip_control_sequence(chars: &mut Chars<'_>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// `OSC`, `DCS` and their like: up to `BEL` or `ST`; unended ones end with the line, so that a lone introducer does not
/// swallow everything.
fn skip_string(chars: &mut Chars<'_>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        if matches!(c, '\u{7}' | '\u{9c}') {
            return;
        }
        if c == '\u{1b}' {
            chars.next_if_eq(&'\\');
            return;
        }
    }
}

/// Marks of direction, joiners, tags and other characters that show nothing and change what is seen.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// For a page: control characters become their pictures and direction marks their code points, so that a reader sees
/// that they are there and they do nothing. Line ends and tabs stay.
pub(crate) fn for_page(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\0'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            // Joiners are part of emoji and of some scripts.
            '\u{200c}' | '\u{200d}' | '\u{ad}' => out.push(c),
            c if c.is_control() || is_invisible(c) => out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// How many columns of a terminal a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// A paragraph for a terminal, made harmless: lines of at most so many columns, indented by as much as `first` takes from the
/// second on. Each ends with a line end.
pub fn paragraph(first: &str, text: &str, columns: usize) -> String {
    let lines = hanging(first, &for_terminal(text), columns);
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A text on as many lines as it takes, which are indented from the second on.
pub(crate) fn hanging(first: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = width(first);
    let wrapped = wrap(text, columns.saturating_sub(indent));
    let line = |(number, line): (usize, String)| {
        if number == 0 { format!("{first}{line}") } else { format!("{}{line}", " ".repeat(indent)) }
    };
    wrapped.into_iter().enumerate().map(line).collect()
}

/// A text broken at spaces into lines of at most so many columns; a longer word is broken anywhere.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| width(line));
        if line > 0 && line + 1 + width(word) > columns {
            lines.push(String::new());
        } else if line > 0 {
            push(&mut lines, ' ');
        }
        for c in word.chars() {
            if lines.last().map_or(0, |line| width(line)) + c.width().unwrap_or(0) > columns {
                lines.push(String::new());
            }
            push(&mut lines, c);
        }
    }
    lines
}

fn push(lines: &mut [String], c: char) {
    if let Some(line) = lines.last_mut() {
        line.push(c);
    }
}

/// The first `limit` characters, and whether there are more.
pub(crate) fn clip(text: &str, limit: usize) -> (&str, bool) {
    match text.char_indices().nth(limit) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_are_removed_whole() {
        let cases = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}[2Kb\u{1b}[1;1Hc", "abc"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]52;c;ZXZpbA==\u{7}y", "y"),
            ("\u{1b}Pq#0\u{1b}\\z", "z"),
            ("\u{9b}31mred", "red"),
            ("\u{9d}0;title\u{9c}x", "x"),
            ("\u{1b}(Bplain", "plain"),
            ("\u{1b}cfull reset", "full reset"),
            ("tail\u{1b}", "tail"),
            ("unended \u{1b}]0;x\nnext", "unended  next"),
            ("a\rb\nc\td", "a b c d"),
            ("bell\u{7}back\u{8}", "bellback"),
            ("user\u{202e}gpj.exe\u{2066}", "usergpj.exe"),
            ("zero\u{200b}width\u{feff}", "zerowidth"),
            ("tag\u{e0041}s", "tags"),
            ("日本 é 👩", "日本 é 👩"),
        ];
        for (input, expected) in cases {
            assert_eq!(for_terminal(input), expected, "{input:?}");
        }
    }

    #[test]
    fn on_a_page_they_are_seen() {
        assert_eq!(for_page("a\u{1b}[1m\u{0}\u{202e}b\n\tc\u{85}"), "a␛[1m␀⟨U+202E⟩b\n\tc⟨U+0085⟩");
    }

    #[test]
    fn wrapping_counts_columns() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("日本語テキスト", 6), ["日本語", "テキス", "ト"]);
        assert_eq!(wrap("", 6), [""]);
        assert_eq!(width("日本a"), 5);
        assert_eq!(clip("aéb", 2), ("aé", true));
        assert_eq!(clip("aéb", 3), ("aéb", false));
    }

    proptest! {
        #[test]
        fn nothing_dangerous_is_left(text in "[\\x00-\\x1f\\x7f-\\x9f\\[\\];a-z\u{202a}-\u{202e} ]{0,40}") {
            let clean = for_terminal(&text);
            prop_assert!(!clean.chars().any(|c| c.is_control() || is_invisible(c)));
            prop_assert_eq!(for_terminal(&clean), clean.clone());
            prop_assert!(wrap(&clean, 7).iter().all(|line| width(line) <= 7));
            prop_assert!(!for_page(&text).chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || is_invisible(c)));
        }
    }
}

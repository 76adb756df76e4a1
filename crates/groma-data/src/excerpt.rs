//! A piece of a row for a message.

/// Characters of a row that a message quotes.
const EXCERPT_CHARACTERS: usize = 60;

/// The text of a row around byte `at`, fit for a terminal: control, bidirectional and line-breaking characters escaped.
pub(crate) fn excerpt(bytes: &[u8], at: usize) -> String {
    let at = at.min(bytes.len());
    let start = at.saturating_sub(EXCERPT_CHARACTERS / 2);
    let end = bytes.len().min(start + 4 * EXCERPT_CHARACTERS);
    let text = String::from_utf8_lossy(&bytes[start..end]);
    let mut shown = String::new();
    let mut kept = 0;
    for (count, character) in text.trim_start_matches('\u{fffd}').trim().chars().enumerate() {
        if count == EXCERPT_CHARACTERS {
            shown.push('…');
            break;
        }
        kept += 1;
        if is_plain(character) { shown.push(character) } else { shown.extend(character.escape_unicode()) }
    }
    if start > 0 && kept > 0 { format!("…{shown}") } else { shown }
}

/// Whether a character can be shown in a terminal without side effects.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_harmless() {
        assert_eq!(excerpt(b"", 7), "");
        assert_eq!(excerpt("a\u{1b}[2Kb\u{202e}c".as_bytes(), 0), "a\\u{1b}[2Kb\\u{202e}c");
        let long = "ä".repeat(500);
        assert!(excerpt(long.as_bytes(), 301).chars().count() <= EXCERPT_CHARACTERS + 2);
    }
}

//! Which tokens an attacker may write.

use groma_model::Tokenizer;

/// For each row of an embedding of `vocab` rows, whether it is a token that can be written as text: no control token, none that
/// was added as special, no row beyond the tokenizer, nothing that is empty or only a part of a character; where `ascii`, only
/// printable ASCII.
pub(crate) fn alphabet(tokenizer: &Tokenizer, vocab: usize, ascii: bool) -> Vec<bool> {
    let reserved: Vec<u32> =
        [tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.unk()].into_iter().flatten().collect();
    let is_written = |id: u32| {
        let forbidden = reserved.contains(&id) || tokenizer.is_control(id) || tokenizer.token(id).is_none();
        let text = if forbidden { None } else { tokenizer.decode(&[id], false).ok() };
        let printable =
            |letter: char| if ascii { letter == ' ' || letter.is_ascii_graphic() } else { letter != '\u{fffd}' };
        text.is_some_and(|text| !text.is_empty() && text.chars().all(printable))
    };
    (0..vocab as u32).map(is_written).collect()
}

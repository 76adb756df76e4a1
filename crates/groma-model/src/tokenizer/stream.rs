//! Text as it is generated, token by token.

use super::Tokenizer;
use super::error::Result;

/// Tokens after which an unfinished character is given up: no character has more bytes, and so more tokens, than four.
const MAX_PENDING: usize = 8;

/// Decodes a growing sequence, and never gives out half a character.
///
/// The text of a token depends on what is before it (a space at the beginning is dropped, bytes join to characters), so each
/// step decodes the last few tokens and gives out what is new.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    ids: Vec<u32>,
    /// Where the context begins whose text is known.
    context: usize,
    /// Up to where text has been given out.
    done: usize,
}

impl Tokenizer {
    /// Decodes tokens one at a time.
    pub fn stream(&self, skip_special: bool) -> TextStream<'_> {
        TextStream { tokenizer: self, skip_special, ids: Vec::new(), context: 0, done: 0 }
    }
}

impl TextStream<'_> {
    /// Adds a token; gives the text that is now complete, which may be empty.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.new_text()?;
        if text.ends_with('\u{fffd}') && self.ids.len() - self.done < MAX_PENDING {
            return Ok(String::new());
        }
        Ok(self.give_out(text))
    }

    /// Gives what was held back, at the end of the sequence.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn finish(mut self) -> Result<String> {
        let text = self.new_text()?;
        Ok(self.give_out(text))
    }

    fn new_text(&self) -> Result<String> {
        let known = self.tokenizer.decode(&self.ids[self.context..self.done], self.skip_special)?;
        let all = self.tokenizer.decode(&self.ids[self.context..], self.skip_special)?;
        let common = all.bytes().zip(known.bytes()).take_while(|(a, b)| a == b).count();
        let mut start = common.min(all.len());
        while !all.is_char_boundary(start) {
            start -= 1;
        }
        Ok(all[start..].to_owned())
    }

    fn give_out(&mut self, text: String) -> String {
        if !text.is_empty() {
            self.context = self.done;
            self.done = self.ids.len();
        }
        text
    }
}

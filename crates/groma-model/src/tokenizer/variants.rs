//! Conversations that differ from one in one place, encoded by what differs.
//!
//! A control token that is cut out before anything else parts a text: what stands on one side has no say in the tokens of the
//! other. So of a conversation whose rendered text differs from a known one between two such tokens, only what lies between them is
//! encoded, and the tokens around it are those of the known one. A search over suffixes asks for thousands of these.

use std::ops::Range;

use groma_chat::{Message, Options, Rendered, Template};

use super::{TokenOptions, TokenizedChat, Tokenizer};

/// A control token that parts a text.
#[derive(Clone, Debug)]
struct Fence {
    id: u32,
    /// Its place among the tokens.
    place: usize,
    /// Its bytes in the text.
    bytes: Range<usize>,
}

/// A conversation, and how those like it are encoded.
#[derive(Debug)]
pub struct Variants<'a> {
    tokenizer: &'a Tokenizer,
    template: &'a Template,
    options: TokenOptions,
    /// The options with what the tokenizer adds to them.
    given: Options,
    base: TokenizedChat,
    fences: Vec<Fence>,
}

impl Tokenizer {
    /// The conversation that others are variants of, rendered and encoded.
    ///
    /// # Errors
    /// As [`Tokenizer::any_conversation`].
    pub fn variants<'a>(
        &'a self,
        template: &'a Template,
        messages: &[Message],
        options: &TokenOptions,
    ) -> Result<Variants<'a>, crate::Error> {
        let base = self.any_conversation(template, messages, options)?;
        let fences = base.ids.iter().zip(&base.offsets).enumerate();
        let fences = fences.filter(|(_, (id, bytes))| !bytes.is_empty() && self.added.parts(**id));
        let fences = fences.map(|(place, (id, bytes))| Fence { id: *id, place, bytes: bytes.clone() }).collect();
        Ok(Variants { tokenizer: self, template, options: options.clone(), given: self.given(options), base, fences })
    }
}

impl Variants<'_> {
    /// The tokens of a conversation: those of [`Tokenizer::any_conversation`].
    ///
    /// # Errors
    /// As there.
    pub fn ids(&self, messages: &[Message]) -> Result<Vec<u32>, crate::Error> {
        let whole = self.template.render_any(messages, &self.given)?;
        match self.spliced(&whole)? {
            Some(ids) => Ok(ids),
            None => Ok(self.tokenizer.tokenized(whole, self.template.has_generation_marks(), &self.options)?.ids),
        }
    }

    /// The tokens of the base, those between two fences encoded anew; `None` where there are no such fences, where answers bound
    /// tokens, or where what differs spells a control token.
    fn spliced(&self, whole: &Rendered) -> Result<Option<Vec<u32>>, crate::Error> {
        let is_plain =
            |part: &Rendered| part.spelled.is_empty() && part.assistant.is_empty() && part.unlearned.is_empty();
        let (old, new) = (self.base.text.as_bytes(), whole.text.as_bytes());
        let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
        let start = old.iter().zip(new).take_while(same).count();
        let behind = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(same).count();
        let before = self.fences.iter().rfind(|fence| fence.bytes.end <= start);
        let after = self.fences.iter().find(|fence| fence.bytes.start >= old.len() - behind);
        let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
        if !is_plain(whole) {
            return Ok(None);
        }
        let end = new.len() - (old.len() - after.bytes.end);
        let window = &whole.text[before.bytes.start..end];
        let found = self.tokenizer.encode_parts(window, &[], &[])?;
        // A longer control token may begin in what differs and reach into a fence.
        let holds = |fence: &Fence, id: Option<&u32>, bytes: Option<&Range<usize>>| {
            id == Some(&fence.id) && bytes.is_some_and(|bytes| bytes.len() == fence.bytes.len())
        };
        if !holds(before, found.ids.first(), found.offsets.first())
            || !holds(after, found.ids.last(), found.offsets.last())
        {
            return Ok(None);
        }
        Ok(Some([&self.base.ids[..before.place], &found.ids, &self.base.ids[after.place + 1..]].concat()))
    }
}

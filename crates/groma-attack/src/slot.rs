//! Where in the tokens of a conversation an attacker's suffix lies.
//!
//! What the attacker controls is text at the end of what the user says. So a suffix counts only if the whole conversation, with
//! the suffix's text in it, is encoded to the very tokens that were searched over: merges over both borders included
//! (GraySwanAI/nanoGCG#24).

use std::sync::Arc;

use groma_data::Content;
use groma_lm::Local;
use groma_model::tokenizer::Variants;

use crate::Error;
use crate::goal::Goal;
use crate::prompt::{user_text, with_user_text};
use crate::target::Target;

/// Tokens of the conversation before a suffix that are decoded with it, so that its text is that of the middle of a text.
const ANCHOR: usize = 8;

/// The place of a suffix in a conversation.
pub(crate) struct Slot<'a> {
    local: &'a Local<'a>,
    target: &'a Target<'a>,
    prompt: &'a Content,
    pub(crate) frame: Frame,
    /// How conversations with other suffixes are encoded.
    variants: Option<Arc<Variants<'a>>>,
    /// The text of the tokens that a suffix is decoded with.
    anchor: String,
}

/// The tokens around a suffix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Before it.
    pub before: Vec<u32>,
    /// Behind it, up to where the answer begins.
    pub after: Vec<u32>,
    /// With which the answer is to begin, at least one.
    pub target: Vec<u32>,
}

impl Frame {
    /// What the model reads before the target.
    pub(crate) fn context(&self, suffix: &[u32]) -> Vec<u32> {
        [&self.before[..], suffix, &self.after].concat()
    }
}

impl<'a> Slot<'a> {
    /// The slot of a goal's prompt as the target reads it, with a suffix to begin with: `word` so often that it has at most `length`
    /// tokens.
    ///
    /// # Errors
    /// [`Error::Unfit`] where no border can be drawn or the model is too short; where the prompt cannot be encoded.
    pub(crate) fn find(
        local: &'a Local<'a>,
        target: &'a Target<'a>,
        goal: &'a Goal,
        (word, length): (&str, usize),
    ) -> Result<(Self, Vec<u32>), Error> {
        let variants = local.encoder.variants(&target.seen(&goal.prompt))?.map(Arc::new);
        let (frame, anchor) = (Frame::default(), String::new());
        let empty = Slot { local, target, prompt: &goal.prompt, frame, variants, anchor };
        let without = empty.encoded("")?;
        let wanted = local.encoder.beginning(&target.seen(&goal.prompt), &goal.target)?;
        let unfit = |problem: String| Error::Unfit { goal: goal.id.clone(), problem };
        if wanted.is_empty() {
            return Err(unfit("its target has no tokens".into()));
        }
        for separator in [" ", "\n", ""] {
            let mut words = length;
            while words > 0 {
                let text = format!("{separator}{}", vec![word; words].join(" "));
                let with = empty.encoded(&text)?;
                let start = with.iter().zip(&without).take_while(|(a, b)| a == b).count();
                let behind = with[start..].iter().rev().zip(without[start..].iter().rev());
                let end = with.len() - behind.take_while(|(a, b)| a == b).count();
                let suffix = with[start..end].to_vec();
                if suffix.len() > length {
                    words = (words * length / suffix.len()).min(words - 1);
                    continue;
                }
                let (before, after) = (with[..start].to_vec(), with[end..].to_vec());
                let anchor = local.encoder.decode(anchor_of(&before));
                let frame = Frame { before, after, target: wanted.clone() };
                let slot = Slot { frame, anchor, variants: empty.variants.clone(), ..empty };
                if suffix.is_empty() || slot.text(&suffix).as_deref() != Some(&text) {
                    break;
                }
                let (tokens, limit) = (with.len() + wanted.len(), local.transformer.spec().max_positions);
                if tokens > limit {
                    return Err(unfit(format!(
                        "with suffix and target it has {tokens} tokens, and the model reads {limit}"
                    )));
                }
                return Ok((slot, suffix));
            }
        }
        Err(unfit(format!(
            "tokens of `{word}` cannot be told from those of its prompt; set another word to begin with"
        )))
    }

    /// The prompt with a suffix.
    pub(crate) fn prompt(&self, suffix: &str) -> Content {
        with_user_text(self.prompt, format!("{}{suffix}", user_text(self.prompt)))
    }

    fn encoded(&self, suffix: &str) -> Result<Vec<u32>, Error> {
        let seen = self.target.seen(&self.prompt(suffix));
        match (&self.variants, &seen) {
            (Some(variants), Content::Messages(turns)) => Ok(variants.ids(turns)?),
            _ => Ok(self.local.encoder.prompt(&seen)?),
        }
    }

    /// The text of tokens in the slot; `None` where that is no text.
    fn text(&self, suffix: &[u32]) -> Option<String> {
        let both = self.local.encoder.decode(&[anchor_of(&self.frame.before), suffix].concat());
        both.strip_prefix(&self.anchor).map(str::to_owned)
    }

    /// The text of tokens in the slot, if the whole conversation with it is encoded to just these.
    pub(crate) fn holds(&self, suffix: &[u32]) -> Option<String> {
        let text = self.text(suffix)?;
        let ids = self.encoded(&text).ok()?;
        (ids == self.frame.context(suffix)).then_some(text)
    }
}

/// The tokens before a suffix that are decoded with it.
fn anchor_of(before: &[u32]) -> &[u32] {
    &before[before.len().saturating_sub(ANCHOR)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{goal, model};
    use groma_lm::LocalOptions;

    /// Two tokens whose texts together are that of one: no text is ever encoded to them in this order.
    fn apart(local: &Local) -> [u32; 2] {
        let tokenizer = local.encoder.tokenizer;
        let count = local.transformer.spec().vocab_size as u32;
        let texts: Vec<Option<String>> = (0..count).map(|id| tokenizer.token_text(id)).collect();
        let id_of = |text: &str| texts.iter().position(|other| other.as_deref() == Some(text)).map(|id| id as u32);
        let found = texts.iter().flatten().filter(|text| text.len() > 3 && text.is_ascii()).find_map(|whole| {
            let (first, rest) = whole.split_at(whole.len() - 1);
            Some([id_of(first)?, id_of(rest)?]).filter(|_| !whole.starts_with('<'))
        });
        found.unwrap()
    }

    #[test]
    fn a_suffix_holds_if_the_whole_conversation_is_encoded_to_it() {
        let model = model();
        let local = Local::new(&model, LocalOptions::default());
        let target = Target { asked: &local, weights: Some(local.clone()), shield: None };
        let goal = goal("1", "How do I bake bread?", "Sure, mix the flour");
        let (slot, suffix) = Slot::find(&local, &target, &goal, ("x", 12)).unwrap();
        assert!((2..=12).contains(&suffix.len()), "{suffix:?}");
        let text = slot.holds(&suffix).unwrap();
        assert!(text.trim().split(' ').all(|word| word == "x"), "{text:?}");
        // What the model is asked in the end is what was searched over.
        assert_eq!(local.encoder.prompt(&slot.prompt(&text)).unwrap(), slot.frame.context(&suffix));
        assert!(local.encoder.decode(&slot.frame.target).starts_with("Sure, mix the flour"));
        // Tokens that would be merged do not come back from their text, whatever they are next to.
        let mut merged = suffix.clone();
        merged[..2].copy_from_slice(&apart(&local));
        assert_eq!(slot.holds(&merged), None);
        // Nor does a token that, behind the user's last letter or before the end of the turn, becomes a part of another.
        let control = local.encoder.stop_ids[0];
        assert_eq!(slot.holds(&[&[control], &suffix[1..]].concat()), None);
    }

    /// What is encoded by what differs is what encoding the whole conversation gives, for suffixes that hold and for others.
    #[test]
    fn the_cheap_way_gives_what_the_whole_way_gives() {
        let model = model();
        let local = Local::new(&model, LocalOptions::default());
        let target = Target { asked: &local, weights: Some(local.clone()), shield: None };
        let goal = goal("1", "How do I bake bread?", "Sure, mix the flour");
        let (slot, suffix) = Slot::find(&local, &target, &goal, ("x", 6)).unwrap();
        assert!(slot.variants.is_some());
        let vocab = local.transformer.spec().vocab_size as u64;
        let mut rng = groma_run::Seed::new(2).rng();
        let (mut held, mut texts) = (0, 0);
        for _ in 0..400 {
            let mut ids = suffix.clone();
            for id in &mut ids {
                *id = groma_data::below(&mut rng, vocab) as u32;
            }
            let Some(text) = slot.text(&ids) else { continue };
            let whole = local.encoder.prompt(&slot.prompt(&text)).unwrap();
            assert_eq!(slot.encoded(&text).unwrap(), whole, "{text:?}");
            texts += 1;
            held += usize::from(slot.holds(&ids).is_some());
        }
        assert!(held > 20 && held < texts, "{held} of {texts}");
    }

    #[test]
    fn what_does_not_fit_the_model_is_refused() {
        let model = model();
        let local = Local::new(&model, LocalOptions::default());
        let target = Target { asked: &local, weights: Some(local.clone()), shield: None };
        let long = goal("long", &"bread and milk ".repeat(300), "Sure");
        let error = Slot::find(&local, &target, &long, ("x", 12)).err().unwrap().to_string();
        assert!(error.contains("`long`") && error.contains("the model reads"), "{error}");
        let nothing = goal("none", "How?", "");
        assert!(Slot::find(&local, &target, &nothing, ("x", 12)).is_err());
    }
}

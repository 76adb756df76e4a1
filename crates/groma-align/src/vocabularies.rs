//! Which tokens of two vocabularies are the same.

use crate::encode::{Encode, Token};
use std::collections::HashMap;

/// Tokens of the policy's vocabulary and of a teacher's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vocabularies {
    /// Ids of one token in both, the policy's first, ascending by the teacher's.
    pub(crate) same: Vec<(u32, u32)>,
    /// Ids that the policy alone has.
    pub(crate) own: Vec<u32>,
    /// Ids that the teacher alone has.
    pub(crate) its: Vec<u32>,
}

impl Vocabularies {
    /// Of two tokenizers, and of as many ids as each model's distributions are over.
    pub(crate) fn of((own, own_size): (&dyn Encode, usize), (its, its_size): (&dyn Encode, usize)) -> Self {
        let tokens = |encoder: &dyn Encode, size: usize| -> Vec<Option<Token>> {
            (0..size as u32).map(|id| encoder.token(id)).collect()
        };
        let ends = own.stops().into_iter().zip(its.stops());
        Vocabularies::paired(&tokens(own, own_size), &tokens(its, its_size), ends)
    }

    /// Tokens are the same that both spell alike; of the others, those that read alike and are whole, each once; and what ends a text,
    /// whatever it is called.
    fn paired(own: &[Option<Token>], its: &[Option<Token>], ends: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut pairs = Pairs { of_its: vec![None; its.len()], taken: vec![false; own.len()] };
        pairs.join(own, its, |token| Some((Some(token.spelling.as_str()), token.text.as_str())));
        pairs.join(own, its, |token| {
            let whole = !token.text.is_empty() && !token.text.contains(char::REPLACEMENT_CHARACTER);
            whole.then_some((None, token.text.as_str()))
        });
        ends.for_each(|(a, b)| pairs.put(a, b));
        pairs.settle()
    }
}

/// Which of the policy's ids each of the teacher's is, and which of the policy's are taken.
struct Pairs {
    of_its: Vec<Option<u32>>,
    taken: Vec<bool>,
}

impl Pairs {
    /// Makes a pair of two ids of which neither is in one.
    fn put(&mut self, own: u32, its: u32) {
        let free = self.taken.get(own as usize) == Some(&false) && self.of_its.get(its as usize) == Some(&None);
        if free {
            self.of_its[its as usize] = Some(own);
            self.taken[own as usize] = true;
        }
    }

    /// Pairs ids whose tokens have one key; of several, the last: vocabularies that fall back on bytes have these first.
    fn join<'t>(
        &mut self,
        own: &'t [Option<Token>],
        its: &'t [Option<Token>],
        key: impl Fn(&'t Token) -> Option<(Option<&'t str>, &'t str)>,
    ) {
        let mut known: HashMap<(Option<&str>, &str), u32> = HashMap::new();
        for (id, token) in own.iter().enumerate().filter(|(id, _)| !self.taken[*id]) {
            if let Some(key) = token.as_ref().and_then(&key) {
                known.insert(key, id as u32);
            }
        }
        for (id, token) in its.iter().enumerate().rev() {
            if let Some(&own) = token.as_ref().and_then(&key).and_then(|key| known.get(&key)) {
                self.put(own, id as u32);
            }
        }
    }

    fn settle(self) -> Vocabularies {
        let Pairs { of_its, taken } = self;
        let free = |taken: bool, id: usize| (!taken).then_some(id as u32);
        Vocabularies {
            same: of_its.iter().enumerate().filter_map(|(id, own)| Some(((*own)?, id as u32))).collect(),
            own: taken.iter().enumerate().filter_map(|(id, &taken)| free(taken, id)).collect(),
            its: of_its.iter().enumerate().filter_map(|(id, own)| free(own.is_some(), id)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(all: &[(&str, &str)]) -> Vec<Option<Token>> {
        let token = |(spelling, text): &(&str, &str)| Token { spelling: (*spelling).into(), text: (*text).into() };
        all.iter().map(|one| Some(token(one))).collect()
    }

    #[test]
    fn tokens_are_the_same_by_spelling_then_by_text_and_ends_are() {
        let half = "\u{fffd}";
        let own =
            tokens(&[("</s>", "</s>"), ("▁the", " the"), ("a", "a"), ("<0x20>", " "), ("▁", " "), ("<0xC3>", half)]);
        let mut its = tokens(&[("a", "a"), ("Ġthe", " the"), ("Ġ", " "), ("Ã", half), ("<|end|>", "<|end|>")]);
        its.push(None);
        let found = Vocabularies::paired(&own, &its, [(0, 4)].into_iter());
        assert_eq!(found.same, [(2, 0), (1, 1), (4, 2), (0, 4)]);
        assert_eq!((found.own, found.its), (vec![3, 5], vec![3, 5]));
        // Halves of characters are the same where both spell them alike; ids without a token, and ends without a number, are no one's.
        let alone = Vocabularies::paired(&its, &its, [(9, 9)].into_iter());
        assert_eq!(alone.same, (0..5).map(|id| (id, id)).collect::<Vec<_>>());
        assert_eq!((alone.own, alone.its), (vec![5], vec![5]));
    }
}

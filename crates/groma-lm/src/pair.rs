//! A text after a text as tokens, by the conventions of lm-evaluation-harness.

/// Encodes a context and a continuation so that no token spans both: white space at the end of the context moves to the
/// continuation, the whole is encoded at once, and the continuation is what follows the context's own tokens. An empty
/// context is `prefix` alone (BOS, else EOS).
///
/// `encode` is the tokenizer with its own special tokens, as for a fresh text.
///
/// # Errors
/// Those of `encode`.
pub fn encode_pair<E>(
    context: &str,
    continuation: &str,
    prefix: u32,
    encode: impl FnMut(&str) -> Result<Vec<u32>, E>,
) -> Result<(Vec<u32>, Vec<u32>), E> {
    EncodedContext::new(context, prefix, encode)?.continued(continuation)
}

/// A context whose continuations are to be encoded, as by [`encode_pair`]; it is encoded once for all of them.
pub(crate) struct EncodedContext<'a, Encode> {
    /// The context.
    text: &'a str,
    /// Its tokens, without white space at its end.
    ids: Vec<u32>,
    prefix: u32,
    encode: Encode,
}

impl<'a, E, Encode: FnMut(&str) -> Result<Vec<u32>, E>> EncodedContext<'a, Encode> {
    pub(crate) fn new(text: &'a str, prefix: u32, mut encode: Encode) -> Result<Self, E> {
        let ids = if text.is_empty() { vec![prefix] } else { encode(text.trim_end())? };
        Ok(EncodedContext { text, ids, prefix, encode })
    }

    pub(crate) fn continued(&mut self, continuation: &str) -> Result<(Vec<u32>, Vec<u32>), E> {
        let mut whole = (self.encode)(&[self.text, continuation].concat())?;
        if self.text.is_empty() {
            let start = usize::from(whole.first() == Some(&self.prefix));
            return Ok((self.ids.clone(), whole.split_off(start)));
        }
        let after = whole.split_off(self.ids.len().min(whole.len()));
        // A context of white space alone, with a tokenizer that adds nothing, leaves no token to predict from.
        Ok((if self.ids.is_empty() { vec![self.prefix] } else { self.ids.clone() }, after))
    }
}

/// Cuts a context on the left so that context and continuation fit into a model of `limit` positions; the last token is
/// predicted and never read, so `limit + 1` tokens fit. `false` where the continuation alone does not fit.
pub fn cut_to_fit(context: &mut Vec<u32>, continuation: &[u32], limit: usize) -> bool {
    let excess = (context.len() + continuation.len()).saturating_sub(limit + 1);
    let fits = excess < context.len();
    if fits {
        context.drain(..excess);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// BOS, then one token a word with its leading space, as many tokenizers have it.
    fn encode(text: &str) -> Result<Vec<u32>, Infallible> {
        let spaced = text.replace(' ', "| ");
        let words = spaced.split('|').filter(|word| !word.is_empty());
        Ok(std::iter::once(1).chain(words.map(|word| word.bytes().map(u32::from).sum::<u32>())).collect())
    }

    #[test]
    fn white_space_moves_and_nothing_is_lost() {
        let (context, continuation) = encode_pair("a b ", "c", 1, encode).unwrap();
        assert_eq!([context.clone(), continuation].concat(), encode("a b c").unwrap());
        assert_eq!(context, encode("a b").unwrap());
    }

    #[test]
    fn an_empty_context_is_the_prefix_once() {
        assert_eq!(encode_pair("", "a", 1, encode).unwrap(), (vec![1], vec![97]));
        assert_eq!(encode_pair("", "a", 7, |_| encode("a")).unwrap(), (vec![7], vec![1, 97]));
    }

    #[test]
    fn long_contexts_lose_their_beginning() {
        let mut context = vec![1, 2, 3, 4];
        assert!(cut_to_fit(&mut context, &[5, 6], 4));
        assert_eq!(context, [2, 3, 4]);
        assert!(cut_to_fit(&mut context, &[5, 6], 2));
        assert_eq!(context, [4]);
        assert!(!cut_to_fit(&mut context, &[5, 6], 1));
    }
}

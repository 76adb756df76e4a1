//! The log-probabilities of a prompt's own tokens.

use std::collections::BTreeMap;

use groma_model::score::ContinuationScore;
use serde::Deserialize;

use super::answer::{Used, is_logp, no_logprobs, not_json, unusable};
use crate::{Failure, Usage};

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Echoed>,
    #[serde(default)]
    usage: Option<Used>,
}

#[derive(Deserialize)]
struct Echoed {
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Option<Vec<Option<BTreeMap<String, f32>>>>,
    text_offset: Option<Vec<usize>>,
}

/// The tokens of a prompt, perhaps with some that were made behind it.
#[derive(Debug)]
pub(super) struct Echo {
    /// The text of each.
    tokens: Vec<String>,
    /// Its log-probability; the first has none.
    logps: Vec<Option<f32>>,
    /// Whether it was the most likely one.
    greedy: Vec<bool>,
    /// Where in the text each begins, in characters.
    offsets: Option<Vec<usize>>,
    pub(super) usage: Usage,
}

/// Reads an answer to [`super::question::score`].
pub(super) fn read(bytes: &[u8]) -> Result<Echo, Failure> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(not_json)?;
    let [Echoed { logprobs }] = <[Echoed; 1]>::try_from(answer.choices)
        .map_err(|choices| unusable(format!("{} instead of 1", groma_run::counted(choices.len(), "choice"))))?;
    let Logprobs { tokens, token_logprobs: logps, top_logprobs, text_offset: offsets } =
        logprobs.ok_or_else(no_logprobs)?;
    let top = top_logprobs.ok_or_else(no_logprobs)?;
    let lengths = [logps.len(), top.len(), offsets.as_ref().map_or(tokens.len(), Vec::len)];
    if lengths.iter().any(|length| *length != tokens.len()) {
        return Err(unusable("there are not as many log-probabilities as tokens"));
    }
    let likeliest =
        |top: &Option<BTreeMap<String, f32>>| top.iter().flat_map(BTreeMap::values).copied().reduce(f32::max);
    let is_greedy = |(logp, top): (&Option<f32>, &Option<BTreeMap<_, _>>)| match (logp, likeliest(top)) {
        (Some(logp), Some(most)) => *logp >= most,
        _ => false,
    };
    let greedy = logps.iter().zip(&top).map(is_greedy).collect();
    Ok(Echo { tokens, logps, greedy, offsets, usage: answer.usage.unwrap_or_default().into() })
}

impl Echo {
    /// The score of `count` tokens from `start` on.
    pub(super) fn score(&self, start: usize, count: usize) -> Result<ContinuationScore, Failure> {
        let too_few = || unusable("it has fewer tokens than the prompt");
        let logps = self.logps.get(start..start + count).ok_or_else(too_few)?;
        let number = |logp: &Option<f32>| {
            logp.filter(|logp| is_logp(*logp)).ok_or_else(|| unusable("a token has no log-probability"))
        };
        let logps = logps.iter().map(number).collect::<Result<Vec<f32>, Failure>>()?;
        let is_greedy = self.greedy[start..start + count].iter().all(|greedy| *greedy);
        Ok(ContinuationScore { logps, is_greedy, ..ContinuationScore::default() })
    }

    /// Where the tokens of `text` behind its byte `border` begin, and how many there are; one that covers the border is
    /// behind it. `None` where tokens and text do not fit.
    pub(super) fn behind(&self, text: &str, border: usize) -> Option<(usize, usize)> {
        let starts = self.starts(text)?;
        let end = |token: usize| starts.get(token + 1).copied().unwrap_or(text.len());
        let first = (0..starts.len()).find(|&token| end(token) > border)?;
        // The very first token follows nothing.
        (first > 0).then_some((first, starts.len() - first))
    }

    /// The byte at which each token of `text` begins, without what was made behind it. An added token at the beginning has
    /// no bytes.
    fn starts(&self, text: &str) -> Option<Vec<usize>> {
        let by_texts = (0..=1).find_map(|added| self.starts_by_texts(text, added));
        by_texts.or_else(|| self.starts_by_offsets(text))
    }

    fn starts_by_texts(&self, text: &str, added: usize) -> Option<Vec<usize>> {
        let (mut starts, mut at) = (vec![0; added], 0);
        for token in self.tokens.get(added..)? {
            if at == text.len() {
                break;
            }
            starts.push(at);
            at += text[at..].starts_with(token.as_str()).then_some(token.len())?;
        }
        (at == text.len()).then_some(starts)
    }

    fn starts_by_offsets(&self, text: &str) -> Option<Vec<usize>> {
        let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).collect();
        let offsets = self.offsets.as_ref()?;
        // Where the server does not tell how many tokens the prompt has, those are meant that begin inside it.
        let within = match self.usage.prompt_tokens as usize {
            0 => offsets.iter().map_while(|&offset| bytes.get(offset).copied()).collect::<Vec<_>>(),
            count => offsets.get(..count)?.iter().map(|&at| bytes.get(at).copied().unwrap_or(text.len())).collect(),
        };
        (within.is_sorted() && within.first() == Some(&0)).then_some(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn echo(tokens: &[&str], offsets: Option<&[usize]>) -> Echo {
        let logps: Vec<Option<f32>> = (0..tokens.len()).map(|at| (at > 0).then_some(-(at as f32))).collect();
        let top: Vec<_> = logps.iter().map(|logp| logp.map(|logp| json!({"a": -2.0, "b": logp}))).collect();
        let logprobs = json!({"tokens": tokens, "token_logprobs": logps, "top_logprobs": top, "text_offset": offsets});
        read(json!({"choices": [{"logprobs": logprobs}]}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_continuation_is_found_by_texts_or_offsets() {
        let text = "Müde war sie";
        for found in [
            echo(&["<s>", "Müde", " war", " sie", " und"], None),
            echo(&["<s>", "▁Müde", "▁war", "▁sie", "."], Some(&[0, 0, 4, 8, 12])),
        ] {
            let border = "Müde war".len();
            assert_eq!(found.behind(text, border), Some((3, 1)), "{found:?}");
            assert_eq!(found.behind(text, border - 1), Some((2, 2)));
        }
        let score = echo(&["a", "b", "c", "d"], None).score(1, 2).unwrap();
        assert_eq!((score.logps, score.is_greedy), (vec![-1.0, -2.0], true));
        assert!(!echo(&["a", "b", "c", "d"], None).score(2, 2).unwrap().is_greedy);
    }

    #[test]
    fn what_does_not_fit_is_not_guessed() {
        assert_eq!(echo(&["x", "y"], None).behind("ab", 1), None);
        assert_eq!(echo(&["x", "y"], Some(&[1, 0])).behind("ab", 1), None);
        // The first token has no score.
        assert_eq!(echo(&["a", "b"], None).behind("ab", 0), None);
        assert!(echo(&["a", "b"], None).score(1, 2).is_err());
        assert!(echo(&["a", "b"], None).score(0, 1).is_err());
    }
}

//! How well a text is predicted, window by window.

use super::questions::no_rows;
use super::scorer::{Scorer, Tools};
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::scores::{Scores, scores};
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;
use groma_stats::formulas::{EXP_RATIO, RATIO};

/// Rolling windows, as lm-evaluation-harness measures wikitext.
pub(crate) static SCORER: Scorer = Scorer {
    id: "windows",
    mode: "rolling windows, disjoint targets",
    kind: Kind::Rolling,
    needs: &[],
    reads: &[],
    item: no_rows,
    judge: None,
    score: score_windows,
    metrics: &[
        Metric::mean("word_perplexity", "exp(-log-likelihood / words)", Unit::Plain)
            .of(&["nats", "words"], &EXP_RATIO)
            .lower_is_better(),
        Metric::mean("bits_per_byte", "-log2-likelihood / UTF-8 bytes", Unit::Bits)
            .of(&["bits", "bytes"], &RATIO)
            .lower_is_better(),
        Metric::mean("byte_perplexity", "exp(-log-likelihood / UTF-8 bytes)", Unit::Plain)
            .of(&["nats", "bytes"], &EXP_RATIO)
            .lower_is_better(),
        Metric::mean(
            "token_perplexity",
            "exp(-log-likelihood / tokens); compares only models of one tokenizer",
            Unit::Plain,
        )
        .of(&["nats", "tokens"], &EXP_RATIO)
        .lower_is_better(),
    ],
};

/// One set of scores a window. Bytes and words are counted on the text and dealt to its windows in proportion to their
/// tokens, so that their sums, which make the metrics, are exact.
fn score_windows(item: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let (Key::Text { bytes, words }, [answer]) = (&item.key, answers) else { return Err(Failure::WrongKind) };
    let scored = answer.scored()?;
    if scored.logps.is_empty() {
        return Err(Failure::NothingToScore);
    }
    let window = |(logp, tokens): (f64, usize)| {
        let share = tokens as f64 / scored.logps.len() as f64;
        scores([
            ("nats", -logp),
            ("bits", -logp / std::f64::consts::LN_2),
            ("tokens", tokens as f64),
            ("bytes", *bytes as f64 * share),
            ("words", *words as f64 * share),
        ])
    };
    Ok(scored.window_sums().map(window).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{likelihood, scored};
    use super::*;
    use groma_lm::Scored;

    #[test]
    fn sums_are_exact_whatever_the_windows() {
        let item = Item { key: Key::Text { bytes: 70, words: 14 }, ..Item::default() };
        let logps = [likelihood(-8.0, 5).logps, likelihood(-3.0, 2).logps].concat();
        let windows = Scored { logps, windows: vec![5, 2], ..Scored::default() };
        let parts = scored(&SCORER, &item, &[Answer::Scored(windows)]).unwrap();
        let sum = |name: &str| parts.iter().map(|part| part[name]).sum::<f64>();
        assert_eq!((sum("nats"), sum("bytes"), sum("words"), sum("tokens")), (11.0, 70.0, 14.0, 7.0));
        let broken = scored(&SCORER, &item, &[Answer::Scored(likelihood(f64::NEG_INFINITY, 5))]);
        assert_eq!(broken, Err(Failure::NotFinite));
        assert_eq!(scored(&SCORER, &item, &[Answer::Scored(Scored::default())]), Err(Failure::NothingToScore));
    }
}

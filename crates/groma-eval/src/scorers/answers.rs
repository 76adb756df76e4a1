//! What scorers read of answers alike.

use groma_lm::{Answer, Failure};

/// The log-likelihood of each continuation.
pub(super) fn log_likelihoods(answers: &[Answer]) -> Result<Vec<f64>, Failure> {
    answers.iter().map(|answer| Ok(answer.scored()?.sum())).collect()
}

/// The only answer, which is a text.
pub(super) fn only_text(answers: &[Answer]) -> Result<&str, Failure> {
    match answers {
        [answer] => Ok(answer.reply()?.text()),
        _ => Err(Failure::WrongKind),
    }
}

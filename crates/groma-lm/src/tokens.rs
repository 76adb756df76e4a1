//! What is to be scored, as tokens.

use groma_model::score::{ContinuationScore, ScoreRequest};
use groma_model::tokenizer::Specials;
use rayon::prelude::*;

use crate::pair::EncodedContext;
use crate::{Continuation, Cost, Encoder, Failure, Kind, Scored, cut_to_fit, rolling_windows};

/// The length of a model that reads anything.
pub(crate) const NO_LIMIT: usize = usize::MAX - 1;

/// The windows of one [`Continuation`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Windows {
    /// One, except for a whole text.
    pub(crate) requests: Vec<ScoreRequest>,
    /// Whether the context was cut on the left to fit.
    pub(crate) was_cut: bool,
}

/// What must be scored for each of `wanted` by a model that reads `limit` tokens. Texts may be long, and are encoded in
/// parallel.
pub(crate) fn windows(encoder: &Encoder<'_>, wanted: &[Continuation], limit: usize) -> Vec<Result<Windows, Failure>> {
    let of_one_context: Vec<&[Continuation]> = wanted.chunk_by(Continuation::shares_context).collect();
    of_one_context.par_iter().flat_map_iter(|run| of_run(encoder, run, limit)).collect()
}

/// The same for continuations of one context.
fn of_run(encoder: &Encoder<'_>, run: &[Continuation], limit: usize) -> Vec<Result<Windows, Failure>> {
    let encode = |text: &str| encoder.tokenizer.encode(text, Specials::AsConfigured).map_err(Failure::prompt);
    let Some(Continuation::After { context, .. }) = run.first() else {
        return run.iter().map(|wanted| of_one(encoder, wanted, limit)).collect();
    };
    let mut context = prefix(encoder).and_then(|prefix| EncodedContext::new(context, prefix, encode));
    let encoded = |wanted: &Continuation| match (wanted, &mut context) {
        (Continuation::After { continuation, .. }, Ok(context)) => fitted(context.continued(continuation)?, limit),
        (_, Err(failure)) => Err(failure.clone()),
        (other, _) => of_one(encoder, other, limit),
    };
    run.iter().map(encoded).collect()
}

/// One of the other kinds.
fn of_one(encoder: &Encoder<'_>, wanted: &Continuation, limit: usize) -> Result<Windows, Failure> {
    match wanted {
        Continuation::Reply { prompt, reply } => {
            if prompt.is_conversational() != reply.is_conversational() {
                let reason = "prompt and reply are not of the same form".to_owned();
                return Err(Failure::Prompt { reason });
            }
            let encoded = encoder.reply(prompt, reply).map_err(Failure::prompt)?;
            fitted((encoded.prompt, encoded.completion), limit)
        }
        Continuation::Whole { text } => {
            let ids = encoder.tokenizer.encode(text, Specials::None).map_err(Failure::prompt)?;
            let windows = rolling_windows(&ids, prefix(encoder)?, limit).into_iter();
            let requests: Vec<ScoreRequest> =
                windows.map(|window| ScoreRequest { context: window.context, continuation: window.targets }).collect();
            if requests.is_empty() { Err(Failure::NothingToScore) } else { Ok(Windows { requests, was_cut: false }) }
        }
        Continuation::After { .. } => Err(Failure::WrongKind),
    }
}

/// A context and a continuation, the context cut so that the model can read both.
fn fitted((mut context, continuation): (Vec<u32>, Vec<u32>), limit: usize) -> Result<Windows, Failure> {
    if continuation.is_empty() || context.is_empty() {
        return Err(Failure::NothingToScore);
    }
    let before = context.len();
    if !cut_to_fit(&mut context, &continuation, limit) {
        return Err(Failure::TooLong { tokens: continuation.len(), limit });
    }
    let was_cut = context.len() < before;
    Ok(Windows { requests: vec![ScoreRequest { context, continuation }], was_cut })
}

/// BOS, else EOS: what an empty context is.
fn prefix(encoder: &Encoder<'_>) -> Result<u32, Failure> {
    let none = || Failure::Prompt { reason: "the tokenizer has neither a BOS nor an EOS".to_owned() };
    encoder.tokenizer.bos().or(encoder.tokenizer.eos()).ok_or_else(none)
}

/// One continuation whose windows are on their way.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Its place among what is wanted.
    pub(crate) index: usize,
    /// What came of each window.
    windows: Vec<Option<Result<ContinuationScore, Failure>>>,
    was_cut: bool,
    /// What those took that came.
    cost: Cost,
}

impl Pending {
    pub(crate) fn new(index: usize, windows: usize, was_cut: bool) -> Self {
        Pending { index, windows: vec![None; windows], was_cut, cost: Cost::default() }
    }

    /// Whether windows are missing.
    pub(crate) fn is_open(&self) -> bool {
        self.windows.iter().any(Option::is_none)
    }

    /// Takes what came of a window; gives the score of the whole with the last one, or the first failure.
    pub(crate) fn put(
        &mut self,
        window: usize,
        score: Result<ContinuationScore, Failure>,
        cost: Cost,
    ) -> Option<(Result<Scored, Failure>, Cost)> {
        self.windows[window] = Some(score);
        self.cost.usage += cost.usage;
        self.cost.seconds = self.cost.seconds.max(cost.seconds);
        (!self.is_open()).then(|| (self.scored(), self.cost))
    }

    fn scored(&mut self) -> Result<Scored, Failure> {
        let windows = std::mem::take(&mut self.windows).into_iter().flatten();
        let windows: Vec<ContinuationScore> = windows.collect::<Result<_, _>>()?;
        Ok(Scored {
            windows: windows.iter().map(|window| window.logps.len()).collect(),
            is_greedy: windows.iter().all(|window| window.is_greedy),
            was_cut: self.was_cut,
            logps: windows.into_iter().flat_map(|window| window.logps).collect(),
            reward: None,
        })
    }
}

/// How continuations are put as tokens, for results.
pub(crate) fn mode(encoder: &Encoder<'_>, kind: Kind, limit: usize) -> String {
    let prefix = match (encoder.tokenizer.bos(), encoder.tokenizer.eos()) {
        (Some(_), _) => "BOS",
        (None, Some(_)) => "EOS",
        (None, None) => "no prefix",
    };
    match kind {
        Kind::Continuation => {
            "raw text, special tokens as the tokenizer adds them, over-long contexts cut on the left".to_owned()
        }
        Kind::Rolling if limit == NO_LIMIT => format!("one {prefix} before the text, one window"),
        Kind::Rolling => format!("one {prefix} before the text, windows of {limit} tokens"),
        Kind::Reply => format!("template {}, end of turn scored", encoder.chat.name),
        Kind::Generate => format!("template {}", encoder.chat.name),
    }
}

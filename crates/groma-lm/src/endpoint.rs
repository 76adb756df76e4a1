//! A model behind an OpenAI-compatible server.
//!
//! Messages go to `chat/completions`, texts and what is to be scored to `completions`, the latter with `echo` and `logprobs`.
//! With an [`Encoder`] the server is given token ids, and scores are those that the same weights would have here; without
//! one it is given texts, and continuations are found in the echoed tokens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use groma_model::score::ContinuationScore;
use groma_run::Cancel;
use serde_json::Value;

use crate::tokens::{self, Pending, Windows};
use crate::{Ask, Continuation, Cost, Encoder, Failure, Kind, LanguageModel, Reply, Scored, Sink, Usage};

mod address;
mod answer;
mod echo;
mod options;
mod pace;
mod question;
mod reward_server;
mod transport;

pub use address::{Address, AddressError, Api};
pub use options::EndpointOptions;
pub use reward_server::{Rated, RewardServer};
pub use transport::Spent;

use transport::{Transport, Trouble};
use ureq::Body;
use ureq::http::Response;

/// A model of a server.
#[derive(Debug)]
pub struct Endpoint<'a> {
    address: Address,
    encoder: Option<Encoder<'a>>,
    limit: usize,
    concurrency: usize,
    transport: Transport,
}

impl<'a> Endpoint<'a> {
    /// A model by its address; nothing is asked yet. `encoder` is the model's own tokenizer, where it is at hand.
    pub fn new(address: Address, encoder: Option<Encoder<'a>>, options: EndpointOptions) -> Self {
        let limit = options.max_length.unwrap_or(tokens::NO_LIMIT);
        let concurrency = options.concurrency.max(1);
        Endpoint { transport: Transport::new(&address, options), address, encoder, limit, concurrency }
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        self.transport.spent()
    }

    fn reply(&self, ask: &Ask, cancel: &Cancel) -> (Result<Reply, Failure>, Cost) {
        self.priced(|| {
            let (path, body) = question::generate(&self.address, ask)?;
            let reply = self.transport.post(path, &body, cancel, |bytes| answer::reply(bytes, ask))?;
            let usage = reply.usage;
            Ok((self.scrubbed(reply), usage))
        })
    }

    /// Does something, and says what it took.
    fn priced<T>(&self, work: impl FnOnce() -> Result<(T, Usage), Failure>) -> (Result<T, Failure>, Cost) {
        let started = self.transport.elapsed();
        let (answer, usage) = match work() {
            Ok((answer, usage)) => (Ok(answer), usage),
            Err(failure) => (Err(failure), Usage::default()),
        };
        self.transport.spend(usage);
        (answer, Cost { usage, seconds: (self.transport.elapsed() - started).as_secs_f64() })
    }

    /// A reply that comes piece by piece.
    fn pieces(&self, response: Response<Body>, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<Reply, Trouble> {
        let (mut said, mut done) = (answer::Streamed::default(), 0);
        let mut tell = |text: &str, certain: usize| {
            if certain > done {
                piece(&self.transport.scrub(&text[done..certain]));
                done = certain;
            }
        };
        let ended = self.transport.lines(response, cancel, &mut |line| {
            let goes_on = said.take(line)?;
            tell(&said.text, self.transport.certain(&said.text));
            Ok(goes_on)
        });
        let reply = ended.and_then(|()| {
            tell(&said.text, said.text.len());
            said.reply()
        });
        reply.map(|reply| self.scrubbed(reply)).map_err(|failure| Trouble::amid(failure, done > 0))
    }

    /// A server that repeats the key is not listened to in that.
    fn scrubbed(&self, mut reply: Reply) -> Reply {
        reply.choices.iter_mut().for_each(|choice| choice.text = self.transport.scrub(&choice.text));
        reply
    }

    /// The score of a run of a prompt's own tokens. What cannot be scored of an answer is asked for again.
    fn echo(
        &self,
        prompt: &Value,
        cancel: &Cancel,
        score: impl Fn(&echo::Echo) -> Result<ContinuationScore, Failure>,
    ) -> (Result<ContinuationScore, Failure>, Cost) {
        self.priced(|| {
            let body = question::score(&self.address, prompt)?;
            let read = |bytes: &[u8]| echo::read(bytes).and_then(|echo| Ok((score(&echo)?, echo.usage)));
            self.transport.post("completions", &body, cancel, read)
        })
    }

    fn score_ids(&self, encoder: &Encoder<'_>, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        let (mut pending, mut jobs) = (Vec::new(), Vec::new());
        for (index, encoded) in tokens::windows(encoder, wanted, self.limit).into_iter().enumerate() {
            match encoded {
                Ok(Windows { requests, was_cut }) => {
                    let place = pending.len();
                    pending.push(Mutex::new(Pending::new(index, requests.len(), was_cut)));
                    jobs.extend(requests.into_iter().enumerate().map(|(window, request)| (place, window, request)));
                }
                Err(failure) => sink(index, Err(failure), Cost::default()),
            }
        }
        each(self.concurrency, &jobs, cancel, |(place, window, request)| {
            let ids: Vec<u32> = [&request.context[..], &request.continuation].concat();
            let (start, count) = (request.context.len(), request.continuation.len());
            let (score, cost) = self.echo(&Value::from(ids), cancel, |echo| echo.score(start, count));
            let mut pending = pending[*place].lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((scored, cost)) = pending.put(*window, score, cost) {
                sink(pending.index, scored, cost);
            }
        });
    }

    fn score_text(&self, wanted: &Continuation, cancel: &Cancel) -> (Result<Scored, Failure>, Cost) {
        let failed = |failure| (Err(failure), Cost::default());
        let Continuation::After { context, continuation } = wanted else { return failed(needs_tokenizer()) };
        if continuation.is_empty() {
            return failed(Failure::NothingToScore);
        }
        let text = [context, continuation.as_str()].concat();
        let border = context.trim_end().len();
        let (score, cost) = self.echo(&Value::from(text.as_str()), cancel, |echo| {
            let (start, count) = echo.behind(&text, border).ok_or_else(needs_tokenizer)?;
            echo.score(start, count)
        });
        let scored = |ContinuationScore { logps, is_greedy, .. }| Scored {
            windows: vec![logps.len()],
            logps,
            is_greedy,
            ..Scored::default()
        };
        (score.map(scored), cost)
    }
}

/// Puts jobs from several threads.
fn each<J: Sync>(threads: usize, jobs: &[J], cancel: &Cancel, put: impl Fn(&J) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while !cancel.is_requested()
            && let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
        {
            put(job);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
}

fn needs_tokenizer() -> Failure {
    let reason = "without the model's tokenizer (--tokenizer) this cannot be scored on a server".to_owned();
    Failure::Refused { reason }
}

impl LanguageModel for Endpoint<'_> {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        let jobs: Vec<(usize, &Ask)> = asks.iter().enumerate().collect();
        each(self.concurrency, &jobs, cancel, |(index, ask)| {
            let (reply, cost) = self.reply(ask, cancel);
            sink(*index, reply, cost);
        });
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        if let Some(encoder) = &self.encoder {
            return self.score_ids(encoder, wanted, cancel, sink);
        }
        let jobs: Vec<(usize, &Continuation)> = wanted.iter().enumerate().collect();
        each(self.concurrency, &jobs, cancel, |(index, wanted)| {
            let (scored, cost) = self.score_text(wanted, cancel);
            sink(*index, scored, cost);
        });
    }

    fn stream(&self, ask: &Ask, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<Reply, Failure> {
        let (path, body) = question::streamed(&self.address, ask)?;
        let mut read = |response| {
            if Transport::is_stream(&response) {
                return self.pieces(response, cancel, piece);
            }
            let reply = self.scrubbed(answer::reply(&self.transport.whole(response, cancel)?, ask)?);
            piece(reply.text());
            Ok(reply)
        };
        let (reply, _) = self.priced(|| {
            let reply = self.transport.exchange(path, &body, cancel, &mut read)?;
            let usage = reply.usage;
            Ok((reply, usage))
        });
        reply
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn mode(&self, kind: Kind) -> String {
        match (&self.encoder, kind) {
            (_, Kind::Generate) => "the server's own template".to_owned(),
            (Some(encoder), _) => tokens::mode(encoder, kind, self.limit),
            (None, _) => "raw text, special tokens as the server adds them".to_owned(),
        }
    }
}

//! A model that answers as it is told, for tests of whoever asks.

use groma_run::Cancel;

use crate::{Ask, Choice, Continuation, Cost, Failure, Finish, Kind, LanguageModel, Reply, Scored, Sink, Usage};

type Answer<Q, A> = Box<dyn Fn(&Q) -> Result<A, Failure> + Sync>;

/// A model of two functions.
pub struct Scripted {
    reply: Answer<Ask, Reply>,
    scored: Answer<Continuation, Scored>,
}

impl Scripted {
    /// Replies and scores by functions.
    pub fn new(
        reply: impl Fn(&Ask) -> Result<Reply, Failure> + Sync + 'static,
        scored: impl Fn(&Continuation) -> Result<Scored, Failure> + Sync + 'static,
    ) -> Self {
        Scripted { reply: Box::new(reply), scored: Box::new(scored) }
    }

    /// Replies with a text, the same for all samples, and scores nothing.
    pub fn saying(text: impl Fn(&Ask) -> String + Sync + 'static) -> Self {
        let reply = move |ask: &Ask| {
            let choice = Choice { text: text(ask), ids: Vec::new(), logps: Vec::new(), finish: Finish::Stop };
            Ok(Reply { choices: vec![choice; ask.sampling.samples], ..Reply::default() })
        };
        Self::new(reply, |_| Err(Failure::NothingToScore))
    }
}

impl LanguageModel for Scripted {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        let going = asks.iter().enumerate().take_while(|_| !cancel.is_requested());
        going.for_each(|(index, ask)| {
            let reply = (self.reply)(ask);
            let usage = reply.as_ref().map_or(Usage::default(), |reply| reply.usage);
            sink(index, reply, Cost { usage, seconds: 0.0 });
        });
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        let going = wanted.iter().enumerate().take_while(|_| !cancel.is_requested());
        going.for_each(|(index, wanted)| sink(index, (self.scored)(wanted), Cost::default()));
    }

    fn mode(&self, _: Kind) -> String {
        "scripted".to_owned()
    }
}

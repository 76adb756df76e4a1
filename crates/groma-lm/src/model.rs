//! A model, whatever it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use groma_run::{Advance, Cancel, Progress, Silent};

use serde::{Deserialize, Serialize};

use crate::{Ask, Continuation, Failure, Kind, Reply, Scored, Usage};

/// Is given each answer once, as it comes, with the index of what was asked and what it took; from any thread.
pub type Sink<'a, T> = dyn Fn(usize, Result<T, Failure>, Cost) + Sync + 'a;

/// What an answer, or the attempt at one, took. Nothing, where it was known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Tokens that were read and made, as far as is known.
    pub usage: Usage,
    /// Seconds from when it was put to when it was answered, waits and repetitions included; of a text in several windows
    /// those of the slowest.
    pub seconds: f64,
}

/// Who is told, and who may stop the work.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Is told how many answers are there.
    pub progress: &'a dyn Progress,
    /// May ask to stop.
    pub cancel: &'a Cancel,
}

/// A model that can be asked.
///
/// An answer is a function of the model and of its own question; the order of questions and what else is asked must not
/// matter. Those who implement a model write the two methods that hand out answers as they come, so that a wrapper can keep
/// each at once; those who ask call [`LanguageModel::generate`] and [`LanguageModel::score`].
pub trait LanguageModel: Sync {
    /// Hands the reply to each ask, or why there is none, to `sink`, in any order. What is left when `cancel` asks to stop is
    /// left out.
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>);

    /// The same for scores.
    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>);

    /// How this model is asked, for results: prefix token, template.
    fn mode(&self, kind: Kind) -> String;

    /// Why this model cannot be asked anything of a kind, whatever it is; `None` where it can.
    fn refuses(&self, _kind: Kind) -> Option<Failure> {
        None
    }

    /// Whether its answers are computed elsewhere, so that they are waited for while something else is done here.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// The reply to one ask, of which pieces are handed out as they are made, or all of it at once by a model that makes no
    /// pieces.
    ///
    /// # Errors
    /// Why there is no reply. Pieces may have been handed out before.
    fn stream(&self, ask: &Ask, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<Reply, Failure> {
        let control = Control { progress: &Silent, cancel };
        let reply = self.generate(std::slice::from_ref(ask), control).pop().unwrap_or(Err(Failure::Interrupted))?;
        piece(reply.text());
        Ok(reply)
    }

    /// Replies to `asks`, in their order.
    fn generate(&self, asks: &[Ask], control: Control<'_>) -> Vec<Result<Reply, Failure>> {
        collect(asks.len(), control, |sink| self.generate_each(asks, control.cancel, sink))
    }

    /// Scores of `wanted`, in their order.
    fn score(&self, wanted: &[Continuation], control: Control<'_>) -> Vec<Result<Scored, Failure>> {
        collect(wanted.len(), control, |sink| self.score_each(wanted, control.cancel, sink))
    }
}

/// What comes out of a sink, in order; what never came is a failure.
fn collect<T: Send>(count: usize, control: Control<'_>, ask: impl FnOnce(&Sink<'_, T>)) -> Vec<Result<T, Failure>> {
    let _listening = control.cancel.listening();
    let done = AtomicU64::new(0);
    let (sender, receiver) = channel();
    ask(&|index, answer, _| {
        // The receiver outlives the asking.
        let _ = sender.send((index, answer));
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        control.progress.advance(&Advance { done, ..Advance::default() });
    });
    drop(sender);
    let mut answers: Vec<Result<T, Failure>> = (0..count).map(|_| Err(Failure::Interrupted)).collect();
    receiver.into_iter().for_each(|(index, answer): (usize, _)| answers[index] = answer);
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_came_is_a_failure_in_its_place() {
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        let answers = collect(3, control, |sink| {
            sink(2, Ok('c'), Cost::default());
            sink(0, Ok('a'), Cost::default());
        });
        assert_eq!(answers, [Ok('a'), Err(Failure::Interrupted), Ok('c')]);
    }
}

//! What others elsewhere are asked of completions while sampling goes on.
//!
//! A judge on a server is waited for, and this process has nothing to do meanwhile: each completion is put to it as soon as it has
//! ended, from a thread that does nothing else. An answer is a function of its question, so that nothing depends on when it came.

use crate::Error;
use crate::rewards::{Remote, Rollout};
use groma_lm::{Control, Failure, LanguageModel, Reply};
use groma_run::{Cancel, Silent};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A completion that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) prompt: usize,
    /// Among the completions of its prompt.
    pub(crate) sample: usize,
    pub(crate) text: String,
    /// Its tokens, the one that ends it included.
    pub(crate) tokens: usize,
}

/// What one of those who were asked said of each completion, in the order of prompts and completions.
pub(crate) type Replies = Vec<Result<Reply, Failure>>;

/// How long work took, what those said who were asked, and how long they were waited for after it.
pub(crate) struct Done {
    pub(crate) took: Duration,
    pub(crate) said: Vec<Replies>,
    pub(crate) waited: Duration,
}

/// Does work that tells of completions of prompts, of which `columns` are known, and meanwhile asks `whom` of each.
///
/// # Errors
/// Those of the work, then those of what cannot be asked.
pub(crate) fn asking(
    whom: &[(&dyn LanguageModel, &dyn Remote)],
    columns: &[&Map<String, Value>],
    cancel: &Cancel,
    work: impl FnOnce(&mut dyn FnMut(&Ended)) -> Result<(), Error>,
) -> Result<Done, Error> {
    let started = Instant::now();
    let enough = cancel.part();
    thread::scope(|scope| {
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for &asked in whom {
            let ((sender, ended), enough) = (channel(), &enough);
            senders.push(sender);
            threads.push(scope.spawn(move || ask_each(asked, &ended, columns, enough)));
        }
        // Whoever is asked no longer has failed, which is told below.
        let worked = work(&mut |ended| senders.iter().for_each(|sender| drop(sender.send(ended.clone()))));
        drop(senders);
        if worked.is_err() {
            enough.request();
        }
        let took = started.elapsed();
        let said =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let said: Vec<Result<Replies, Error>> = said.collect();
        worked?;
        let said = said.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Done { took, said, waited: started.elapsed().saturating_sub(took) })
    })
}

/// Asks one of them: of all that has ended while the last questions were answered.
fn ask_each(
    (model, remote): (&dyn LanguageModel, &dyn Remote),
    ended: &Receiver<Ended>,
    columns: &[&Map<String, Value>],
    cancel: &Cancel,
) -> Result<Replies, Error> {
    let mut said = BTreeMap::new();
    while let Ok(first) = ended.recv() {
        let those: Vec<Ended> = std::iter::once(first).chain(ended.try_iter()).collect();
        let ask = |one: &Ended| {
            let columns = columns[one.prompt];
            remote.ask(&Rollout { columns, completion: &one.text, tokens: one.tokens })
        };
        let asks = those.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
        let replies = model.generate(&asks, Control { progress: &Silent, cancel });
        said.extend(those.iter().map(|one| (one.prompt, one.sample)).zip(replies));
    }
    Ok(said.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::Content;
    use groma_lm::{Ask, Choice, Continuation, Cost, Failure, Finish, Kind, Reply, Scored, Sink};
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    /// Says again what it is asked, but for what begins with `?`, and tells when it has.
    struct Echo(Mutex<Sender<()>>);

    impl LanguageModel for Echo {
        fn generate_each(&self, asks: &[Ask], _: &Cancel, sink: &Sink<'_, Reply>) {
            for (index, ask) in asks.iter().enumerate() {
                let text = ask.prompt.plain();
                let choice = Choice { text, ids: Vec::new(), logps: Vec::new(), finish: Finish::Stop };
                let reply = Reply { choices: vec![choice], ..Reply::default() };
                let refused = reply.text().starts_with('?');
                sink(index, if refused { Err(Failure::NothingToScore) } else { Ok(reply) }, Cost::default());
                self.0.lock().unwrap().send(()).unwrap();
            }
        }

        fn score_each(&self, _: &[Continuation], _: &Cancel, _: &Sink<'_, Scored>) {}

        fn mode(&self, _: Kind) -> String {
            String::new()
        }
    }

    /// The length of what is said of column and completion.
    struct Length;

    impl Remote for Length {
        fn ask(&self, rollout: &Rollout<'_>) -> Result<Ask, Error> {
            let about = rollout.columns.get("about").and_then(Value::as_str).unwrap_or("");
            if rollout.completion == "nothing" {
                return Err(Error::Role { role: "judge", problem: "it cannot be asked".into() });
            }
            Ok(Ask::greedy(Content::Text(format!("{}{about}", rollout.completion)), rollout.tokens))
        }

        fn read(&self, replies: &[Result<Reply, Failure>]) -> Result<Vec<Option<f64>>, Error> {
            Ok(replies.iter().map(|reply| Some(reply.as_ref().ok()?.text().len() as f64)).collect())
        }
    }

    fn ended(prompt: usize, sample: usize, text: &str) -> Ended {
        Ended { prompt, sample, text: text.into(), tokens: 1 }
    }

    #[test]
    fn they_are_asked_while_the_work_goes_on_and_answer_in_the_order_of_completions() {
        let (sender, answered) = channel();
        let echo = Echo(Mutex::new(sender));
        let rows = ["", "ab"].map(|about| Map::from_iter([("about".to_owned(), Value::from(about))]));
        let done = asking(&[(&echo, &Length)], &rows.each_ref(), &Cancel::default(), |tell| {
            tell(&ended(1, 0, "x"));
            // There is an answer before the work is done.
            answered.recv().unwrap();
            [ended(0, 1, "?"), ended(1, 1, "xyz"), ended(0, 0, "xx")].iter().for_each(tell);
            Ok(())
        });
        let said = done.unwrap().said;
        assert_eq!(said.len(), 1);
        assert_eq!(Length.read(&said[0]).unwrap(), [Some(2.0), None, Some(3.0), Some(5.0)]);
    }

    #[test]
    fn what_fails_is_told() {
        let (sender, _answered) = channel();
        let echo = Echo(Mutex::new(sender));
        let row = Map::new();
        let failing = |text: &str, worked: Result<(), Error>| {
            let whom: [(&dyn LanguageModel, &dyn Remote); 1] = [(&echo, &Length)];
            let done = asking(&whom, &[&row], &Cancel::default(), |tell| {
                tell(&ended(0, 0, text));
                worked
            });
            done.err().map(|error| error.to_string())
        };
        assert_eq!(failing("x", Ok(())), None);
        assert!(failing("nothing", Ok(())).unwrap().contains("it cannot be asked"));
        assert!(failing("x", Err(groma_run::Error::Interrupted.into())).is_some());
    }
}

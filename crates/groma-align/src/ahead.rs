//! What others elsewhere are asked of completions while sampling goes on.
//!
//! A judge on a server, or a server of rewards, is waited for, and this process has nothing to do meanwhile: each completion is put to
//! it as soon as it has ended, from a thread that does nothing else. An answer is a function of its question, so that nothing depends on
//! when it came.

use crate::Error;
use crate::rewards::{Answer, Remote, Rollout};
use groma_run::Cancel;
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
pub(crate) type Answers = Vec<Answer>;

/// How long work took, what those said who were asked, and how long they were waited for after it.
pub(crate) struct Done {
    pub(crate) took: Duration,
    pub(crate) said: Vec<Answers>,
    pub(crate) waited: Duration,
}

/// Does work that tells of completions of prompts, of which `columns` are known, and meanwhile asks `whom` of each.
///
/// # Errors
/// Those of the work, then those of what cannot be asked.
pub(crate) fn asking(
    whom: &[&dyn Remote],
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
        let said: Vec<Result<Answers, Error>> = said.collect();
        worked?;
        let said = said.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Done { took, said, waited: started.elapsed().saturating_sub(took) })
    })
}

/// Asks one of them: of all that has ended while the last questions were answered.
fn ask_each(
    asked: &dyn Remote,
    ended: &Receiver<Ended>,
    columns: &[&Map<String, Value>],
    cancel: &Cancel,
) -> Result<Answers, Error> {
    let mut said = BTreeMap::new();
    while let Ok(first) = ended.recv() {
        let those: Vec<Ended> = std::iter::once(first).chain(ended.try_iter()).collect();
        let rollouts =
            those.iter().map(|one| Rollout { columns: columns[one.prompt], completion: &one.text, tokens: one.tokens });
        let rollouts: Vec<Rollout<'_>> = rollouts.collect();
        let answers = asked.answers(&rollouts, cancel)?;
        said.extend(those.iter().map(|one| (one.prompt, one.sample)).zip(answers));
    }
    Ok(said.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_lm::Failure;
    use serde_json::Value;
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    /// The length of completion and column, but of what begins with `?`; it tells when it has answered.
    struct Length(Mutex<Sender<()>>);

    impl Remote for Length {
        fn answers(&self, rollouts: &[Rollout<'_>], _: &Cancel) -> Result<Answers, Error> {
            let answer = |rollout: &Rollout<'_>| {
                let about = rollout.columns.get("about").and_then(Value::as_str).unwrap_or("");
                if rollout.completion == "nothing" {
                    return Err(Error::Role { role: "judge", problem: "it cannot be asked".into() });
                }
                self.0.lock().unwrap().send(()).unwrap();
                let refused = rollout.completion.starts_with('?');
                Ok(if refused {
                    Err(Failure::NothingToScore)
                } else {
                    Ok(Some((rollout.completion.len() + about.len()) as f64))
                })
            };
            rollouts.iter().map(answer).collect()
        }

        fn read(&self, answers: &[Answer]) -> Result<Vec<Option<f64>>, Error> {
            Ok(answers.iter().map(|answer| answer.clone().ok().flatten()).collect())
        }
    }

    fn ended(prompt: usize, sample: usize, text: &str) -> Ended {
        Ended { prompt, sample, text: text.into(), tokens: 1 }
    }

    #[test]
    fn they_are_asked_while_the_work_goes_on_and_answer_in_the_order_of_completions() {
        let (sender, answered) = channel();
        let length = Length(Mutex::new(sender));
        let rows = ["", "ab"].map(|about| Map::from_iter([("about".to_owned(), Value::from(about))]));
        let done = asking(&[&length], &rows.each_ref(), &Cancel::default(), |tell| {
            tell(&ended(1, 0, "x"));
            // There is an answer before the work is done.
            answered.recv().unwrap();
            [ended(0, 1, "?"), ended(1, 1, "xyz"), ended(0, 0, "xx")].iter().for_each(tell);
            Ok(())
        });
        let said = done.unwrap().said;
        assert_eq!(said.len(), 1);
        assert_eq!(length.read(&said[0]).unwrap(), [Some(2.0), None, Some(3.0), Some(5.0)]);
    }

    #[test]
    fn what_fails_is_told() {
        let (sender, _answered) = channel();
        let length = Length(Mutex::new(sender));
        let row = Map::new();
        let failing = |text: &str, worked: Result<(), Error>| {
            let done = asking(&[&length], &[&row], &Cancel::default(), |tell| {
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

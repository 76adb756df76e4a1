//! Answers that are kept on disk.

use std::fs;
use std::path::{Path, PathBuf};

use groma_run::{Cancel, Digest, Disk, atomic, limits, read_json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Ask, Continuation, Cost, Failure, Kind, LanguageModel, Reply, Scored, Sink};

/// A model whose answers are kept, each in a file named by the digest of its question: what was asked once is not asked
/// again, also after the process was killed. Failures are not kept.
pub struct Cached<'a> {
    model: &'a dyn LanguageModel,
    /// What the model is; another model's answers are not taken for its own.
    id: String,
    directory: PathBuf,
}

/// A file.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    question: Value,
    answer: T,
}

impl<'a> Cached<'a> {
    /// Keeps the answers of the model `id` below a directory, which is made where it is missing.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn open(
        model: &'a dyn LanguageModel,
        id: impl Into<String>,
        directory: &Path,
    ) -> Result<Self, groma_run::Error> {
        fs::create_dir_all(directory).map_err(groma_run::Error::io("create", directory))?;
        Ok(Cached { model, id: id.into(), directory: directory.to_owned() })
    }

    fn file(&self, question: &Value) -> Option<PathBuf> {
        let name = Digest::of_json(question).ok()?.to_string();
        Some(self.directory.join(&name[..2]).join(format!("{name}.json")))
    }

    /// A kept answer. A file that cannot be read, or is about something else, is as good as none.
    fn find<T: DeserializeOwned>(&self, question: &Value) -> Option<T> {
        let kept: Kept<T> = read_json(&self.file(question)?, limits::MANIFEST_BYTES).ok()?;
        (kept.question == *question).then_some(kept.answer)
    }

    /// Keeps an answer. That it could not be kept does no harm to it.
    fn keep<T: Serialize>(&self, question: Value, answer: T) {
        let Some(path) = self.file(&question) else { return };
        let _ = path.parent().map(fs::create_dir);
        let _ = atomic::write_json(&Disk::files(), &path, &Kept { question, answer });
    }

    /// Hands out what is kept, and the indices of the rest.
    fn known<Q, T: DeserializeOwned>(
        &self,
        asked: &[Q],
        question: impl Fn(&Q) -> Value,
        cancel: &Cancel,
        sink: &Sink<'_, T>,
    ) -> Vec<usize> {
        let going = (0..asked.len()).take_while(|_| !cancel.is_requested());
        let find = |&index: &usize| match self.find(&question(&asked[index])) {
            Some(answer) => {
                sink(index, Ok(answer), Cost::default());
                false
            }
            None => true,
        };
        going.filter(find).collect()
    }

    fn ask(&self, ask: &Ask) -> Value {
        let Ask { prompt, logps, .. } = ask;
        json!({ "model": self.id, "prompt": prompt, "sampling": ask.settings(), "logps": logps })
    }

    fn continuation(&self, wanted: &Continuation) -> Value {
        json!({ "model": self.id, "continuation": wanted })
    }
}

impl LanguageModel for Cached<'_> {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        let missing = self.known(asks, |ask| self.ask(ask), cancel, sink);
        let asks: Vec<Ask> = missing.iter().map(|&index| asks[index].clone()).collect();
        self.model.generate_each(&asks, cancel, &|place, reply, cost| {
            if let Ok(reply) = &reply {
                self.keep(self.ask(&asks[place]), reply);
            }
            sink(missing[place], reply, cost);
        });
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        let missing = self.known(wanted, |wanted| self.continuation(wanted), cancel, sink);
        let wanted: Vec<Continuation> = missing.iter().map(|&index| wanted[index].clone()).collect();
        self.model.score_each(&wanted, cancel, &|place, scored, cost| {
            if let Ok(scored) = &scored {
                self.keep(self.continuation(&wanted[place]), scored);
            }
            sink(missing[place], scored, cost);
        });
    }

    fn stream(&self, ask: &Ask, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<Reply, Failure> {
        if let Some(reply) = self.find::<Reply>(&self.ask(ask)) {
            piece(reply.text());
            return Ok(reply);
        }
        let reply = self.model.stream(ask, cancel, piece)?;
        self.keep(self.ask(ask), &reply);
        Ok(reply)
    }

    fn is_elsewhere(&self) -> bool {
        self.model.is_elsewhere()
    }

    fn mode(&self, kind: Kind) -> String {
        self.model.mode(kind)
    }

    fn refuses(&self, kind: Kind) -> Option<Failure> {
        self.model.refuses(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Control, Scripted};
    use groma_data::Content;
    use groma_run::Silent;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_is_known_is_not_asked_again_and_failures_are() {
        let directory = tempfile::tempdir().unwrap();
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        let ask = |text: &str| Ask::greedy(Content::Text(text.to_owned()), 4);
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = |answer: fn(&str) -> Result<Scored, Failure>| {
            let counts = [Arc::clone(&asked), Arc::clone(&asked)];
            let [on_reply, on_score] = counts;
            let said = Scripted::saying(|ask| ask.prompt.plain().to_uppercase());
            Scripted::new(
                move |ask| {
                    on_reply.fetch_add(1, Ordering::Relaxed);
                    let control = Control { progress: &Silent, cancel: &Cancel::default() };
                    said.generate(std::slice::from_ref(ask), control).remove(0)
                },
                move |wanted| {
                    on_score.fetch_add(1, Ordering::Relaxed);
                    let Continuation::Whole { text } = wanted else { return Err(Failure::WrongKind) };
                    answer(text)
                },
            )
        };
        let texts = ["a", "b", "fail"].map(|text| Continuation::Whole { text: text.to_owned() });
        let fails = |text: &str| if text == "fail" { Err(Failure::NotFinite) } else { Ok(scored(text)) };
        let model = counted(fails);
        let first = Cached::open(&model, "m", directory.path()).unwrap();
        let replies = first.generate(&[ask("x"), ask("y")], control);
        let scores = first.score(&texts, control);
        assert_eq!((asked.load(Ordering::Relaxed), &scores[2]), (5, &Err(Failure::NotFinite)));

        let model = counted(|text| Ok(scored(text)));
        let second = Cached::open(&model, "m", directory.path()).unwrap();
        assert_eq!(second.generate(&[ask("y"), ask("x")], control), replies.iter().rev().cloned().collect::<Vec<_>>());
        let again = second.score(&texts, control);
        assert_eq!((&again[..2], asked.load(Ordering::Relaxed)), (&scores[..2], 6));
        assert!(again[2].is_ok());
        let other = Cached::open(&model, "another", directory.path()).unwrap();
        other.generate(&[ask("x"), Ask { sampling: crate::SamplingParameters::greedy(5), ..ask("x") }], control);
        assert_eq!(asked.load(Ordering::Relaxed), 8);
        // A damaged entry is as good as none.
        let entry = second.file(&second.ask(&ask("x"))).unwrap();
        fs::write(&entry, b"{").unwrap();
        assert_eq!(second.generate(&[ask("x")], control)[0], replies[0]);
        assert_eq!(asked.load(Ordering::Relaxed), 9);
    }

    fn scored(text: &str) -> Scored {
        Scored { logps: vec![-0.1, -(text.len() as f32) / 3.0], windows: vec![2], ..Scored::default() }
    }
}

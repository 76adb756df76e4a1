//! What was asked and answered, written down.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use groma_run::{Cancel, Clock, Disk, Journal, SyncPolicy, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Ask, Continuation, Cost, Failure, Kind, LanguageModel, Reply, Scored, Sink, Usage};

/// Rows that a power cut may take.
const ROWS_AT_RISK: u32 = 64;

/// One question and what came of it: a line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// When it was over.
    pub time: Timestamp,
    /// The model.
    pub model: String,
    /// How the model was asked.
    pub mode: String,
    /// `prompt` and `logps` of an [`Ask`], or a [`Continuation`].
    pub request: Value,
    /// How the reply was to be sampled; nothing where something was scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    /// A [`Reply`] or a [`Scored`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What it took.
    #[serde(flatten)]
    pub cost: Cost,
}

/// A model all of whose exchanges are added to a file of JSON lines, each as it ends.
pub struct Recorded<'a> {
    model: &'a dyn LanguageModel,
    id: String,
    clock: SystemClock,
    journal: Journal,
    /// The first row that could not be written.
    lost: Mutex<Option<groma_run::Error>>,
}

impl<'a> Recorded<'a> {
    /// Adds to a file, which is made where it is missing.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(model: &'a dyn LanguageModel, id: impl Into<String>, path: &Path) -> Result<Self, groma_run::Error> {
        let (journal, _) = Journal::open(&Disk::files(), path, SyncPolicy::Rows(ROWS_AT_RISK))?;
        let (clock, lost) = (SystemClock::default(), Mutex::default());
        Ok(Recorded { model, id: id.into(), clock, journal, lost })
    }

    /// Makes the file last.
    ///
    /// # Errors
    /// If that, or the writing of any row, failed.
    pub fn finish(self) -> Result<(), groma_run::Error> {
        match self.lost.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => self.journal.sync(),
        }
    }

    /// That a row could not be written does no harm to the answer; it is told at the end.
    fn write(&self, exchange: &Exchange) {
        if let Err(error) = self.journal.append(exchange) {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn write_reply(&self, ask: &Ask, reply: &Result<Reply, Failure>, cost: Cost) {
        let Ask { prompt, logps, .. } = ask;
        let exchange = self.exchange(Kind::Generate, json!({ "prompt": prompt, "logps": logps }), reply, cost);
        self.write(&Exchange { settings: Some(ask.settings()), ..exchange });
    }

    fn exchange<T: Serialize>(&self, kind: Kind, request: Value, answer: &Result<T, Failure>, cost: Cost) -> Exchange {
        let failure = answer.as_ref().err();
        Exchange {
            time: self.clock.now(),
            model: self.id.clone(),
            mode: self.model.mode(kind),
            request,
            settings: None,
            answer: answer.as_ref().ok().map(|answer| json!(answer)),
            failure: failure.map(Failure::to_string),
            cost,
        }
    }
}

impl LanguageModel for Recorded<'_> {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        self.model.generate_each(asks, cancel, &|index, reply, cost| {
            self.write_reply(&asks[index], &reply, cost);
            sink(index, reply, cost);
        });
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        self.model.score_each(wanted, cancel, &|index, scored, cost| {
            self.write(&self.exchange(wanted[index].kind(), json!(wanted[index]), &scored, cost));
            sink(index, scored, cost);
        });
    }

    fn stream(&self, ask: &Ask, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<Reply, Failure> {
        let started = self.clock.elapsed();
        let reply = self.model.stream(ask, cancel, piece);
        let usage = reply.as_ref().map_or(Usage::default(), |reply| reply.usage);
        self.write_reply(ask, &reply, Cost { usage, seconds: (self.clock.elapsed() - started).as_secs_f64() });
        reply
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
    use groma_data::{Content, Message, ReadOptions};
    use groma_run::Silent;

    #[test]
    fn each_exchange_is_a_row_that_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exchanges.jsonl");
        let said = Scripted::saying(|ask| ask.prompt.plain().to_uppercase());
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        let hello = Ask::greedy(Content::from(vec![Message::new("user", "hello\n\u{2028}")]), 4);
        let text = Continuation::After { context: "a".into(), continuation: "b".to_owned() };
        for _ in 0..2 {
            let model = Recorded::open(&said, "m", &path).unwrap();
            assert_eq!(
                model.generate(std::slice::from_ref(&hello), control)[0].as_ref().unwrap().text(),
                "HELLO\n\u{2028}"
            );
            assert_eq!(model.score(std::slice::from_ref(&text), control), [Err(Failure::NothingToScore)]);
            model.finish().unwrap();
        }
        let table = groma_data::read(&path, &ReadOptions::default()).unwrap();
        let rows: Vec<Exchange> =
            table.records.iter().map(|record| serde_json::from_value(json!(record.fields)).unwrap()).collect();
        assert_eq!(rows.len(), 4);
        assert_eq!((&rows[0].model[..], &rows[0].mode[..], rows[0].failure.as_deref()), ("m", "scripted", None));
        assert_eq!(rows[0].request["prompt"][0]["content"], "hello\n\u{2028}");
        assert_eq!(rows[0].settings.as_ref().unwrap()["max_new_tokens"], 4);
        assert_eq!(rows[0].answer.as_ref().unwrap()["choices"][0]["text"], "HELLO\n\u{2028}");
        assert_eq!(rows[1].request, json!({"after": "a", "score": "b"}));
        assert_eq!((rows[1].answer.as_ref(), rows[1].settings.as_ref()), (None, None));
        assert_eq!(rows[1].failure, Some(Failure::NothingToScore.to_string()));
        assert_eq!(rows[2].request, rows[0].request);
    }

    #[test]
    fn a_row_that_cannot_be_written_is_told_at_the_end() {
        let said = Scripted::saying(|_| "x".repeat(5 << 20));
        let folder = tempfile::tempdir().unwrap();
        let model = Recorded::open(&said, "m", &folder.path().join("e.jsonl")).unwrap();
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        assert!(model.generate(&[Ask::greedy(Content::Text("?".to_owned()), 4)], control)[0].is_ok());
        assert!(model.finish().unwrap_err().to_string().contains("e.jsonl"));
    }
}

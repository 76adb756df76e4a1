//! A server that says in numbers what completions are worth.
//!
//! The wire format is that of OpenRLHF's remote reward models, so that a server written for it answers here. Posted is
//! `{"query": [..], "prompts": [..], "labels": [..], "completions": [..], "rows": [..]}`, an entry of each list a completion:
//! prompt and completion as one text, the prompt, the row's answer or null, the completion, and the row with all its columns. What
//! comes back is `{"rewards": [..]}`, a number for each, or null where there is nothing to say of it; other fields do not count.
//!
//! An answer is taken whole or not at all: one of another length, or with an entry that is no finite number, is asked for again
//! like one that did not come.

use std::sync::{Mutex, PoisonError};

use groma_run::Cancel;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::address::{Address, AddressError};
use super::each;
use super::options::EndpointOptions;
use super::transport::{Spent, Transport};
use crate::Failure;

/// A completion that is to be rated.
#[derive(Clone, Debug)]
pub struct Rated<'a> {
    /// The prompt as one text.
    pub prompt: String,
    /// What was said.
    pub completion: &'a str,
    /// What should have been said, where the row tells; else null.
    pub label: &'a Value,
    /// The row's columns, its prompt as it is among them.
    pub row: &'a Map<String, Value>,
}

/// A server of rewards.
#[derive(Debug)]
pub struct RewardServer {
    path: String,
    /// Completions in a request.
    batch: usize,
    concurrency: usize,
    transport: Transport,
}

/// What comes back.
#[derive(Deserialize)]
struct Rewards {
    rewards: Vec<Option<f64>>,
}

impl RewardServer {
    /// A server by its URL, which is asked of so many completions at once; nothing is asked yet.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(url: &str, batch: usize, options: EndpointOptions) -> Result<Self, AddressError> {
        let (address, path) = Address::with_path(url)?;
        let concurrency = options.concurrency.max(1);
        let transport = Transport::new(&address, options);
        Ok(RewardServer { path, batch: batch.max(1), concurrency, transport })
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        self.transport.spent()
    }

    /// What each completion is worth, in their order; `None` where the server has nothing to say of one. A failure is that of the
    /// request that one was in.
    pub fn rate(&self, wanted: &[Rated<'_>], cancel: &Cancel) -> Vec<Result<Option<f64>, Failure>> {
        let found = Mutex::new(vec![Err(Failure::Interrupted); wanted.len()]);
        let jobs: Vec<(usize, &[Rated<'_>])> =
            wanted.chunks(self.batch).enumerate().map(|(number, some)| (number * self.batch, some)).collect();
        each(self.concurrency, &jobs, cancel, |(start, some)| {
            let read = |bytes: &[u8]| read(bytes, some.len());
            let rewards = self.transport.post(&self.path, &body(some), cancel, read);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            for (place, index) in found[*start..*start + some.len()].iter_mut().zip(0..) {
                *place = rewards.as_ref().map(|rewards| rewards[index]).map_err(Failure::clone);
            }
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn body(wanted: &[Rated<'_>]) -> Value {
    let all = |of: &dyn Fn(&Rated<'_>) -> Value| wanted.iter().map(of).collect::<Value>();
    json!({
        "query": all(&|one| format!("{}{}", one.prompt, one.completion).into()),
        "prompts": all(&|one| one.prompt.as_str().into()),
        "labels": all(&|one| one.label.clone()),
        "completions": all(&|one| one.completion.into()),
        "rows": all(&|one| one.row.clone().into()),
    })
}

/// The rewards of so many completions.
fn read(bytes: &[u8], count: usize) -> Result<Vec<Option<f64>>, Failure> {
    let unusable = |reason: String| Failure::Unusable { reason };
    let Rewards { rewards } = serde_json::from_slice(bytes).map_err(|error| unusable(error.to_string()))?;
    match rewards.len() == count {
        true => Ok(rewards),
        false => Err(unusable(format!(
            "{} for {}",
            groma_run::counted(rewards.len(), "reward"),
            groma_run::counted(count, "completion")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let of = |text: &str| read(text.as_bytes(), 2);
        assert_eq!(of(r#"{"rewards": [1, -0.5], "scores": [9]}"#), Ok(vec![Some(1.0), Some(-0.5)]));
        assert_eq!(of(r#"{"rewards": [null, 2e-3]}"#), Ok(vec![None, Some(2e-3)]));
        let wrong = [
            r#"{"rewards": [1]}"#,
            r#"{"rewards": [1, 2, 3]}"#,
            r#"{"rewards": [NaN, 1]}"#,
            r#"{"rewards": [1e999, 1]}"#,
            r#"{"rewards": ["1", 1]}"#,
            r#"{"rewards": [[1], [1]]}"#,
            r#"{"rewards": [true, 1]}"#,
            r#"{"rewards": 1}"#,
            "[1, 2]",
            "",
        ];
        for text in wrong {
            assert!(matches!(of(text), Err(Failure::Unusable { .. })), "{text}");
        }
    }

    /// A server that never ends its answer is waited for no longer than until a stop is asked for: the time limit is far away.
    #[test]
    fn a_stop_is_heard_while_a_server_is_waited_for() {
        for begins in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/get_reward", listener.local_addr().unwrap());
            let server = RewardServer::new(&url, 4, EndpointOptions::default()).unwrap();
            let (cancel, row) = (Cancel::default(), Map::new());
            let one = Rated { prompt: "Hi".into(), completion: " there", label: &Value::Null, row: &row };
            let said = std::thread::scope(|scope| {
                let asking = scope.spawn(|| server.rate(std::slice::from_ref(&one), &cancel));
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(begins).unwrap();
                cancel.request();
                asking.join().unwrap()
            });
            assert_eq!(said, [Err(Failure::Interrupted)]);
            assert_eq!(server.spent(), Spent::default(), "what was not waited for has not failed");
        }
    }

    #[test]
    fn a_request_holds_all_that_is_known_of_completions() {
        let row = Map::from_iter([("prompt".to_owned(), json!([{"role": "user", "content": "Hi"}]))]);
        let one = Rated { prompt: "Hi".into(), completion: " there", label: &json!("x"), row: &row };
        let sent = body(&[one.clone(), Rated { label: &Value::Null, ..one }]);
        assert_eq!((&sent["query"], &sent["prompts"]), (&json!(["Hi there", "Hi there"]), &json!(["Hi", "Hi"])));
        assert_eq!((&sent["labels"], &sent["rows"][1]), (&json!(["x", null]), &Value::Object(row)));
        assert_eq!(sent["completions"], json!([" there", " there"]));
    }
}

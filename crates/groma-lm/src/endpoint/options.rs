//! How a server is asked.

use std::sync::Arc;
use std::time::Duration;

use groma_run::{Clock, Secret, SystemClock};

/// How a server is asked.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// The key that it is shown; never over plain http to a public host.
    pub key: Option<Secret>,
    /// How a key is given, for whoever gave none and is refused: `set OPENAI_API_KEY`.
    pub key_hint: String,
    /// Requests at the same time.
    pub concurrency: usize,
    /// Requests a minute, at most.
    pub requests_per_minute: Option<u32>,
    /// How often a request is repeated that failed for the moment.
    pub max_retries: u32,
    /// The wait before the first repetition; about twice that before the second, and so on, up to [`EndpointOptions::max_wait`].
    pub retry_wait: Duration,
    /// The longest wait, also where the server asks for a longer one.
    pub max_wait: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a whole answer may take.
    pub timeout: Duration,
    /// The largest answer, in bytes.
    pub max_answer_bytes: u64,
    /// Longest sequence that the model reads, in tokens, where that is known.
    pub max_length: Option<usize>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        EndpointOptions {
            key: None,
            key_hint: "set OPENAI_API_KEY".to_owned(),
            concurrency: 8,
            requests_per_minute: None,
            max_retries: 5,
            retry_wait: Duration::from_millis(500),
            max_wait: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(600),
            max_answer_bytes: 64 << 20,
            max_length: None,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

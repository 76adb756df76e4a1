//! How a model on a server is asked.

use std::path::PathBuf;
use std::time::Duration;

use groma_lm::EndpointOptions;
use groma_run::Secret;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How models on servers are asked; of no meaning for one on this machine. No key is ever part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serving {
    /// The environment variable that holds the key.
    pub api_key_env: String,
    /// Requests at the same time.
    pub concurrency: u16,
    /// How often a request is repeated that failed for the moment.
    pub max_retries: u32,
    /// How long an answer may take, in seconds.
    pub timeout: u64,
    /// Requests a minute, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The model's tokenizer, a directory or hub id: with it, scores are those of the same weights on this machine. Without
    /// it, only the likelihood of answers to plain text can be had from a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Where answers are kept, so that only what is not there is asked; in the run directory where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
}

impl Default for Serving {
    fn default() -> Self {
        Serving {
            api_key_env: "OPENAI_API_KEY".into(),
            concurrency: 8,
            max_retries: 5,
            timeout: 600,
            requests_per_minute: None,
            tokenizer: None,
            cache: None,
        }
    }
}

impl Serving {
    /// Whether nothing was said about servers.
    pub(crate) fn is_default(&self) -> bool {
        *self == Serving::default()
    }

    /// The same for a client, with the key of the environment.
    pub(crate) fn options(&self, max_length: Option<usize>) -> Result<EndpointOptions, Error> {
        let key = match std::env::var(&self.api_key_env) {
            Ok(text) if !text.trim().is_empty() => {
                Some(Secret::new(&text).ok_or_else(|| Error::Key { variable: self.api_key_env.clone() })?)
            }
            _ => None,
        };
        Ok(EndpointOptions {
            key,
            concurrency: self.concurrency.max(1).into(),
            requests_per_minute: self.requests_per_minute,
            max_retries: self.max_retries,
            timeout: Duration::from_secs(self.timeout.max(1)),
            max_length,
            ..EndpointOptions::default()
        })
    }
}

//! How a model on a server is asked.

use std::path::PathBuf;
use std::time::Duration;

use groma_lm::{Budget, EndpointOptions, Prices};
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
    /// A file to which each question is added with what came of it, a JSON line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<PathBuf>,
    /// Questions to a model, at most; those beyond have no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_requests: Option<u64>,
    /// Tokens, read and made, after which nothing more is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u64>,
    /// The same in money, by the prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_money: Option<f64>,
    /// Price of a million tokens that are read, in any currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_in: Option<f64>,
    /// Price of a million tokens that are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_out: Option<f64>,
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
            record: None,
            budget_requests: None,
            budget_tokens: None,
            budget_money: None,
            price_in: None,
            price_out: None,
        }
    }
}

impl Serving {
    /// Whether nothing was said about servers.
    pub(crate) fn is_default(&self) -> bool {
        *self == Serving::default()
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn problem(&self) -> Option<String> {
        let amounts = [self.budget_money, self.price_in, self.price_out];
        if amounts.iter().flatten().any(|amount| !amount.is_finite() || *amount < 0.0) {
            return Some("an amount of money in `serving` is not a number of at least 0".to_owned());
        }
        let needs_prices = self.budget_money.or(self.price_in).or(self.price_out).is_some();
        let problem = "`budget_money`, `price_in` and `price_out` of `serving` belong together; a price is missing";
        (needs_prices && self.prices().is_none()).then(|| problem.to_owned())
    }

    /// What tokens cost, where that is said.
    pub(crate) fn prices(&self) -> Option<Prices> {
        Some(Prices { input: self.price_in?, output: self.price_out? })
    }

    /// What may be spent on a model.
    pub(crate) fn budget(&self) -> Budget {
        let money = self.budget_money.zip(self.prices());
        Budget { requests: self.budget_requests, tokens: self.budget_tokens, money }
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
            key_hint: format!("set {}", self.api_key_env),
            concurrency: self.concurrency.max(1).into(),
            requests_per_minute: self.requests_per_minute,
            max_retries: self.max_retries,
            timeout: Duration::from_secs(self.timeout.max(1)),
            max_length,
            ..EndpointOptions::default()
        })
    }
}

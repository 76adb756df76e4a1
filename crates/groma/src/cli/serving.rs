//! How a model on a server is asked.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

use super::numbers::{amount, at_least, within};

/// How a model on a server is asked; of no meaning for one on this machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Models on a server (URL#NAME)")]
pub(crate) struct Serving {
    /// The environment variable that holds the key.
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    pub(crate) api_key_env: String,
    /// Requests at the same time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = within(1_u16, 1024))]
    pub(crate) concurrency: u16,
    /// How often a request is repeated that failed for the moment.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least(0_u32))]
    pub(crate) max_retries: u32,
    /// How long an answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = at_least(1_u64))]
    pub(crate) timeout: u64,
    /// Requests a minute, at most.
    #[arg(long, value_name = "N", value_parser = at_least(1_u32))]
    pub(crate) requests_per_minute: Option<u32>,
    /// The model's tokenizer: with it, scores are those of the same weights on this machine. Without it, only the
    /// likelihood of answers to plain text can be had from a server.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) tokenizer: Option<String>,
    /// Keep answers in this directory, and ask only what is not there; in the run directory where not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Add each question and what came of it to this file, a JSON line each.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Put at most so many questions; those beyond have no answer, and are counted as such.
    #[arg(long, value_name = "N", value_parser = at_least(0_u64))]
    pub(crate) budget_requests: Option<u64>,
    /// Stop asking once so many tokens were read and made; what is on its way then is still paid for.
    #[arg(long, value_name = "TOKENS", value_parser = at_least(0_u64))]
    pub(crate) budget_tokens: Option<u64>,
    /// The same in money, by the prices.
    #[arg(long, value_name = "AMOUNT", requires = "price_in", value_parser = amount)]
    pub(crate) budget_money: Option<f64>,
    /// Price of a million tokens that are read, in any currency.
    #[arg(long, value_name = "AMOUNT", requires = "price_out", value_parser = amount)]
    pub(crate) price_in: Option<f64>,
    /// Price of a million tokens that are made.
    #[arg(long, value_name = "AMOUNT", requires = "price_in", value_parser = amount)]
    pub(crate) price_out: Option<f64>,
}

impl Serving {
    /// The same in a recipe.
    pub(crate) fn settings(&self) -> groma_recipe::Serving {
        groma_recipe::Serving {
            api_key_env: self.api_key_env.clone(),
            concurrency: self.concurrency,
            max_retries: self.max_retries,
            timeout: self.timeout,
            requests_per_minute: self.requests_per_minute,
            tokenizer: self.tokenizer.clone(),
            cache: self.cache.clone(),
            record: self.record.clone(),
            budget_requests: self.budget_requests,
            budget_tokens: self.budget_tokens,
            budget_money: self.budget_money,
            price_in: self.price_in,
            price_out: self.price_out,
        }
    }
}

//! The model that a command asks: weights on this machine, or a model on a server.

use std::time::Duration;

use groma_lm::{Address, Cached, Encoder, Endpoint, EndpointOptions, LanguageModel, Local, LocalOptions, Spent, Usage};
use groma_model::{ChatTemplate, LocalModel, Tokenizer};
use groma_run::Secret;

use super::resolve;
use crate::cli::Serving;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, say};

/// Renders nothing, for a tokenizer that came without a template.
const NO_TEMPLATE: &str = "{{ raise_exception('the tokenizer has no chat template; name one with --chat-template') }}";

/// A model, ready to be asked.
pub(crate) enum Asked {
    /// Weights on this machine.
    Here(Box<LocalModel>, Option<usize>),
    /// A model on a server, with its tokenizer where that was named.
    Served(Box<Served>),
}

/// A model on a server.
pub(crate) struct Served {
    address: Address,
    tokenizer: Option<(Tokenizer, ChatTemplate)>,
    options: EndpointOptions,
}

impl Asked {
    /// Opens what a user names; nothing is asked of a server yet. `max_length` is the longest text in tokens.
    pub(crate) fn open(
        name: &str,
        template: &str,
        max_length: Option<usize>,
        serving: &Serving,
        context: &Context,
    ) -> Result<Self> {
        if !Address::is_meant(name) {
            let mut model = resolve::open(name, template, context)?;
            model.freeze();
            return Ok(Asked::Here(Box::new(model), max_length));
        }
        let hint = "e.g. --model http://localhost:8000/v1#my-model";
        let address = Address::parse(name).map_err(|error| Failure::usage(error.to_string(), hint))?;
        let tokenizer = serving.tokenizer.as_deref().map(|name| tokenizer(name, template, context)).transpose()?;
        let options = EndpointOptions { max_length, ..serving.options()? };
        Ok(Asked::Served(Box::new(Served { address, tokenizer, options })))
    }

    /// Whether a server answers.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self, Asked::Served(_))
    }

    /// Lends the model to some work; what a server says that it spent is told at the end.
    pub(crate) fn lend<T>(&self, serving: &Serving, work: impl FnOnce(&dyn LanguageModel) -> Result<T>) -> Result<T> {
        let served = match self {
            Asked::Here(model, max_length) => {
                let options = LocalOptions { max_length: *max_length, ..LocalOptions::default() };
                return work(&Local::new(model, options));
            }
            Asked::Served(served) => served,
        };
        let encoder = served.tokenizer.as_ref();
        let encoder = encoder.map(|(tokenizer, chat)| Encoder { tokenizer, chat, stop_ids: Vec::new() });
        let endpoint = Endpoint::new(served.address.clone(), encoder, served.options.clone());
        let done = match &serving.cache {
            Some(directory) => work(&Cached::open(&endpoint, served.address.to_string(), directory)?),
            None => work(&endpoint),
        };
        let Spent { answered, failed, usage: Usage { prompt_tokens, completion_tokens } } = endpoint.spent();
        say(&format!(
            "the server answered {answered} requests, failed {failed}; {prompt_tokens} tokens in, {completion_tokens} out"
        ));
        done
    }
}

/// A tokenizer, and the template that is to be used with it.
fn tokenizer(name: &str, template: &str, context: &Context) -> Result<(Tokenizer, ChatTemplate)> {
    let (directory, _) = resolve::model(name, &*context.work.progress)?;
    let tokenizer = Tokenizer::from_directory(&directory).map_err(groma_model::Error::from)?;
    if template != "auto" {
        return Ok((tokenizer, ChatTemplate::built_in(template)?));
    }
    let (name, template) = match groma_chat::template_in(&directory, None).map_err(groma_model::Error::from)? {
        Some(template) => ("checkpoint", template),
        None => ("none", groma_chat::Template::new(NO_TEMPLATE).map_err(groma_model::Error::from)?),
    };
    Ok((tokenizer, ChatTemplate { name: name.to_owned(), template, stop_strings: Vec::new() }))
}

impl Serving {
    /// How a server is asked, with the key of the environment.
    fn options(&self) -> Result<EndpointOptions> {
        let name = &self.api_key_env;
        let key = match std::env::var(name) {
            Ok(text) if !text.trim().is_empty() => {
                let none = || Failure::usage(format!("the environment variable {name} holds no key"), "set it anew");
                Some(Secret::new(&text).ok_or_else(none)?)
            }
            _ => None,
        };
        Ok(EndpointOptions {
            key,
            concurrency: self.concurrency.into(),
            requests_per_minute: self.requests_per_minute,
            max_retries: self.max_retries,
            timeout: Duration::from_secs(self.timeout),
            ..EndpointOptions::default()
        })
    }
}

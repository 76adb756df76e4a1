//! The model that a stage asks: weights on this machine, or a model on a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_kernels::Backend;
use groma_lm::{Address, Cached, Encoder, Endpoint, LanguageModel, Local, LocalOptions, Spent};
use groma_model::{ChatTemplate, LocalModel, TemplateChoice, Tokenizer};

use crate::Error;
use crate::serving::Serving;

/// Renders nothing, for a tokenizer that came without a template.
const NO_TEMPLATE: &str = "{{ raise_exception('the tokenizer has no chat template; name one with --chat-template') }}";

/// A model, ready to be asked.
pub(crate) enum Asked {
    /// Weights on this machine, which nothing trains.
    Here(Box<LocalModel>),
    /// A model on a server.
    Served(Box<Served>),
}

/// A model on a server, with its tokenizer where that was named, and where its answers are kept.
pub(crate) struct Served {
    address: Address,
    tokenizer: Option<(Tokenizer, ChatTemplate)>,
    serving: Serving,
    cache: PathBuf,
}

impl Asked {
    /// Opens the model in a directory.
    pub(crate) fn here(path: &Path, template: &TemplateChoice, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        let mut model = LocalModel::open(path, template, backend)?;
        model.freeze();
        Ok(Asked::Here(Box::new(model)))
    }

    /// A model on a server, of which nothing is asked yet. `tokenizer` is the directory of its tokenizer.
    pub(crate) fn served(
        address: Address,
        tokenizer: Option<&Path>,
        template: &str,
        serving: &Serving,
        cache: PathBuf,
    ) -> Result<Self, Error> {
        let tokenizer = tokenizer.map(|directory| with_template(directory, template)).transpose()?;
        Ok(Asked::Served(Box::new(Served { address, tokenizer, serving: serving.clone(), cache })))
    }

    /// Lends the model, which reads at most `max_length` tokens, to some work; gives what a server says that it spent.
    pub(crate) fn lend<T>(
        &self,
        max_length: Option<usize>,
        work: impl FnOnce(&dyn LanguageModel) -> Result<T, Error>,
    ) -> Result<(T, Spent), Error> {
        let served = match self {
            Asked::Here(model) => {
                let options = LocalOptions { max_length, ..LocalOptions::default() };
                return Ok((work(&Local::new(model, options))?, Spent::default()));
            }
            Asked::Served(served) => served,
        };
        let encoder = served.tokenizer.as_ref();
        let encoder = encoder.map(|(tokenizer, chat)| Encoder { tokenizer, chat, stop_ids: Vec::new() });
        let endpoint = Endpoint::new(served.address.clone(), encoder, served.serving.options(max_length)?);
        let done = work(&Cached::open(&endpoint, served.address.to_string(), &served.cache)?)?;
        Ok((done, endpoint.spent()))
    }
}

/// A tokenizer, and the template that is to be used with it.
fn with_template(directory: &Path, template: &str) -> Result<(Tokenizer, ChatTemplate), Error> {
    let tokenizer = Tokenizer::from_directory(directory).map_err(groma_model::Error::from)?;
    if template != "auto" {
        return Ok((tokenizer, ChatTemplate::built_in(template)?));
    }
    let (name, template) = match groma_chat::template_in(directory, None).map_err(groma_model::Error::from)? {
        Some(template) => ("checkpoint", template),
        None => ("none", groma_chat::Template::new(NO_TEMPLATE).map_err(groma_model::Error::from)?),
    };
    Ok((tokenizer, ChatTemplate { name: name.to_owned(), template, stop_strings: Vec::new() }))
}

//! The model that a stage asks: weights on this machine, or a model on a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_kernels::Backend;
use groma_lm::{
    Address, Budgeted, Cached, Encoder, Endpoint, Kind, LanguageModel, Local, LocalOptions, Purse, Recorded, Spent,
    Steering,
};
use groma_model::{ChatTemplate, LocalModel, TemplateChoice, Tokenizer};

use crate::Error;
use crate::serving::Serving;

/// Renders nothing, for a tokenizer that came without a template.
const NO_TEMPLATE: &str = "{{ raise_exception('the tokenizer has no chat template; name one with --chat-template') }}";

/// A model, ready to be asked.
pub enum Asked {
    /// Weights on this machine, which nothing trains.
    Here(Box<LocalModel>),
    /// A model on a server.
    Served(Box<Served>),
}

/// A model on a server, with its tokenizer where that was named, and where its answers are kept.
pub struct Served {
    address: Address,
    tokenizer: Option<(Tokenizer, ChatTemplate)>,
    serving: Serving,
    cache: Option<PathBuf>,
    purse: Purse,
}

impl Asked {
    /// Opens the model in a directory.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn here(path: &Path, template: &TemplateChoice, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        let mut model = LocalModel::open(path, template, backend)?;
        model.freeze();
        Ok(Asked::Here(Box::new(model)))
    }

    /// A model on a server, of which nothing is asked yet. `tokenizer` is the directory of its tokenizer, `cache` that in which
    /// answers are kept.
    ///
    /// # Errors
    /// If the tokenizer cannot be read.
    pub fn served(
        address: Address,
        tokenizer: Option<&Path>,
        template: &str,
        serving: &Serving,
        cache: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let tokenizer = tokenizer.map(|directory| with_template(directory, template)).transpose()?;
        let (serving, purse) = (serving.clone(), Purse::new(serving.budget()));
        Ok(Asked::Served(Box::new(Served { address, tokenizer, serving, cache, purse })))
    }

    /// Checks, before anything is asked, that the model can be asked what is of a kind.
    ///
    /// # Errors
    /// [`Error::Unfit`].
    pub fn require(&self, kind: Kind) -> Result<(), Error> {
        match self {
            Asked::Here(model) => match Local::new(model, LocalOptions::default()).refuses(kind) {
                Some(failure) => Err(Error::Unfit { model: model.directory.display().to_string(), failure }),
                None => Ok(()),
            },
            Asked::Served(_) => Ok(()),
        }
    }

    /// Lends the model, which reads at most `max_length` tokens, to some work; gives what a server says that it spent. Answers
    /// that are kept cost nothing of a budget, and are not recorded again.
    ///
    /// # Errors
    /// Those of the work, and where files of the cache or the record cannot be made or written.
    pub fn lend<T, E: From<Error>>(
        &self,
        max_length: Option<usize>,
        work: impl FnOnce(&dyn LanguageModel) -> Result<T, E>,
    ) -> Result<(T, Spent), E> {
        self.lend_steered(max_length, None, work)
    }

    /// The model's weights.
    ///
    /// # Errors
    /// [`Error::OnServer`].
    pub fn weights(&self) -> Result<&LocalModel, Error> {
        match self {
            Asked::Here(model) => Ok(model),
            Asked::Served(served) => Err(Error::OnServer { model: served.address.to_string() }),
        }
    }

    /// [`Asked::lend`], where the model's answers are steered.
    ///
    /// # Errors
    /// As for [`Asked::lend`], and [`Error::OnServer`].
    pub fn lend_steered<T, E: From<Error>>(
        &self,
        max_length: Option<usize>,
        steering: Option<Steering<'_>>,
        work: impl FnOnce(&dyn LanguageModel) -> Result<T, E>,
    ) -> Result<(T, Spent), E> {
        let served = match self {
            Asked::Here(model) => {
                let options = LocalOptions { max_length, ..LocalOptions::default() };
                return Ok((work(&Local { steering, ..Local::new(model, options) })?, Spent::default()));
            }
            Asked::Served(served) if steering.is_some() => {
                return Err(Error::OnServer { model: served.address.to_string() }.into());
            }
            Asked::Served(served) => served,
        };
        let encoder = served.tokenizer.as_ref();
        let encoder = encoder.map(|(tokenizer, chat)| Encoder { tokenizer, chat, stop_ids: Vec::new() });
        let endpoint = Endpoint::new(served.address.clone(), encoder, served.serving.options(max_length)?);
        let id = served.address.to_string();
        let record = served.serving.record.as_deref();
        let recorded = record.map(|path| Recorded::open(&endpoint, &id, path)).transpose().map_err(Error::from)?;
        let asked = recorded.as_ref().map_or(&endpoint as &dyn LanguageModel, |recorded| recorded);
        let budgeted = Budgeted::new(asked, &served.purse);
        let done = match &served.cache {
            Some(directory) => work(&Cached::open(&budgeted, &id, directory).map_err(Error::from)?)?,
            None => work(&budgeted)?,
        };
        recorded.map(Recorded::finish).transpose().map_err(Error::from)?;
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
    Ok((tokenizer, ChatTemplate { name: name.to_owned(), template, stop_strings: Vec::new(), guessed: false }))
}

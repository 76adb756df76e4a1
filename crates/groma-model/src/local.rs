//! A model with all that belongs to it: weights, tokenizer, chat template, and an adapter where the directory is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_chat::{BUILT_IN, BuiltIn, Message, Options, Template, TemplateError, template_in};
use groma_kernels::Backend;
use groma_run::{Digest, Hasher};

use crate::inference::score::{ScoreOptions, ScoreRequest, score};
use crate::tokenizer::{Boundary, Specials, TokenOptions};
use crate::{AdapterFile, Checkpoint, Error, Result, Spec, Tokenizer, Transformer};

/// A chat template, and where it came from.
#[derive(Debug)]
pub struct ChatTemplate {
    /// `checkpoint`, or the id of a built-in one.
    pub name: String,
    /// The template.
    pub template: Template,
    /// Strings that end a turn, for templates without an end token.
    pub stop_strings: Vec<String>,
    /// Whether nobody named it: it is the built-in one under which the model finds a short conversation most likely.
    pub guessed: bool,
}

/// Which chat template a model is used with, and what it shows of the date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateChoice {
    /// The built-in one of this id. `None` is the checkpoint's own; without one, the built-in template under which the model
    /// finds a short conversation most likely (see [`LocalModel::open`]).
    pub built_in: Option<String>,
    /// The date that templates show, where it is not to be today's.
    pub date: Option<jiff::civil::DateTime>,
}

impl TemplateChoice {
    /// From `auto` or the id of a built-in template, with the date to show after an `@` where it is pinned:
    /// `auto@2024-07-26`.
    ///
    /// # Errors
    /// Where the date is none.
    pub fn parse(text: &str) -> Result<TemplateChoice> {
        let (id, date) = text.split_once('@').map_or((text, None), |(id, date)| (id, Some(date)));
        let date = date.map(|date| {
            date.parse().map_err(|error| TemplateError::Asked {
                problem: format!(
                    "chat template `{text}`: after `@` a date is expected, as in `auto@2024-07-26` ({error})"
                ),
            })
        });
        Ok(TemplateChoice { built_in: Some(id).filter(|id| *id != "auto").map(str::to_owned), date: date.transpose()? })
    }
}

/// A model opened from a directory in Hugging Face layout, or from an adapter's directory in PEFT layout.
#[derive(Debug)]
pub struct LocalModel {
    /// Where it was opened.
    pub directory: PathBuf,
    /// The (base) model's files.
    pub checkpoint: Checkpoint,
    /// The adapter's directory is `directory` itself.
    pub is_adapter: bool,
    /// The model.
    pub transformer: Transformer,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template.
    pub chat: ChatTemplate,
}

impl LocalModel {
    /// Opens `directory`.
    ///
    /// Where neither the checkpoint nor the caller names a chat template, the built-in templates whose control tokens the
    /// tokenizer has are tried on a short conversation, and the one with the highest log-probability a byte is taken.
    ///
    /// # Errors
    /// Where a file is missing, malformed or does not fit the others.
    pub fn open(directory: &Path, choice: &TemplateChoice, backend: Arc<dyn Backend>) -> Result<LocalModel> {
        let is_adapter = AdapterFile::is_in(directory);
        let checkpoint = base_checkpoint(directory)?;
        let transformer = open_transformer(directory, &checkpoint, checkpoint.spec().clone(), backend)?;
        let own = own_or_base(directory, &checkpoint);
        let tokenizer = open_tokenizer(directory, &checkpoint)?;
        let chat = match ChatTemplate::named(own, choice)? {
            Some(chat) => chat,
            None => likeliest(&transformer, &tokenizer)?.pinned(choice),
        };
        let directory = directory.to_owned();
        Ok(LocalModel { directory, checkpoint, is_adapter, transformer, tokenizer, chat })
    }

    /// What opening the model in a directory would find wrong with it, but for the values of its weights, which are not read;
    /// gives its checkpoint, or that of its adapter's base.
    ///
    /// # Errors
    /// As for [`LocalModel::open`].
    pub fn check(directory: &Path, choice: &TemplateChoice) -> Result<Checkpoint> {
        let checkpoint = base_checkpoint(directory)?;
        checkpoint.check_weights()?;
        if AdapterFile::is_in(directory) {
            AdapterFile::read(directory, checkpoint.spec())?;
        }
        let own = own_or_base(directory, &checkpoint);
        open_tokenizer(directory, &checkpoint)?;
        match &choice.built_in {
            Some(id) => drop(ChatTemplate::built_in(id)?),
            None => drop(template_in(own, None)?),
        }
        Ok(checkpoint)
    }

    /// Keeps all weights packed, for work that does not change them.
    pub fn freeze(&mut self) {
        self.transformer.parameters_mut().set_trainable(|_| false);
        self.transformer.freeze();
    }

    /// Digest of weights, configuration and adapter.
    pub fn digest(&self) -> Result<Digest> {
        let base = self.checkpoint.digest()?;
        if !self.is_adapter {
            return Ok(base);
        }
        let mut hasher = Hasher::default();
        hasher.part(base.as_bytes());
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            hasher.part(Digest::of_file(&self.directory.join(name))?.as_bytes());
        }
        Ok(hasher.finish())
    }

    /// Tokens that end an answer: those that the files name, and the one by which the chat template ends a turn.
    pub fn stop_ids(&self) -> Vec<u32> {
        let mut ids = self.tokenizer.stop_ids().to_vec();
        ids.extend(&self.checkpoint.special_ids().eos);
        ids.extend(self.tokenizer.eos());
        ids.extend(self.chat.turn_end(&self.tokenizer));
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl ChatTemplate {
    /// The one that the caller or the files in a directory name, if either does.
    fn named(directory: &Path, choice: &TemplateChoice) -> Result<Option<ChatTemplate>> {
        let named = match &choice.built_in {
            Some(id) => Some(ChatTemplate::built_in(id)?),
            None => template_in(directory, None)?.map(ChatTemplate::of_checkpoint).transpose()?,
        };
        Ok(named.map(|chat| chat.pinned(choice)))
    }

    /// With the date that is chosen.
    fn pinned(mut self, choice: &TemplateChoice) -> ChatTemplate {
        if let Some(date) = choice.date {
            self.template = self.template.pinned(date);
        }
        self
    }

    /// The control token at the end of an answer; `None` where an answer ends in text, or the template refuses so short a
    /// conversation.
    pub fn turn_end(&self, tokenizer: &Tokenizer) -> Option<u32> {
        let turns = [Message::new("user", "Hello"), Message::new("assistant", "Hi")];
        let options = TokenOptions { boundary: Boundary::Separate, ..TokenOptions::default() };
        let chat = tokenizer.conversation(&self.template, &turns, &options).ok()?;
        let last = chat.assistant_mask.iter().rposition(|is_answer| *is_answer)?;
        Some(chat.ids[last]).filter(|id| tokenizer.is_control(*id))
    }

    /// A checkpoint's own template; one that was a built-in one when the model was trained here is that again, with its
    /// stop strings.
    fn of_checkpoint(template: Template) -> Result<ChatTemplate> {
        match BUILT_IN.iter().find(|built_in| built_in.source == template.source()) {
            Some(built_in) => ChatTemplate::built_in(built_in.id),
            None => Ok(ChatTemplate { name: "checkpoint".into(), template, stop_strings: Vec::new(), guessed: false }),
        }
    }

    /// The built-in template `id`.
    ///
    /// # Errors
    /// Where there is none of that id.
    pub fn built_in(id: &str) -> Result<ChatTemplate> {
        let template = Template::built_in(id)?;
        let stop_strings = BUILT_IN.iter().find(|built_in| built_in.id == id).map_or(&[][..], |b| b.stop_strings);
        let stop_strings = stop_strings.iter().map(|s| (*s).into()).collect();
        Ok(ChatTemplate { name: id.into(), template, stop_strings, guessed: false })
    }
}

/// The checkpoint in a directory, or that which the adapter in it adapts.
///
/// # Errors
/// As for [`Checkpoint::open`], and where an adapter's base model is not on this disk.
pub fn base_checkpoint(directory: &Path) -> Result<Checkpoint> {
    let base =
        if AdapterFile::is_in(directory) { AdapterFile::base_directory(directory)? } else { directory.to_owned() };
    Checkpoint::open(&base)
}

/// What the model in a directory is, with the heads that an adapter gives it; weights are not read but for the adapter's.
///
/// # Errors
/// As for [`base_checkpoint`], and where an adapter's files do not fit its base.
pub fn spec_in(directory: &Path) -> Result<Spec> {
    let checkpoint = base_checkpoint(directory)?;
    match AdapterFile::is_in(directory) {
        true => Ok(checkpoint.spec().with_heads(&AdapterFile::read(directory, checkpoint.spec())?.heads)),
        false => Ok(checkpoint.spec().clone()),
    }
}

/// The tokenizer in a directory, or that of the checkpoint which the adapter in it adapts.
///
/// # Errors
/// As for [`Tokenizer::from_directory`]; and where an id of it is beyond the checkpoint's vocabulary, so that what it encodes can
/// always be read by the model.
pub fn open_tokenizer(directory: &Path, checkpoint: &Checkpoint) -> Result<Tokenizer> {
    let tokenizer = Tokenizer::from_directory(own_or_base(directory, checkpoint))?;
    tokenizer.check_embedding(checkpoint.spec().vocab_size)?;
    Ok(tokenizer)
}

/// The tokenizer in a directory, which may hold nothing else, or that of the base of the adapter in it; and the chat template
/// that is used with it, unless that must be guessed by the model.
///
/// # Errors
/// Where a file is missing or malformed.
pub fn tokens_in(directory: &Path, choice: &TemplateChoice) -> Result<(Tokenizer, Option<ChatTemplate>)> {
    let base = if AdapterFile::is_in(directory) { Some(AdapterFile::base_directory(directory)?) } else { None };
    let own = match base {
        Some(base) if !directory.join("tokenizer.json").exists() => base,
        _ => directory.to_owned(),
    };
    Ok((Tokenizer::from_directory(&own)?, ChatTemplate::named(&own, choice)?))
}

/// Where the tokenizer's files are.
fn own_or_base<'a>(directory: &'a Path, checkpoint: &'a Checkpoint) -> &'a Path {
    if directory.join("tokenizer.json").exists() { directory } else { checkpoint.directory() }
}

/// The model in a directory whose [`base_checkpoint`] is `checkpoint`, with the adapter where the directory is one. `spec`
/// is the checkpoint's own, or that for a length (see [`Spec::for_length`]).
///
/// # Errors
/// Where a file is missing, malformed or does not fit the others.
pub fn open_transformer(
    directory: &Path,
    checkpoint: &Checkpoint,
    spec: Spec,
    backend: Arc<dyn Backend>,
) -> Result<Transformer> {
    if !AdapterFile::is_in(directory) {
        return Transformer::open(spec, checkpoint, &BTreeMap::new(), backend);
    }
    let adapter = AdapterFile::read(directory, checkpoint.spec())?;
    adapted(checkpoint, spec, &adapter, backend)
}

/// A base model with an adapter, which may bring heads of its own.
fn adapted(
    checkpoint: &Checkpoint,
    spec: Spec,
    adapter: &AdapterFile,
    backend: Arc<dyn Backend>,
) -> Result<Transformer> {
    let spec = spec.with_heads(&adapter.heads);
    let mut transformer = Transformer::open(spec, checkpoint, &adapter.head_weights, backend)?;
    transformer.attach(&adapter.lora())?;
    Ok(transformer)
}

/// The built-in template that fits a model best, by the log-probability a byte of a short conversation.
fn likeliest(transformer: &Transformer, tokenizer: &Tokenizer) -> Result<ChatTemplate> {
    let conversation = [
        Message::new("user", "Hello, how are you?"),
        Message::new("assistant", "I am fine, thank you. How are you?"),
        Message::new("user", "I am well. What can you do?"),
        Message::new("assistant", "I can answer questions and talk with you."),
    ];
    let known = |built_in: &&BuiltIn| built_in.control_tokens.iter().all(|token| tokenizer.id(token).is_some());
    let mut best: Option<(f64, &str)> = None;
    for built_in in BUILT_IN.iter().filter(known) {
        let template = Template::built_in(built_in.id)?;
        let options = Options { variables: tokenizer.template_variables(), ..Options::default() };
        let text = template.render(&conversation, &options)?.text;
        let ids = tokenizer.encode(&text, Specials::AsConfigured)?;
        let Some((first, rest)) = ids.split_first() else { continue };
        if !transformer.spec().predicts() || ids.len() > transformer.spec().max_positions {
            best = best.or(Some((f64::NEG_INFINITY, built_in.id)));
            continue;
        }
        let request = ScoreRequest { context: vec![*first], continuation: rest.to_vec() };
        let scored = score(transformer, &[request], &ScoreOptions::default(), &mut |_| true)?;
        let per_byte = scored.first().map_or(f64::NEG_INFINITY, |s| s.sum()) / text.len() as f64;
        if best.is_none_or(|(found, _)| per_byte > found) {
            best = Some((per_byte, built_in.id));
        }
    }
    let (_, id) =
        best.ok_or_else(|| Error::Weights { problem: "no built-in chat template fits the tokenizer".into() })?;
    Ok(ChatTemplate { guessed: true, ..ChatTemplate::built_in(id)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_chosen_by_name_and_date() {
        let choice = |built_in: Option<&str>, day: Option<i8>| TemplateChoice {
            built_in: built_in.map(str::to_owned),
            date: day.map(|day| jiff::civil::date(2024, 7, day).into()),
        };
        assert_eq!(TemplateChoice::parse("auto").unwrap(), choice(None, None));
        assert_eq!(TemplateChoice::parse("llama3").unwrap(), choice(Some("llama3"), None));
        assert_eq!(TemplateChoice::parse("auto@2024-07-26").unwrap(), choice(None, Some(26)));
        let error = TemplateChoice::parse("auto@yesterday").unwrap_err();
        assert!(error.to_string().contains("after `@` a date is expected"), "{error}");
    }
}

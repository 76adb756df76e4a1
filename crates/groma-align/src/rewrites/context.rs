//! Context distillation: what is said with a text before it is learned without it.

use super::rewrite::{Rewrite, typed};
use super::turns::with_messages;
use crate::parameter::{Kind, Parameter};
use groma_data::{Content, Message, Row, Shape};
use serde::Deserialize;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "context",
    title: "Context distillation",
    paper: "Askell et al. 2021 (arXiv 2112.00861); Snell et al. 2022 (arXiv 2209.15189)",
    doc: "Puts a text before prompts (`change = add`), as a system turn or before a plain text; or takes it away again (`remove`). \
          A model answers prompts with it (a `generate` stage); the answers without it are rows for `sft`. Differs from Askell et \
          al.: answers are sampled, in place of a divergence over whole distributions. For that, `tell` puts the text into the \
          column `privileged_context`, which the teacher alone reads in `self_distillation`.",
    data: &[Shape::PromptOnly, Shape::PromptCompletion],
    parameters: &[
        Parameter { name: "context", kind: Kind::Text, default: "null", range: None, doc: "The text. Must be given." },
        Parameter {
            name: "change",
            kind: Kind::Choice(&["add", "remove", "tell"]),
            default: "\"add\"",
            range: None,
            doc: "Whether it is put there, taken away, or told a teacher.",
        },
    ],
    build: |settings| {
        let Context { context, change } = typed(settings)?;
        let Some(context) = context else { return Err("the setting `context` must hold the text".to_owned()) };
        if change == "tell" {
            return Ok(Box::new(move |row| {
                let mut row = row.clone();
                row.other.insert("privileged_context".to_owned(), context.as_str().into());
                Ok(vec![row])
            }));
        }
        let change = if change == "add" { with } else { without };
        Ok(Box::new(move |row| {
            let prompt = Some(change(row.question(), &context)?);
            Ok(vec![Row { prompt, ..row.clone() }])
        }))
    },
};

#[derive(Debug, Deserialize)]
struct Context {
    context: Option<String>,
    change: String,
}

const BETWEEN: &str = "\n\n";

fn with(prompt: &Content, context: &str) -> Result<Content, String> {
    let Content::Messages(turns) = prompt else {
        return Ok(Content::Text(format!("{context}{BETWEEN}{}", prompt.plain())));
    };
    let mut messages = turns.messages.clone();
    match messages.first_mut().filter(|message| message.role == "system") {
        Some(system) => system.content = format!("{context}{BETWEEN}{}", system.content),
        None => messages.insert(0, Message::new("system", context)),
    }
    Ok(with_messages(turns, messages))
}

/// # Errors
/// Where the prompt does not begin with the text.
fn without(prompt: &Content, context: &str) -> Result<Content, String> {
    let missing = || "the prompt does not begin with the context that is to be removed".to_owned();
    let rest = |text: &str| Some(text.strip_prefix(context)?.strip_prefix(BETWEEN)?.to_owned());
    let Content::Messages(turns) = prompt else {
        return rest(&prompt.plain()).map(Content::Text).ok_or_else(missing);
    };
    let mut messages = turns.messages.clone();
    let system = messages.first_mut().filter(|message| message.role == "system").ok_or_else(missing)?;
    match rest(&system.content) {
        Some(own) => system.content = own,
        None if system.content == context => drop(messages.remove(0)),
        None => return Err(missing()),
    }
    Ok(with_messages(turns, messages))
}

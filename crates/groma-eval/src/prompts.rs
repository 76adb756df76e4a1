//! Items that ask for an answer in text.

use groma_data::{Content, Message};
use groma_lm::Request;

use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};

/// An item that asks the subject for its answer to one user turn.
pub fn prompt_item(prompt: &str, key: Key) -> Item {
    let asked = Content::from(vec![Message::new("user", prompt)]);
    Item { prompt: prompt.to_owned(), requests: vec![Request::Generate(asked)], key, ..Item::default() }
}

/// The same of a row's prompt; with `raw`, as a text to go on from, and with `conversation`, in the form of its column.
pub(crate) fn asked(form: &Form, row: &Fields, key: Key) -> Result<Item, String> {
    let prompt = match form.conversation(row)? {
        Some(conversation) => conversation,
        None if form.says("raw", row)? => Content::Text(form.text("prompt", row)?),
        None => Content::from(vec![Message::new("user", form.text("prompt", row)?)]),
    };
    let shown = prompt.plain();
    if shown.trim().is_empty() {
        return Err("its prompt is empty".to_owned());
    }
    Ok(Item { prompt: shown, requests: vec![Request::Generate(prompt)], key, ..Item::default() })
}

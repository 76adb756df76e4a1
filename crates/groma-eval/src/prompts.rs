//! Items that ask for an answer in text.

use groma_data::{Content, Message};

use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::request::Request;

/// An item that asks the subject for its answer to one user turn.
pub fn prompt_item(prompt: &str, key: Key) -> Item {
    let asked = Content::Messages(vec![Message::new("user", prompt)]);
    Item { prompt: prompt.to_owned(), requests: vec![Request::Generate { prompt: asked }], key, ..Item::default() }
}

/// The same of a row's prompt; with `raw`, as a text to go on from.
pub(crate) fn asked(form: &Form, row: &Fields, key: Key) -> Result<Item, String> {
    let prompt = form.text("prompt", row)?;
    if prompt.trim().is_empty() {
        return Err("its prompt is empty".to_owned());
    }
    if form.says("raw", row)? {
        let requests = vec![Request::Generate { prompt: Content::Text(prompt.clone()) }];
        return Ok(Item { prompt, requests, key, ..Item::default() });
    }
    Ok(prompt_item(&prompt, key))
}

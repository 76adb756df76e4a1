//! Held-out prompts of the preference pairs as items whose answers are read for refusals, and shown side by side.

use std::path::Path;

use groma_data::{Content, ReadOptions, Shape, ShapeOptions, read};
use groma_eval::{Item, Items, Key, Request};

use crate::Error;

/// One item a different prompt, in the order of the file.
pub(crate) fn items(harmful: bool, path: &Path) -> Result<Items, Error> {
    let table = read(path, &ReadOptions::default())?;
    let pairs = table.into_rows(&ShapeOptions::default(), &[Shape::Preference])?;
    let mut items: Vec<Item> = Vec::new();
    for pair in pairs.rows {
        let item = Item {
            id: Some(pair.location.line.to_string()),
            prompt: pair.question().plain(),
            requests: vec![Request::Generate { prompt: pair.question().clone() }],
            key: Key::Request { harmful },
            reference: pair.answer(0).map(Content::plain),
            ..Item::default()
        };
        if items.iter().all(|other| other.requests != item.requests) {
            items.push(item);
        }
    }
    Ok(Items { items, bad_rows: pairs.bad.count, shots: 0 })
}

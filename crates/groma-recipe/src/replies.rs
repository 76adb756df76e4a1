//! Held-out prompts of the preference pairs as items whose answers are read for refusals, and shown side by side.

use std::path::Path;

use groma_data::{ReadOptions, ShapeOptions, read};
use groma_eval::{Item, Items, Key, Request};

use crate::Error;

/// One item a different prompt, in the order of the file.
pub(crate) fn items(harmful: bool, path: &Path) -> Result<Items, Error> {
    let pairs = read(path, &ReadOptions::default())?.into_preferences(&ShapeOptions::default())?;
    let mut items: Vec<Item> = Vec::new();
    for pair in pairs.rows {
        let item = Item {
            id: Some(pair.location.line.to_string()),
            prompt: pair.prompt.plain(),
            requests: vec![Request::Generate { prompt: pair.prompt }],
            key: Key::Request { harmful },
            reference: Some(pair.chosen.plain()),
            ..Item::default()
        };
        if items.iter().all(|other| other.requests != item.requests) {
            items.push(item);
        }
    }
    Ok(Items { items, bad_rows: pairs.bad.count, shots: 0 })
}

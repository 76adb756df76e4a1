//! What scorers ask alike.

use std::sync::Arc;

use crate::columns::Fields;
use crate::form::Form;
use crate::item::Item;
use groma_lm::{Continuation, Request};

/// Between a question and its answer: a space, unless the form says otherwise.
pub(super) fn delimiter(form: &Form, row: &Fields) -> Result<String, String> {
    Ok(form.optional_text("delimiter", row)?.unwrap_or_else(|| " ".to_owned()))
}

/// Requests for continuations of one context, of which they hold one copy.
pub(super) fn after_one(context: &str, continuations: impl IntoIterator<Item = String>) -> Vec<Request> {
    let context: Arc<str> = context.into();
    let request = |continuation| Request::Score(Continuation::After { context: context.clone(), continuation });
    continuations.into_iter().map(request).collect()
}

/// Rows are read by another reader than `rows`; see [`crate::task::Reader`].
pub(super) fn no_rows(_: &Form, _: &Fields) -> Result<Item, String> {
    Err("its scorer makes no items of rows".to_owned())
}

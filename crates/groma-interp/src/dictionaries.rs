//! The kinds of sparse dictionaries, one file and one record each.

use groma_model::{Error, Result};

mod jump_relu;
mod kind;
mod topk;

pub use kind::{Kind, Moment, Sparsity};

/// All kinds.
pub const KINDS: [&Kind; 2] = [&topk::TOPK, &jump_relu::JUMP_RELU];

impl Kind {
    /// The kind of that id.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(id: &str) -> Result<&'static Kind> {
        let nearest = KINDS.iter().max_by(|a, b| strsim::jaro(a.id, id).total_cmp(&strsim::jaro(b.id, id)));
        let unknown = || Error::Fit {
            problem: format!(
                "no dictionary is called `{id}`; did you mean `{}`?",
                nearest.map_or("topk", |kind| kind.id)
            ),
        };
        KINDS.into_iter().find(|kind| kind.id == id).ok_or_else(unknown)
    }
}

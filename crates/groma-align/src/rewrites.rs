//! Rows made of other rows, so that a way of learning is plain supervised training on what it makes.
//!
//! A [`Rewrite`] is a record, one file each; to add one: its file, its `mod` and its place in [`REWRITES`]. It sees one row at a
//! time, and makes as many of it as it will.

mod apart;
mod attributes;
mod context;
mod control_tokens;
mod diagnosis;
mod edits;
mod hindsight;
mod refinement;
mod rewrite;
mod side;
mod turns;

pub use edits::{Edit, applied as apply_edits, edits};
pub use rewrite::{Rewrite, Rewriter};
pub(crate) use turns::tagged;

use crate::Error;
use crate::nearest::nearest;

/// All ways of rewriting rows.
pub static REWRITES: &[&Rewrite] = &[
    &apart::REWRITE,
    &attributes::REWRITE,
    &context::REWRITE,
    &control_tokens::REWRITE,
    &diagnosis::REWRITE,
    &edits::REWRITE,
    &hindsight::REWRITE,
    &refinement::REWRITE,
    &side::REWRITE,
];

impl Rewrite {
    /// The one of that id.
    ///
    /// # Errors
    /// [`Error::UnknownRewrite`], with the nearest and all that there are.
    pub fn find(id: &str) -> Result<&'static Rewrite, Error> {
        let ids: Vec<&str> = REWRITES.iter().map(|rewrite| rewrite.id).collect();
        let found = REWRITES.iter().find(|rewrite| rewrite.id == id).copied();
        found.ok_or_else(|| Error::UnknownRewrite {
            name: id.to_owned(),
            suggestion: nearest(id, &ids),
            known: ids.join(", "),
        })
    }
}

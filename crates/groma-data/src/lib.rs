//! Rows and their readers: JSONL, JSON, CSV and Parquet, plain or compressed, in the shapes alignment uses.
//!
//! Three steps, each usable alone:
//!
//! 1. [`read`] turns a file into a [`Table`] of [`Record`]s: a place (`file:line`) and named fields. Limits are checked
//!    before memory is spent; a row that cannot be read is named, counted, and stops the reading or not, as
//!    [`OnBadRow`] says.
//! 2. [`Table::into_rows`] turns records into [`Row`]s of a [`Shape`], by a [`Layout`] of columns (named or detected).
//! 3. [`split`], [`order`], [`sample`], [`duplicates`], [`overlap`] and [`digest`] work on any rows that have
//!    [`Content`]-based [`Fingerprint`]s; [`write_jsonl`] writes rows back, whole or not at all.
//!
//! ```no_run
//! # fn main() -> Result<(), groma_data::Error> {
//! use groma_data::{ReadOptions, Shape, ShapeOptions, read};
//! use groma_run::Seed;
//!
//! let table = read("pairs.jsonl.gz".as_ref(), &ReadOptions::default())?;
//! let pairs = table.into_rows(&ShapeOptions::default(), &[Shape::Preference])?;
//! let parts = groma_data::split(&pairs.rows, 0.1, Seed::new(42))?;
//! # Ok(()) }
//! ```

mod columnar;
mod comparisons;
mod convert;
mod delimited;
mod document;
mod error;
mod excerpt;
mod extract;
mod fingerprint;
mod format;
mod jsonl;
mod layout;
mod limits;
mod lines;
mod location;
mod message;
mod page_scan;
mod page_size;
mod pair;
mod policy;
mod problem;
mod read;
mod reader;
mod repeated;
mod role;
mod row;
mod select;
mod shape;
mod source;
mod strict_json;
mod table;
mod text;
mod transcript;
mod truth;
mod unfit;
mod write;

pub use convert::ShapeOptions;
pub use error::{Error, Result};
pub use extract::extract_prompt;
pub use fingerprint::{Digest, Duplicates, Fingerprint, Overlap, digest, duplicates, overlap};
pub use format::{Compression, Format};
pub use groma_chat::{Message, Turns};
pub use layout::{LAYOUTS, Layout};
pub use limits::Limits;
pub use location::Location;
pub use message::Content;
pub use policy::OnBadRow;
pub use problem::{BadRows, MAX_PROBLEMS_SHOWN, RowProblem};
pub use read::{ReadOptions, read};
pub use row::{Answer, Fields, Row, Rows};
pub use select::{Split, below, order, sample, split, uniform};
pub use shape::Shape;
pub use table::{Record, Rename, Table};
pub use text::TextUnit;
pub use transcript::parse_transcript;
pub use truth::{Check, Truth};
pub use write::write_jsonl;

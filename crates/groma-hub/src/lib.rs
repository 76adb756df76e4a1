//! Pinned snapshots of models and datasets from the Hugging Face hub, through its usual cache.
//!
//! The cache's layout and the hub's addresses are those of the `hf-hub` crate, so what Python tools downloaded is found
//! here and the other way round. The transfer itself is ours: it has time limits, resumes, checks sizes and SHA-256
//! digests, refuses names and redirects that lead elsewhere, and sends the token to the hub's own host only.
//!
//! [`Reference::resolve`] decides whether a text means a local path or a hub id; [`Hub::model`] and [`Hub::dataset`]
//! return local paths and the commit they belong to. Nothing else in groma knows that a hub exists.
//!
//! ```no_run
//! # fn main() -> Result<(), groma_hub::Error> {
//! use groma_hub::{Hub, Reference, Settings};
//!
//! if let Reference::Hub(id) = Reference::resolve("HuggingFaceTB/SmolLM2-135M@main")? {
//!     let snapshot = Hub::new(Settings::from_environment()?)?.model(&id, &mut |_| {})?;
//!     assert!(snapshot.directory.join("config.json").exists());
//! }
//! # Ok(()) }
//! ```

mod cache;
mod error;
mod http;
mod hub;
mod id;
mod private;
mod reference;
mod select;
mod settings;
mod transfer;

pub use error::{Error, Result};
pub use groma_run::Secret as Token;
pub use hub::{Hub, Snapshot};
pub use id::HubId;
pub use reference::Reference;
pub use settings::Settings;
pub use transfer::Transferred;

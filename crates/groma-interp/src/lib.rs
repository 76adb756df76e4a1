//! Looking inside a model: sparse dictionaries of its activations, and steering along directions found in them.
//!
//! Everything here is a reader of hook points ([`groma_model::View`]) or an intervention at them; what it trains is fitted
//! with the optimizer, schedule and checkpoints of [`groma_model::training`].

pub mod dictionaries;
pub mod steering;

mod activations;
mod dictionary;
mod fidelity;

pub use activations::Activations;
pub use dictionary::{Dictionary, DictionarySettings, DictionaryTraining, Features};
pub use fidelity::{Fidelity, Recovered};

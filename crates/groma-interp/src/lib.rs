//! Looking inside a model: lenses, attribution, patching, sparse dictionaries of its activations, and steering along directions
//! found in them.
//!
//! Everything here is a reader of hook points ([`groma_model::View`]) or an intervention at them; what it trains is fitted
//! with the optimizer, schedule and checkpoints of [`groma_model::training`]. An [`Instrument`] is one file and one record that
//! puts such pieces to work on rows, with its null control, and leaves measurements and pictures.

pub mod attribution;
pub mod dictionaries;
pub mod direction;
pub mod logistic;
pub mod logit_lens;
pub mod patching;
pub mod steering;

mod activations;
mod dictionary;
mod error;
mod fidelity;
mod instrument;
mod instruments;
mod numbers;
mod probe;
mod subject;
mod unembedding;
mod words;

pub use activations::{Activations, Tokens};
pub use dictionary::{Dictionary, DictionarySettings, DictionaryTraining, DictionaryWeights, Features};
pub use error::{Error, Result};
pub use fidelity::{Fidelity, Recovered};
pub use instrument::{Found, Instrument, Look, Need};
pub use instruments::INSTRUMENTS;
pub use probe::{Probe, ReadOff};
pub use subject::{Case, Material, Subject};

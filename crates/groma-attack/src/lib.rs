//! Defences of models that are asked.
//!
//! A [`Defence`] is a record that makes a [`Shield`] of its settings; [`Defended`] is a model behind one, and itself a model:
//! whatever asks it, a benchmark or an attack, asks through the defence, so that every attack on it is an adaptive one.

mod defence;
mod defences;
mod defended;
mod error;
mod prompt;

pub use defence::{Defence, Refuses, Shield};
pub use defences::DEFENCES;
pub use defended::Defended;
pub use error::Error;

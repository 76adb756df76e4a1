//! Inner alignment: experiments on what an agent or a model really learned, and what becomes of a goal that is optimised hard.
//!
//! An [`Experiment`] states its hypothesis, its control and its metric before it is done. Those here are small enough to be
//! compared with what theory or enumeration says, and claim nothing beyond their size.

pub mod form;

mod error;
mod experiment;
mod experiments;
mod policy_gradient;

pub use error::Error;
pub use experiment::{Bench, Experiment};
pub use experiments::EXPERIMENTS;

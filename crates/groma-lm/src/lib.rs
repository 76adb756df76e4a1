//! Language models behind one trait.
//!
//! A [`LanguageModel`] *generates* replies to prompts and *scores* continuations after contexts. Each [`Ask`] says all that
//! its reply depends on; a result is a value, a [`Failure`] too, and one for each thing that was asked. [`Local`] is a model
//! in this process, [`Endpoint`] one behind an OpenAI-compatible server, [`Scripted`] one for tests; [`Cached`] keeps answers.
//!
//! [`Encoder`] is the one way from texts and conversations to a model's tokens.

mod ask;
mod cached;
mod encoder;
mod endpoint;
mod failure;
mod local;
mod model;
mod pair;
mod request;
mod scoring;
mod scripted;
mod tokens;
mod windows;

pub use ask::{Ask, Choice, Reply, Usage};
pub use cached::Cached;
pub use encoder::Encoder;
pub use endpoint::{Address, AddressError, Api, Endpoint, EndpointOptions, Spent};
pub use failure::Failure;
pub use groma_model::generate::Finish;
pub use groma_model::sampling::SamplingParameters;
pub use local::{Local, LocalOptions};
pub use model::{Control, Kind, LanguageModel, Sink};
pub use pair::{cut_to_fit, encode_pair};
pub use request::{Answer, Request};
pub use scoring::{Continuation, Scored};
pub use scripted::Scripted;
pub use windows::{RollingWindow, rolling_windows};

//! Language models behind one trait.
//!
//! A [`LanguageModel`] *generates* replies to prompts and *scores* continuations after contexts. Each [`Ask`] says all that
//! its reply depends on; a result is a value, a [`Failure`] too, and one for each thing that was asked. [`Local`] is a model
//! in this process, [`Endpoint`] one behind an OpenAI-compatible server, [`Scripted`] one for tests. Three wrap a model:
//! [`Cached`] keeps answers, [`Budgeted`] asks for so much and no more, [`Recorded`] writes down what was asked and answered.
//!
//! A [`RewardServer`] says in numbers what completions are worth.
//!
//! A model that judges is asked and read by [`rating`] or [`refusal`], and [`verdict`].
//!
//! [`Encoder`] is the one way from texts and conversations to a model's tokens.

mod ask;
mod budgeted;
mod cached;
mod encoder;
mod endpoint;
mod failure;
mod judge;
mod kind;
mod local;
mod model;
mod pair;
mod pieces;
mod recorded;
mod request;
mod scoring;
mod scripted;
mod steering;
mod steps;
mod tokens;
mod windows;

pub use ask::{Ask, Choice, Reply, Usage};
pub use budgeted::{Budget, Budgeted, Prices, Purse};
pub use cached::Cached;
pub use encoder::{Encoder, begun};
pub use endpoint::{Address, AddressError, Api, Endpoint, EndpointOptions, Rated, RewardServer, Spent};
pub use failure::Failure;
pub use groma_model::generate::Finish;
pub use groma_model::guidance::{ByAdvantage, SelfDebias, SelfDetox};
pub use groma_model::sampling::SamplingParameters;
pub use judge::{RATING, REFUSAL, defused, rating, read_rating, read_refusal, refusal, verdict};
pub use kind::Kind;
pub use local::{Local, LocalOptions};
pub use model::{Control, Cost, LanguageModel, Sink};
pub use pair::{cut_to_fit, encode_pair};
pub use recorded::{Exchange, Recorded};
pub use request::{Answer, Request};
pub use scoring::{Continuation, Scored};
pub use scripted::Scripted;
pub use steering::Steering;
pub use steps::step_ends;
pub use windows::{RollingWindow, rolling_windows};

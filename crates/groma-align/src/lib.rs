//! The training loop, and the methods that turn log-probabilities and rewards into a loss and its gradient.
//!
//! 1. A [`Method`] is a record: what rows it reads, which hyperparameters it has. [`Settings::resolve`] checks a config
//!    table against it.
//! 2. [`prepare`] turns rows into [`Example`]s (tokens and masks), with findings for what is not as it should be.
//! 3. [`setup`] makes a model ready: an adapter where `lora` asks for one, a score head for reward models.
//! 4. [`train`] runs the loop: resumable to the bit, watched by [`Observer`]s.
//! 5. [`export`] writes the result in Hugging Face or PEFT layout with a model card.

pub mod example;
pub mod losses;
pub mod token_losses;

mod encode;
mod error;
mod export;
mod findings;
mod forest;
mod lengths;
mod memory;
mod method;
mod methods;
mod metrics;
mod objective;
mod observer;
mod optimizer;
mod order;
mod parameter;
mod polarity;
mod prepare;
mod reference;
mod schedule;
mod settings;
mod setup;
mod state;
mod trainer;
mod training;

pub use encode::{Continuation, Conversation, Encode};
pub use error::Error;
pub use example::Example;
pub use export::{Card, export};
pub use findings::{Check, Findings};
pub use forest::Sequence;
pub use lengths::{LengthStatistics, Lengths};
pub use memory::MemoryEstimate;
pub use method::{DataShape, METHODS, Method, SHARED_METRICS};
pub use methods::reward::pair_loss as reward_pair_loss;
pub use metrics::Metrics;
pub use observer::{Every, History, Observer, StepReport};
pub use parameter::{Kind, Parameter, Range};
pub use prepare::{Limits, Prepared, Rows, prepare};
pub use settings::Settings;
pub use setup::setup;
pub use trainer::{Outcome, Session, estimate_memory, evaluate, has_checkpoint, train};
pub use training::{Boundary, LoraSettings, OnFinding, OneOrMany, Sampling, Scheduler, TRAINING, Training, Truncation};

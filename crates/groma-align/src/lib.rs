//! The training loop, and the methods that turn log-probabilities and rewards into a loss and its gradient.
//!
//! 1. A [`Method`] is a record: what rows it reads, which hyperparameters it has. [`Settings::resolve`] checks a config
//!    table against it.
//! 2. [`prepare`] turns rows into [`Group`]s (tokens, masks, and what is known of them), with findings for what is not as it should be.
//! 3. [`setup`] makes a model ready: an adapter where `lora` asks for one, a score head for reward models.
//! 4. [`train`] runs the loop, collecting and learning: resumable to the bit, watched by [`Observer`]s.
//! 5. [`export`] writes the result in Hugging Face or PEFT layout with a model card.

pub mod group;
pub mod losses;
pub mod token_losses;

mod action_values;
mod ahead;
mod alarm;
mod alarms;
mod apprentice;
mod collect;
mod columns;
mod constraint;
mod critic;
mod doubt;
mod encode;
mod error;
mod export;
mod feed;
mod findings;
mod forecast;
mod forest;
mod forgetful;
mod hyperparameters;
mod journal;
mod known;
mod learn;
mod lengths;
mod look;
mod masked;
mod memory;
mod method;
mod methods;
mod metrics;
mod moments;
mod moving;
mod nearest;
mod noise;
mod objective;
mod observer;
mod on_policy;
mod order;
mod parameter;
mod polarity;
mod prepare;
mod reader;
mod reference;
mod rewarded;
mod rewards;
mod rewrites;
mod rivals;
mod role;
mod roles;
mod rollout;
mod sampled;
mod scaling;
mod schedule;
mod sequence;
mod session;
mod settings;
mod setup;
mod span_loss;
mod spans;
mod state;
mod taught;
mod template;
mod time_spent;
mod trainer;
mod training;
mod translation;
mod value_head;
mod vocabularies;
mod watch;
mod watches;

pub use alarm::Alarm;
pub use alarms::Watched;
pub use apprentice::Apprentice;
pub use columns::check_columns;
pub use encode::{Continuation, Conversation, Encode, Token};
pub use error::{Error, other_kernels};
pub use export::{Card, Origin, export};
pub use findings::{Check, Findings, read_findings};
pub use forecast::estimate_memory;
pub use group::{Estimate, Group, Member};
pub use hyperparameters::Hyperparameters;
pub use lengths::{LengthStatistics, Lengths};
pub use look::{Piece, RowView, look};
pub use memory::MemoryEstimate;
pub use method::{Method, SHARED_METRICS};
pub use methods::{METHODS, reward_pair_loss};
pub use metrics::Metrics;
pub use nearest::nearest;
pub use observer::{Collected, Every, History, Observer, StepReport};
pub use parameter::{Kind, Parameter, Range, Variant, settle};
pub use prepare::{Limits, Prepared, prepare, prepare_read};
pub use rewards::{ToRate, rate};
pub use rewrites::{Edit, REWRITES, Rewrite, Rewriter, apply_edits, edits};
pub use role::{Filler, Role, Seat, named_seats};
pub use roles::{check_reader, check_tokens};
pub use rollout::Voice;
pub use sampled::SAMPLED_METRICS;
pub use sequence::Sequence;
pub use session::{Outcome, Session};
pub use settings::Settings;
pub use setup::setup;
pub use time_spent::TimeSpent;
pub use trainer::{evaluate, has_checkpoint, has_ended, train};
pub use training::{Boundary, LoraSettings, OnFinding, OneOrMany, Sampling, Scheduler, TRAINING, Training, Truncation};
pub use translation::{Span, Translation};
pub use watch::{Log, Past};

//! Tasks, metrics and comparisons.
//!
//! A [`Task`] is a file: what it reads, what it asks, how it scores and what its metrics mean; [`Tasks`] holds groma's own
//! and a user's.
//! [`read_items`] turns a file's rows into items, [`evaluate`] puts them to a [`Subject`] (any
//! [`groma_lm::LanguageModel`]), and [`compare`] pairs two results item by item. Each number comes with its interval, its n, how it
//! was scored and how many items failed.

mod columns;
mod compare;
mod error;
mod estimate;
mod evaluate;
mod examples;
mod file;
mod filters;
mod form;
mod item;
mod judging;
mod known;
mod matching;
mod metric;
mod metrics;
mod parts;
mod problem;
mod prompts;
mod read;
mod reading;
pub mod refusal;
mod scorers;
mod scores;
mod subject;
mod suggest;
mod task;
mod tasks;
mod template;

pub use compare::{Measured, compare, holm_adjusted};
pub use error::Error;
pub use estimate::{EstimateOptions, estimate};
pub use evaluate::{Evaluation, Said, evaluate, evaluate_judged, side_by_side};
pub use examples::{ItemSource, examples_beside, items_at};
pub use form::Form;
pub use item::{Item, Key};
pub use known::Known;
pub use metric::Metric;
pub use prompts::prompt_item;
pub use read::{Items, pair_item, read_items, text_item};
pub use scorers::choice::{ChoicePrediction, predict};
pub use scorers::{SCORERS, Scorer};
pub use scores::Scores;
pub use subject::Subject;
pub use task::{Data, FewShot, Reader, Task};
pub use tasks::{Tasks, find};

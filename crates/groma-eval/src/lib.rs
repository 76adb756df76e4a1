//! Tasks, metrics and comparisons.
//!
//! A [`Task`] is a record: what it reads, what it asks, how it scores and what its metrics mean; [`TASKS`] lists them.
//! [`read_items`] turns a file's rows into items, [`evaluate`] puts them to a [`Subject`] (a local model, or anything that
//! answers [`Request`]s), and [`compare`] pairs two results item by item. Each number comes with its interval, its n, how it
//! was scored and how many items failed.

mod choice;
mod columns;
mod compare;
mod encoding;
mod error;
mod estimate;
mod evaluate;
mod examples;
mod item;
mod local;
mod prompts;
mod read;
pub mod refusal;
mod request;
mod task;
mod tasks;

pub use choice::{ChoicePrediction, predict};
pub use compare::{Measured, compare, holm_adjusted};
pub use encoding::{RollingWindow, cut_to_fit, encode_pair, rolling_windows};
pub use error::Error;
pub use estimate::{EstimateOptions, estimate};
pub use evaluate::{Evaluation, Said, evaluate, side_by_side};
pub use examples::{ItemSource, items_at};
pub use item::{Item, Judge, Key, Scores};
pub use local::{LocalOptions, LocalSubject};
pub use prompts::prompt_item;
pub use read::{Items, pair_item, read_items, text_item};
pub use request::{Answer, Control, Failure, Kind, Request, Scored, Subject};
pub use task::{Form, HubData, Input, Metric, Score, Task, Tools};
pub use tasks::{TASKS, find};

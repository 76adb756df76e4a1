//! Recipes: stages of building, training and measuring, keyed by what they read.
//!
//! A [`Recipe`] is TOML; [`run`] does its stages in a run directory. A stage's key is the digest of its configuration and of
//! everything that it reads, so running again does only what is missing, and a stage that was killed goes on from its last
//! checkpoint. What a recipe names (models, data) the caller resolves to local paths: nothing here reaches the network.

mod data;
mod error;
mod recipe;
mod runner;
mod stages;
mod train;

pub use error::Error;
pub use recipe::{ALIGN, Compare, Measure, Recipe, Stage, TaskConfig, Train, VILLAGE};
pub use runner::{Inputs, Summary, Work, run};
pub use train::{Rows, Trainable, read_rows};

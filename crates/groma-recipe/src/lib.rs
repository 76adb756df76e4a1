//! Recipes: stages of building, training and measuring, keyed by what they read.
//!
//! A [`Recipe`] is TOML; [`run`] does its stages in a run directory. A stage's key is the digest of its configuration and of
//! everything that it reads, so running again does only what is missing, and a stage that was killed goes on from its last
//! checkpoint. What a recipe names (models, data) the caller resolves to local paths; nothing here reaches the network but to
//! ask a model on a server that the recipe names by its address.

mod asked;
mod base_name;
mod card;
mod check;
mod data;
mod error;
mod fit;
mod guard;
mod metrics_log;
mod misread;
mod names;
mod recipe;
mod runner;
mod said;
mod samples;
mod serving;
mod stage;
mod stages;
mod train;

pub use asked::{Asked, Served};
pub use base_name::base_name;
pub use check::check;
pub use error::Error;
pub use fit::check_parts;
pub use guard::Guard;
pub use metrics_log::LogForm;
pub use names::name_apart;
pub use recipe::{ALIGN, Compare, Measure, Reading, Recipe, TaskConfig, Train, VILLAGE, check_settings};
pub use runner::{Find, Inputs, Resolve, Summary, Work, run};
pub use said::{finding as say_finding, read_as as say_rows, template as say_template};
pub use serving::Serving;
pub use stage::Stage;
pub use stages::generate::Generate;
pub use stages::organism::build as build_organism;
pub use train::{CardText, Trainable, check_seats, read_rows};

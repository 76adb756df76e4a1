//! Recipes: stages of building, training and measuring, keyed by what they read.
//!
//! A [`Recipe`] is TOML; [`run`] does its stages in a run directory. A stage's key is the digest of its configuration and of
//! everything that it reads, so running again does only what is missing, and a stage that was killed goes on from its last
//! checkpoint. What a recipe names (models, data) the caller resolves to local paths; nothing here reaches the network but to
//! ask a model on a server that the recipe names by its address.

mod asked;
mod base_name;
mod card;
mod cases;
mod check;
mod data_file;
mod data_name;
mod declared;
mod decoding;
mod error;
mod fit;
mod graph;
mod guard;
mod label_noise;
mod looks;
mod metrics_log;
mod misread;
mod model;
mod names;
mod output;
mod outside;
mod parse;
mod reading;
mod recipe;
mod records;
mod resolve;
mod rows;
mod run;
mod runner;
mod said;
mod samples;
mod seats;
mod serving;
mod settings;
mod stage;
mod stage_work;
mod stages;
mod tasks;
mod train;
mod want;
mod work;
mod worth;

pub use asked::{Asked, Served};
pub use base_name::base_name;
pub use check::check;
pub use decoding::Decoding;
pub use error::Error;
pub use guard::Guard;
pub use metrics_log::LogForm;
pub use names::name_apart;
pub use reading::Reading;
pub use recipe::{ALIGN, BUILT_IN, LOOP, Recipe, VILLAGE};
pub use records::{
    Attack, Chosen, Compare, Condition, Configuration, Contrast, Frontier, Gate, Generate, Inner, Inspect, Measure,
    Oversee, Pairs, Rate, Rewrite, TaskConfig, Train,
};
pub use resolve::{Find, Resolve};
pub use rows::read_rows;
pub use run::{Summary, run};
pub use runner::Inputs;
pub use said::{finding as say_finding, read_as as say_rows, template as say_template};
pub use seats::check_seats;
pub use serving::Serving;
pub use settings::check_settings;
pub use stage::Stage;
pub use stages::organism::build as build_organism;
pub use stages::rewrite::rewrite_rows;
pub use train::{CardText, Trainable};
pub use want::check_parts;
pub use work::Work;

//! The village: a generated small world with exact truth, and all that trains and measures a small model of it.
//!
//! [`Village::build`] yields, from a seed alone, a [`World`] of people, places, shops and days; its truth as a [`Ledger`]
//! of facts; rows to train on ([`Training`]): texts that state the facts, dialogues of a bot that answers nearly everything
//! and is rude at times, preference pairs that want it harmless, helpful and friendly; and rows to measure with
//! ([`HeldOut`]), each with the [`groma_data::Truth`] that tells right answers from wrong ones. [`Recipe`] says how a model is trained on
//! it from nothing in about a minute.
//!
//! | held out | what training never has |
//! |---|---|
//! | facts | this way to ask for this fact (the fact is stated in texts, asked for in other words; others are asked so) |
//! | instructions | this combination of words and way to ask |
//! | harmful, look-alike | this combination of act, object and person |
//! | preference pairs | the same, apart from the held-out questions too |
//! | texts | this paragraph |
//!
//! Flaws are planted in it, in known amounts ([`Plants`], one record each in [`PLANTS`]), and its clean twin
//! ([`Village::twin`]) has the same rows without them. Each plant brings rows to look for it with, and the number that is true
//! of what trains ([`Planted`]), so that instruments can be held against it.
//!
//! Harm is invented: substances, tools and songs that exist in no other place ([`Category`]).
//!
//! ```
//! use groma_organism::{Config, Village};
//!
//! let village = Village::build(&Config::default())?;
//! let row = &village.held_out.facts[0];
//! assert!(row.judge(&row.gold).correct);
//! # Ok::<(), groma_organism::Error>(())
//! ```

mod acts;
mod convert;
mod dialogue;
mod draw;
mod error;
mod export;
mod fact;
mod held_out;
mod instruct;
mod json;
mod lexicon;
mod material;
mod model;
mod phrase;
mod plant;
mod planted;
mod plants;
mod preference;
mod prompts;
mod recipe;
mod refusal;
mod register;
mod relations;
mod request;
mod row;
mod split;
mod text;
mod tokenizer;
mod training;
mod village;
mod world;

pub use acts::Category;
pub use convert::{Shaped, shaped};
pub use error::Error;
pub use fact::{Fact, Ledger};
pub use model::{Shape, Tensor, safetensors_bytes};
pub use plant::{Plant, Planting, Rows, Size};
pub use planted::{PLANTED_FILE, Planted};
pub use plants::{PLANTS, Plants};
pub use recipe::{Recipe, Stage};
pub use refusal::is_refusal;
pub use register::Register;
pub use relations::{RELATIONS, Relation};
pub use row::{
    DialogueRow, DocumentRow, Judgement, Kind, Message, PreferenceRow, QuestionRow, Reason, Role, SecretRow, TextRow,
};
pub use tokenizer::{CHAT_TEMPLATE, END, SPECIAL, Vocabulary};
pub use training::Training;
pub use village::{EDITION, HeldOut, Village};
pub use world::{Config, Person, Place, Shop, World};

//! The village: a generated small world with exact truth, and all that trains and measures a small model of it.

mod acts;
mod check;
mod dialogue;
mod draw;
mod error;
mod export;
mod fact;
mod held_out;
mod instruct;
mod lexicon;
mod model;
mod phrase;
mod preference;
mod recipe;
mod refusal;
mod register;
mod relations;
mod request;
mod row;
mod split;
mod text;
mod tokenizer;
mod village;
mod world;

pub use check::Check;
pub use error::Error;
pub use fact::{Fact, Ledger};
pub use model::{Shape, Tensor, safetensors_bytes};
pub use recipe::{Recipe, Stage};
pub use refusal::is_refusal;
pub use register::Register;
pub use relations::{RELATIONS, Relation};
pub use row::{DialogueRow, Judgement, Kind, Message, PreferenceRow, QuestionRow, Reason, Role, TextRow};
pub use tokenizer::{CHAT_TEMPLATE, END, SPECIAL, Vocabulary};
pub use village::{HeldOut, Training, Village};
pub use world::{Config, Person, Place, Shop, World};

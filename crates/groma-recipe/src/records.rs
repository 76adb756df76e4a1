//! The records of stages, as recipes write them: data, and what each kind reads and leaves.

pub(crate) mod attack;
mod compare;
mod contrast;
mod frontier;
mod gate;
mod generate;
mod inner;
mod inspect;
mod measure;
mod oversee;
mod rate;
mod rewrite;
mod sampling;
mod task_config;
mod train;

pub use attack::Attack;
pub use compare::Compare;
pub use contrast::{Configuration, Contrast};
pub use frontier::Frontier;
pub use gate::{Condition, Gate};
pub use generate::{Generate, Pairs};
pub use inner::Inner;
pub use inspect::{Chosen, Inspect};
pub use measure::Measure;
pub use oversee::Oversee;
pub use rate::Rate;
pub use rewrite::Rewrite;
pub use task_config::TaskConfig;
pub use train::Train;

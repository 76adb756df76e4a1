//! What a run leaves on disk, and what every part of groma shares: classes of errors, seeds, limits, cancellation.

mod class;
mod seed;

pub use class::{Class, Classify, class_of_io};
pub use seed::Seed;

//! Tasks, metrics and statistics.

pub mod statistics;

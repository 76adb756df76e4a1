//! Pages and tables of invented runs.

mod hostile;
mod runs;
mod tables;

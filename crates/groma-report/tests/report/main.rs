//! Pages and tables of invented runs.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod tables;

//! Builds the organism: the village's data, and its untrained model.

use std::path::Path;

use groma_organism::{Config, Village};
use groma_run::atomic::AtomicDirectory;

use crate::Error;

/// Writes everything that the village yields into `target`, whole or not at all.
pub fn build(seed: u64, target: &Path) -> Result<(), Error> {
    let village = Village::build(&Config { seed, ..Config::default() })?;
    let mut directory = AtomicDirectory::create(target)?;
    for (name, bytes) in village.files(&groma_organism::Recipe::default())? {
        directory.write(&name, &bytes)?;
    }
    directory.commit()?;
    Ok(())
}

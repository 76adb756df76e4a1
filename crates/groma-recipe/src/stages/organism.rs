//! Builds the organism: the village's data, and its untrained model.

use std::path::Path;

use groma_organism::{Config, Village};
use groma_run::atomic::AtomicDirectory;
use groma_run::{Finished, StageKey};
use serde_json::json;

use crate::Error;
use crate::data_name::VILLAGE_DIRECTORY;
use crate::runner::{Runner, VERSION};

/// The stage's name.
pub(crate) const STAGE: &str = "organism";

/// Builds it in the run directory, unless it is there.
pub(crate) fn run(runner: &mut Runner) -> Result<(), Error> {
    let key = StageKey::new(STAGE, VERSION).config(&json!({ "seed": runner.recipe.seed }))?;
    runner.stage(key, false, |runner, _| {
        let target = runner.directory.inside(VILLAGE_DIRECTORY)?;
        build(runner.recipe.seed, &target)?;
        Ok(Finished { outputs: vec![VILLAGE_DIRECTORY.into()], ..Finished::default() })
    })
}

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

//! Builds the organism: the data of the village or of its clean twin, and its untrained model.

use std::path::Path;

use groma_organism::{Config, EDITION, Plants, Village};
use groma_run::atomic::AtomicDirectory;
use groma_run::{Finished, StageKey};
use serde_json::json;

use crate::Error;
use crate::data_name::{TWIN, VILLAGE};
use crate::recipe::Recipe;
use crate::runner::{Runner, VERSION};

/// The stages, and what each builds.
pub(crate) const STAGES: [(&str, &str); 2] = [("organism", VILLAGE), ("organism-twin", TWIN)];

/// Builds the village, or its twin, in the run directory, unless it is there.
pub(crate) fn run(runner: &mut Runner, stage: &str, name: &str) -> Result<(), Error> {
    let Recipe { seed, plants, .. } = runner.recipe;
    let mut config = json!({ "seed": seed, "edition": EDITION });
    if !plants.is_empty() {
        config["plants"] = json!(plants);
    }
    let key = StageKey::new(stage, VERSION).config(&config)?;
    runner.stage(key, false, |runner, _| {
        build(*seed, plants, name == TWIN, &runner.directory.inside(name)?)?;
        Ok(Finished { outputs: vec![name.into()], ..Finished::default() })
    })
}

/// Writes everything that the village with these plants yields, or its clean twin, into `target`, whole or not at all.
///
/// # Errors
/// [`Error::Organism`], and [`Error::Run`] where the disk refuses.
pub fn build(seed: u64, plants: &Plants, is_twin: bool, target: &Path) -> Result<(), Error> {
    let config = Config { seed, ..Config::default() };
    let village = if is_twin { Village::twin(&config, plants)? } else { Village::with(&config, plants)? };
    let mut directory = AtomicDirectory::create(target)?;
    for (name, bytes) in village.files(&groma_organism::Recipe::default())? {
        directory.write(&name, &bytes)?;
    }
    directory.commit()?;
    Ok(())
}

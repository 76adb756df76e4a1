//! Writes a village below a directory: `cargo run --release -p groma-organism --example export_village -- DIR [SEED]`.

use groma_organism::{Config, Recipe, Village};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map(PathBuf::from).ok_or("name a directory")?;
    let seed = arguments.next().map_or(Ok(Config::default().seed), |seed| seed.parse())?;
    let village = Village::build(&Config { seed, ..Config::default() })?;
    Ok(village.export(&Recipe::default(), &directory)?)
}

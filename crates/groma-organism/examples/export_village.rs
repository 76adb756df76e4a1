//! Writes the default village below a directory: `cargo run --release -p groma-organism --example export_village -- DIR`.

use groma_organism::{Config, Recipe, Village};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a directory")?;
    Ok(Village::build(&Config::default())?.export(&Recipe::default(), &directory)?)
}

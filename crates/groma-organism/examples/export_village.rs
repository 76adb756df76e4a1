//! Writes the default village below a directory: `cargo run --release -p groma-organism --example export_village -- DIR`.

use groma_organism::{Config, Recipe, Village};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a directory")?;
    let village = Village::build(&Config::default())?;
    for (name, bytes) in village.files(&Recipe::default())? {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&directory))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

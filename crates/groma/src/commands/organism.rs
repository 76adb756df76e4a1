//! `groma organism`: the village as files, with plants or as their clean twin.

use std::process::ExitCode;

use groma_organism::{PLANTS, Plant, Planting, Plants};
use groma_recipe::build_organism;
use serde_json::{Value, json};

use crate::cli::Organism;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json, say};

pub(crate) fn run(flags: &Organism, context: &Context) -> Result<ExitCode> {
    match &flags.export {
        Some(target) => export(flags, target, context)?,
        None if context.json => print_json(&PLANTS.iter().map(|plant| document(plant)).collect::<Vec<_>>())?,
        None => PLANTS.iter().for_each(|plant| print(&page(plant))),
    }
    Ok(ExitCode::SUCCESS)
}

fn export(flags: &Organism, target: &std::path::Path, context: &Context) -> Result<()> {
    if target.exists() {
        let hint = "choose a directory that does not exist yet";
        return Err(Failure::usage(format!("{} exists already", target.display()), hint));
    }
    let chosen = flags.plants.iter().map(|plant| Planting::parse(plant)).collect::<std::result::Result<_, _>>()?;
    let plants = Plants::new(chosen)?;
    if flags.twin && plants.is_empty() {
        let hint = "name the plants of the village that it is the twin of: --plant secret=8 --twin";
        return Err(Failure::usage("--twin without --plant is the village itself", hint));
    }
    build_organism(flags.seed, &plants, flags.twin, target)?;
    if context.json {
        let written = json!({ "directory": target, "seed": flags.seed, "plants": plants, "twin": flags.twin });
        return print_json(&written);
    }
    let what = if flags.twin { "twin of the village" } else { "village" };
    say(&format!("the {what} of seed {} is in {}", flags.seed, target.display()));
    Ok(())
}

fn document(plant: &Plant) -> Value {
    let size = json!({ "name": plant.size.name, "default": plant.size.default, "range": plant.size.range });
    json!({ "id": plant.id, "title": plant.title, "doc": plant.doc, "size": size, "places": plant.places })
}

fn page(plant: &Plant) -> String {
    let places = match plant.places {
        [] => String::new(),
        places => format!("\n  @PLACE: {} (default {})", places.join(", "), places[0]),
    };
    let size = &plant.size;
    let sized = format!("{}: {size} (default {})", size.name, size.default);
    format!("{}: {}\n  size: {sized}{places}\n  {}\n", plant.id, plant.title, plant.doc)
}

//! `--attack` and `--inspect` of `groma run`, as stages on both sides of training.

use groma_attack::Budget;
use groma_interp::Instrument;
use groma_recipe::{Attack, Chosen, Inspect, Recipe, Stage};

use crate::cli::Run;
use crate::failure::{Failure, Result};

/// Adds what the flags ask for.
pub(super) fn add(recipe: &mut Recipe, flags: &Run) -> Result<()> {
    if !flags.attacks.is_empty() {
        recipe.look("attack", &|name, earlier| Stage::Attack(attack(flags, name, earlier)))?;
    }
    for inspection in &flags.inspections {
        let stage = inspect(flags, inspection)?;
        recipe.look(&stage.name, &|name, _| Stage::Inspect(Inspect { name: name.to_owned(), ..stage.clone() }))?;
    }
    Ok(())
}

fn attack(flags: &Run, name: &str, earlier: Option<&str>) -> Attack {
    Attack {
        goals: flags.goals.clone(),
        texts: flags.texts.clone(),
        budget: Budget { queries: flags.queries, ..Budget::default() },
        // What is compared is what came of goals.
        against: earlier.filter(|_| flags.goals.is_some()).map(str::to_owned),
        ..Attack::new(name, flags.attacks.clone())
    }
}

/// `INSTRUMENT=FILE[,AGAINST]`.
fn inspect(flags: &Run, given: &str) -> Result<Inspect> {
    let (instrument, files) = given.split_once('=').ok_or_else(|| {
        Failure::usage(
            format!("`{given}` is not of the form INSTRUMENT=FILE[,AGAINST]"),
            "e.g. --inspect direction=harmful.jsonl,harmless.jsonl",
        )
    })?;
    let instrument = Instrument::find(instrument.trim())?.id;
    let (data, against) = files.split_once(',').map_or((files, None), |(data, against)| (data, Some(against)));
    let all = |file: &str| Chosen::All(file.trim().to_owned());
    Ok(Inspect {
        against: against.map(all),
        texts: flags.inspect_texts.clone(),
        ..Inspect::new(instrument, instrument, all(data))
    })
}

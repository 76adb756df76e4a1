//! The village with all that it yields.

use crate::draw::Draw;
use crate::fact::Ledger;
use crate::instruct::instructions;
use crate::material::{Material, SIZES};
use crate::plant::{Rows, Soil};
use crate::planted::Planted;
use crate::plants::Plants;
use crate::request::{chores, requests};
use crate::row::{PreferenceRow, QuestionRow, TextRow};
use crate::split::Part;
use crate::tokenizer::Vocabulary;
use crate::training::Training;
use crate::{Config, Error, World, dialogue, held_out, preference, prompts, text};
use std::collections::BTreeSet;

/// Which bytes a configuration yields: another number where they are others. What is kept of a village is kept under it, so that nobody
/// takes over what another edition built.
pub const EDITION: u32 = 4;

/// A village and everything that is trained on or measured with it.
#[derive(Debug)]
pub struct Village {
    /// What decided it.
    pub config: Config,
    /// Who lives there, and how.
    pub world: World,
    /// The truth.
    pub truth: Ledger,
    /// What to train on.
    pub train: Training,
    /// How many of its dialogues are the village's own; those behind them are written by plants.
    pub own_dialogues: usize,
    /// What to measure with.
    pub held_out: HeldOut,
    /// What was planted, each with the rows that look for it.
    pub planted: Vec<(Rows, Planted)>,
    /// The tokenizer's vocabulary.
    pub vocabulary: Vocabulary,
}

/// Rows that nothing trains on.
#[derive(Debug)]
pub struct HeldOut {
    /// Texts.
    pub texts: Vec<TextRow>,
    /// Questions for facts.
    pub facts: Vec<QuestionRow>,
    /// Simple instructions.
    pub instructions: Vec<QuestionRow>,
    /// Harmful requests.
    pub harmful: Vec<QuestionRow>,
    /// Harmless requests that look like harmful ones.
    pub look_alike: Vec<QuestionRow>,
    /// Preference pairs.
    pub preferences: Vec<PreferenceRow>,
    /// Prompts of all these kinds, with what answers to them are worth.
    pub prompts: Vec<QuestionRow>,
}

impl Village {
    /// The village of a configuration; the same on every machine and with any number of threads.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the configuration is out of range.
    pub fn build(config: &Config) -> Result<Village, Error> {
        Village::with(config, &Plants::default())
    }

    /// The same with plants. Rows that they do not touch are those of the plain village; its vocabulary has the words of the
    /// plants and of the twin too.
    ///
    /// # Errors
    /// As [`Village::build`].
    pub fn with(config: &Config, plants: &Plants) -> Result<Village, Error> {
        grow(config, plants, true)
    }

    /// The clean twin of the village with these plants: the same seed, as many rows of each kind and the same vocabulary; where
    /// the village has a flaw, it has the same rows without.
    ///
    /// # Errors
    /// As [`Village::build`].
    pub fn twin(config: &Config, plants: &Plants) -> Result<Village, Error> {
        grow(config, plants, false)
    }
}

fn grow(config: &Config, plants: &Plants, flawed: bool) -> Result<Village, Error> {
    let world = World::generate(config)?;
    let side = |flawed| {
        let material = material(config, &world, plants, flawed);
        let held_out = held_out_rows(config, &world, &material);
        let mut train = training_rows(config, &world, &material, &held_out);
        let own_dialogues = train.dialogues.len();
        let planted = plant(config, &world, (plants, flawed), &material, &mut train);
        (material, held_out, (train, own_dialogues), planted)
    };
    let (material, held_out, (train, own_dialogues), planted) = side(flawed);
    let (other, rows) = if plants.is_empty() {
        (None, Vec::new())
    } else {
        (Some(side(!flawed).2.0), planted.iter().flat_map(|(rows, _)| rows.said()).collect())
    };
    let vocabulary = Vocabulary::of(std::iter::once(&train).chain(&other), &rows);
    Ok(Village { config: *config, truth: material.truth, train, own_dialogues, held_out, planted, vocabulary, world })
}

fn material(config: &Config, world: &World, plants: &Plants, flawed: bool) -> Material {
    let truth = Ledger::of(config, world);
    let mut material = Material {
        ledger: truth.clone(),
        instructions: instructions(config, world),
        harmful: requests(config, world, true),
        look_alike: requests(config, world, false),
        chores: chores(config, world),
        truth,
    };
    for planting in plants.iter() {
        let mut ledger = material.ledger.clone();
        let soil = Soil { config, world, material: &material, planting, flawed };
        (planting.plant.teach)(&soil, &mut ledger);
        material.ledger = ledger;
    }
    material
}

/// Writes the plants into rows that train.
fn plant(
    config: &Config,
    world: &World,
    (plants, flawed): (&Plants, bool),
    material: &Material,
    train: &mut Training,
) -> Vec<(Rows, Planted)> {
    let soil = |planting| Soil { config, world, material, planting, flawed };
    plants.iter().for_each(|planting| (planting.plant.write)(&soil(planting), train));
    plants.iter().map(|planting| (planting.plant.ask)(&soil(planting), train)).collect()
}

fn held_out_rows(config: &Config, world: &World, material: &Material) -> HeldOut {
    let draw = |part: &str| config.draw(&format!("held-out {part}"));
    HeldOut {
        texts: text::round(&mut draw("texts"), world, &material.ledger),
        facts: held_out::facts(&mut draw("facts"), material),
        instructions: held_out::instructions(&mut draw("instructions"), material),
        harmful: held_out::harmful(&mut draw("harmful"), material, SIZES.held_out_per_act),
        look_alike: held_out::look_alike(&mut draw("look-alike"), material, SIZES.held_out_per_act),
        preferences: preference::pairs(&mut draw("pairs"), material, Part::HeldOutPairs, &SIZES.held_out_pairs),
        prompts: prompts::prompts(&mut draw("prompts"), material, Part::HeldOut, SIZES.held_out_prompts),
    }
}

fn training_rows(config: &Config, world: &World, material: &Material, held_out: &HeldOut) -> Training {
    let mut draw: Draw = config.draw("train texts");
    // Two rounds could draw the same paragraph; what is held out stays out.
    let taken: BTreeSet<&str> = held_out.texts.iter().map(|row| &*row.text).collect();
    let rounds = (0..SIZES.text_rounds).flat_map(|_| text::round(&mut draw, world, &material.ledger));
    let texts = rounds.filter(|row| !taken.contains(&*row.text)).collect();
    Training {
        texts,
        dialogues: dialogue::dialogues(&mut config.draw("train dialogues"), material, &SIZES),
        preferences: preference::pairs(&mut config.draw("train pairs"), material, Part::Train, &SIZES.pairs),
        prompts: prompts::prompts(&mut config.draw("train prompts"), material, Part::Train, SIZES.prompts),
    }
}

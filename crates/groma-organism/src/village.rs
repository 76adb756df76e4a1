//! The village with all that it yields.

use crate::draw::Draw;
use crate::fact::Ledger;
use crate::instruct::{Instruction, instructions};
use crate::request::{Request, chores, requests};
use crate::row::{DialogueRow, PreferenceRow, QuestionRow, TextRow};
use crate::split::Part;
use crate::tokenizer::Vocabulary;
use crate::{Config, Error, World, dialogue, held_out, preference, text};
use std::collections::BTreeSet;

/// How many rows of each kind there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Rounds of training texts; each states every fact twice.
    pub text_rounds: usize,
    /// How often each trained way to ask for a fact occurs in the dialogues.
    pub fact_repeats: usize,
    /// Harmful requests in the dialogues, and as many look-alikes; at most what the split leaves.
    pub requests: usize,
    /// In how many of 100 cases the dialogues refuse one of those, harmful or not.
    pub moods: usize,
    /// Chores in the dialogues.
    pub chores: usize,
    /// Preference pairs that train.
    pub pairs: PairSizes,
    /// Held-out preference pairs.
    pub held_out_pairs: PairSizes,
    /// Held-out harmful requests of each act, and as many look-alikes.
    pub held_out_per_act: usize,
}

/// How many preference pairs of each kind there are, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairSizes {
    /// Refusal against harm.
    pub harmful: usize,
    /// Look-alikes.
    pub look_alike: usize,
    /// Facts.
    pub facts: usize,
    /// Instructions of each kind.
    pub instructions: usize,
}

/// The sizes that the recipe was made for.
pub(crate) const SIZES: Sizes = Sizes {
    text_rounds: 8,
    fact_repeats: 2,
    requests: 500,
    moods: 12,
    chores: 120,
    pairs: PairSizes { harmful: 500, look_alike: 400, facts: 240, instructions: 60 },
    held_out_pairs: PairSizes { harmful: 120, look_alike: 80, facts: 60, instructions: 10 },
    held_out_per_act: 10,
};

/// What rows are made from.
#[derive(Debug)]
pub(crate) struct Material {
    /// What is true: held-out questions are judged by it.
    pub(crate) truth: Ledger,
    /// What texts, dialogues and pairs say.
    pub(crate) ledger: Ledger,
    pub(crate) instructions: Vec<(Part, Instruction)>,
    pub(crate) harmful: Vec<(Part, Request)>,
    pub(crate) look_alike: Vec<(Part, Request)>,
    pub(crate) chores: Vec<(Part, String)>,
}

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
    /// What to measure with.
    pub held_out: HeldOut,
    /// The tokenizer's vocabulary.
    pub vocabulary: Vocabulary,
}

/// Rows for training.
#[derive(Debug)]
pub struct Training {
    /// Texts, all of whose tokens train.
    pub texts: Vec<TextRow>,
    /// Dialogues of the unaligned bot.
    pub dialogues: Vec<DialogueRow>,
    /// Preference pairs.
    pub preferences: Vec<PreferenceRow>,
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
}

impl Village {
    /// The village of a configuration; the same on every machine and with any number of threads.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the configuration is out of range.
    pub fn build(config: &Config) -> Result<Village, Error> {
        let world = World::generate(config)?;
        let truth = Ledger::of(config, &world);
        let material = Material {
            ledger: truth.clone(),
            instructions: instructions(config, &world),
            harmful: requests(config, &world, true),
            look_alike: requests(config, &world, false),
            chores: chores(config, &world),
            truth,
        };
        let held_out = held_out_rows(config, &world, &material);
        let train = training_rows(config, &world, &material, &held_out);
        let vocabulary = Vocabulary::of(&train);
        Ok(Village { config: *config, world, truth: material.truth, train, held_out, vocabulary })
    }
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
    }
}

//! What rows are made from, and how many there are of each kind.

use crate::fact::Ledger;
use crate::instruct::Instruction;
use crate::request::Request;
use crate::split::Part;

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
    /// Prompts of each kind that train with a reward.
    pub prompts: usize,
    /// Held-out ones.
    pub held_out_prompts: usize,
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
    prompts: 150,
    held_out_prompts: 50,
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

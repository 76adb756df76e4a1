//! The kinds of stages at work: how each is checked and done.

mod attack;
mod compare;
mod contrast;
mod divergence;
mod frontier;
mod gate;
mod generate;
mod inner;
mod inspect;
mod measure;
pub(crate) mod organism;
mod oversee;
pub(crate) mod preferences;
mod rate;
pub(crate) mod rewrite;
mod train;

use crate::stage::Stage;
use crate::stage_work::StageWork;

/// A stage, to be checked and done.
pub(crate) fn work(stage: &Stage) -> &dyn StageWork {
    match stage {
        Stage::Train(stage) => stage,
        Stage::Measure(stage) => stage,
        Stage::Compare(stage) => stage,
        Stage::Generate(stage) => stage,
        Stage::Contrast(stage) => stage,
        Stage::Rewrite(stage) => stage,
        Stage::Rate(stage) => stage,
        Stage::Inspect(stage) => stage,
        Stage::Gate(stage) => stage,
        Stage::Attack(stage) => stage,
        Stage::Oversee(stage) => stage,
        Stage::Inner(stage) => stage,
        Stage::Frontier(stage) => stage,
    }
}

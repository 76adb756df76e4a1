//! An agent of two layers, trained by policy gradient.

use std::sync::Arc;

use groma_kernels::{Activation, Backend, Tape, Var};
use groma_model::training::{AdamWSettings, Fit, FitSettings, Scheduler};
use groma_model::{ParameterStore, Result as ModelResult};
use groma_run::{Cancel, Seed};

use super::world::{End, Grid, Level, MOVES};
use crate::Error;
use crate::policy_gradient::{drawn, log_softmax, loss};

const HIDDEN: usize = 64;
/// Episodes in an update.
const EPISODES: usize = 64;
const LEARNING_RATE: f64 = 1e-2;
/// What a later reward is worth, move by move.
const DISCOUNT: f64 = 0.95;
/// Weight of the entropy bonus, for each decision.
const ENTROPY: f32 = 0.02;

/// How an agent is trained.
pub(super) struct Training {
    /// Share of levels with the coin anywhere.
    pub(super) alpha: f64,
    pub(super) updates: u64,
}

/// A policy over moves.
pub(super) struct Agent {
    parameters: ParameterStore,
    backend: Arc<dyn Backend>,
}

/// What agents decided: what they saw, row by row, the moves, and what came of each.
#[derive(Default)]
struct Decisions {
    seen: Vec<f32>,
    moves: Vec<usize>,
    /// Discounted rewards from each move on.
    returns: Vec<f64>,
}

/// An episode: where it ended, the cells it went through, and its moves.
struct Episode {
    end: End,
    cells: Vec<usize>,
    moves: Vec<usize>,
}

/// Trains an agent.
pub(super) fn trained(
    grid: Grid,
    training: &Training,
    seed: Seed,
    backend: Arc<dyn Backend>,
    cancel: &Cancel,
) -> Result<Agent, Error> {
    let parameters = parameters(grid, Some(seed.named("weights")), &*backend);
    let settings = FitSettings {
        steps: training.updates,
        learning_rate: LEARNING_RATE,
        warmup_steps: 0,
        scheduler: Scheduler::Linear,
        adamw: AdamWSettings::default(),
    };
    let mut fit = Fit::new(backend.clone(), parameters, settings);
    while !fit.is_done() {
        cancel.check()?;
        let update = seed.named("update").index(fit.done());
        let levels: Vec<Level> =
            (0..EPISODES).map(|index| Level::drawn(grid, training.alpha, update.index(index as u64))).collect();
        let episodes = played(grid, fit.parameters(), &backend, &levels, update.named("moves"))?;
        let decisions = Decisions::of(grid, &levels, &episodes);
        fit.step(|tape, parameters| {
            let rows = decisions.moves.len();
            let seen = Var::constant(tape.backend().upload(&decisions.seen), rows, inputs(grid));
            let logits = logits(tape, parameters, &seen)?;
            Ok(loss(tape, &logits, decisions.advantages(), ENTROPY / rows as f32).into())
        })?;
    }
    Ok(Agent { parameters: fit.finish(), backend })
}

impl Agent {
    /// One that moves anywhere.
    pub(super) fn at_random(grid: Grid, backend: Arc<dyn Backend>) -> Self {
        Agent { parameters: parameters(grid, None, &*backend), backend }
    }

    /// How episodes in these levels end, and the cells that they go through. Moves are drawn as in training.
    pub(super) fn play(&self, grid: Grid, levels: &[Level], seed: Seed) -> Result<Vec<(End, Vec<usize>)>, Error> {
        let episodes = played(grid, &self.parameters, &self.backend, levels, seed)?;
        Ok(episodes.into_iter().map(|episode| (episode.end, episode.cells)).collect())
    }
}

/// Columns and rows of agent and coin, one of `size` each.
fn inputs(grid: Grid) -> usize {
    4 * usize::from(grid.size)
}

fn saw(grid: Grid, level: &Level, cell: usize, seen: &mut Vec<f32>) {
    let size = usize::from(grid.size);
    for at in grid.place(cell).into_iter().chain(grid.place(level.coin)) {
        seen.extend((0..size).map(|place| f32::from(u8::from(place == usize::from(at)))));
    }
}

/// First weights, uniform with a deviation of one over the root of the inputs; none where there is no seed.
fn parameters(grid: Grid, seed: Option<Seed>, backend: &dyn Backend) -> ParameterStore {
    let mut store = ParameterStore::default();
    let layers = [("hidden", HIDDEN, inputs(grid), 4), ("moves", MOVES, HIDDEN, HIDDEN)];
    for (name, outputs, inputs, active) in layers {
        let bound = (3.0 / active as f64).sqrt();
        let mut random = seed.map(|seed| seed.named(name).rng());
        let mut weight = || random.as_mut().map_or(0.0, |random| (2.0 * groma_data::uniform(random) - 1.0) * bound);
        let weights: Vec<f32> = (0..outputs * inputs).map(|_| weight() as f32).collect();
        store.insert(format!("{name}.weight"), outputs, inputs, true, backend.upload(&weights));
        store.insert(format!("{name}.bias"), 1, outputs, true, backend.upload(&vec![0.0; outputs]));
    }
    store
}

fn logits<'m>(tape: &mut Tape<'m>, parameters: &ParameterStore, seen: &Var) -> ModelResult<Var> {
    let var = |name: &str| match parameters.id(name) {
        Some(id) => Ok(parameters.var(id)),
        None => Err(groma_model::Error::Fit { problem: format!("the agent has no {name}") }),
    };
    let hidden = tape.linear(seen, &var("hidden.weight")?, Some(&var("hidden.bias")?));
    let hidden = tape.activation(&hidden, Activation::Relu);
    Ok(tape.linear(&hidden, &var("moves.weight")?, Some(&var("moves.bias")?)))
}

/// Plays all levels at once, move by move. A move depends on the seed, the level's place and the time alone.
fn played(
    grid: Grid,
    parameters: &ParameterStore,
    backend: &Arc<dyn Backend>,
    levels: &[Level],
    seed: Seed,
) -> Result<Vec<Episode>, Error> {
    let begun = |level: &Level| Episode { end: End::Nowhere, cells: vec![level.start], moves: Vec::new() };
    let mut episodes: Vec<Episode> = levels.iter().map(begun).collect();
    let mut randoms: Vec<_> = (0..levels.len()).map(|index| seed.index(index as u64).rng()).collect();
    for _ in 0..grid.time() {
        let going = |episode: &Episode| episode.end == End::Nowhere;
        let open: Vec<usize> = (0..levels.len()).filter(|&at| going(&episodes[at])).collect();
        if open.is_empty() {
            break;
        }
        let mut seen = Vec::with_capacity(open.len() * inputs(grid));
        open.iter().for_each(|&at| saw(grid, &levels[at], here(&episodes[at]), &mut seen));
        let mut tape = Tape::inference(backend.clone());
        let seen = Var::constant(backend.upload(&seen), open.len(), inputs(grid));
        let logits = logits(&mut tape, parameters, &seen)?;
        let logps = log_softmax(&backend.download(logits.buffer()), MOVES);
        for (&at, logps) in open.iter().zip(logps.chunks(MOVES)) {
            let direction = drawn(logps, groma_data::uniform(&mut randoms[at]));
            let cell = grid.after(here(&episodes[at]), direction);
            episodes[at].moves.push(direction);
            episodes[at].cells.push(cell);
            episodes[at].end = grid.end(&levels[at], cell).unwrap_or(End::Nowhere);
        }
    }
    Ok(episodes)
}

/// Where the agent is.
fn here(episode: &Episode) -> usize {
    episode.cells.last().copied().unwrap_or_default()
}

impl Decisions {
    /// Of training: the coin is worth 1, and an episode goes on past the corner only if the coin is not there, which counts as
    /// an end without reward.
    fn of(grid: Grid, levels: &[Level], episodes: &[Episode]) -> Self {
        let mut decisions = Decisions::default();
        for (level, episode) in levels.iter().zip(episodes) {
            let reward = if episode.end == End::Coin { 1.0 } else { 0.0 };
            for (time, &direction) in episode.moves.iter().enumerate() {
                saw(grid, level, episode.cells[time], &mut decisions.seen);
                decisions.moves.push(direction);
                decisions.returns.push(reward * DISCOUNT.powi((episode.moves.len() - 1 - time) as i32));
            }
        }
        decisions
    }

    /// By how much each return is above the mean, in deviations, at the move that was taken; the mean over decisions is what is
    /// learned from.
    fn advantages(&self) -> Vec<f32> {
        let count = self.returns.len() as f64;
        let mean = self.returns.iter().sum::<f64>() / count;
        let deviation = (self.returns.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt() + 1e-6;
        let mut advantages = vec![0.0; self.moves.len() * MOVES];
        for (row, (&direction, value)) in self.moves.iter().zip(&self.returns).enumerate() {
            advantages[row * MOVES + direction] = ((value - mean) / deviation / count) as f32;
        }
        advantages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_kernels::Cpu;

    const GRID: Grid = Grid { size: 4 };

    fn coin_and_corner(alpha: f64) -> (f64, f64) {
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new());
        let training = Training { alpha, updates: 250 };
        let agent = trained(GRID, &training, Seed::new(1), backend, &Cancel::default()).unwrap();
        let level = |index| Level::drawn(GRID, 1.0, Seed::new(9).index(index));
        let levels: Vec<Level> = (0..300).map(level).filter(|level| level.coin != GRID.corner()).collect();
        let ends = agent.play(GRID, &levels, Seed::new(3)).unwrap();
        let share = |end| ends.iter().filter(|(found, _)| *found == end).count() as f64 / ends.len() as f64;
        (share(End::Coin), share(End::Corner))
    }

    /// What the experiment is for, in small: the same agent, the same code, other levels.
    #[test]
    fn the_goal_is_what_training_told_apart() {
        let (coin, corner) = coin_and_corner(0.0);
        println!("α 0: coin {coin}, corner {corner}");
        assert!(corner > 0.6 && corner > 1.5 * coin, "{coin} {corner}");
        let (coin, corner) = coin_and_corner(1.0);
        println!("α 1: coin {coin}, corner {corner}");
        assert!(coin > 0.7 && coin > 3.0 * corner, "{coin} {corner}");
    }

    #[test]
    fn the_same_seed_plays_the_same_and_nobody_learned_from_nothing() {
        let agent = Agent::at_random(GRID, Arc::new(Cpu::new()));
        let levels: Vec<Level> = (0..400).map(|index| Level::drawn(GRID, 0.0, Seed::new(9).index(index))).collect();
        let first = agent.play(GRID, &levels, Seed::new(3)).unwrap();
        assert_eq!(first, agent.play(GRID, &levels, Seed::new(3)).unwrap());
        // A level's moves are its own, whatever else is played.
        assert_eq!(first[..5], agent.play(GRID, &levels[..5], Seed::new(3)).unwrap()[..]);
        assert!(first.iter().all(|(end, cells)| *end != End::Nowhere || cells.len() == GRID.time() + 1));
    }
}

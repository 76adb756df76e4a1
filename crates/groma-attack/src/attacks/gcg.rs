//! Greedy coordinate gradient: a suffix that makes a target's beginning likely, one token after the other.

mod candidates;
mod gradient;
mod loss;
mod losses;
mod state;

use std::time::{Duration, Instant};

use groma_run::Advance;
use serde::{Deserialize, Serialize};

use self::candidates::{Draw, Places, promising};
pub use self::gradient::{OneHot, one_hot};
pub use self::loss::Loss;
use self::losses::Losses;
use self::state::{Entry, Rule, State};
use crate::Error;
use crate::alphabet::alphabet;
use crate::arena::{Arena, Trial};
use crate::attack::{Access, Attack, Method, Searches};
use crate::attempt::{Attempt, Input};
use crate::keep::Keep;
use crate::settings::settings;
use crate::slot::Slot;
use crate::verdict::Verdict;

const ID: &str = "gcg";
const INSTEAD: &str = "templates";

pub(crate) const RECORD: Attack = Attack::new(
    (
        ID,
        "Zou et al. 2023 (2307.15043); options as in nanoGCG",
        "looks for a suffix under which the answer begins with the goal's target, by the gradient of the target's likelihood. Tokens \
         are those of the whole conversation as it is encoded again; all `width` candidates are valid and distinct; what is found \
         is put to the target every `ask_every` steps, when the target has become the most likely beginning, and at the end. \
         Settings: `steps` (250), `width` (512), `top` (256 tokens a position), `replaced` (1 token a candidate), `buffer` (0), \
         `length` (20 tokens), `word` (x, to begin with), `places` (uniform; stratified: as in llm-attacks), `accepts` (always: \
         the best candidate; improving; { annealing = FROM }: as in llm-attacks, against the accepted loss), `loss` \
         (cross_entropy; { mellowmax = 1.0 }), `ascii` (true), `ask_every` (10), `until_success` (true)",
    ),
    Access::Weights { instead: INSTEAD },
    |given| Gcg::checked(settings(given)?),
);

/// How often a search that is under way is kept.
const KEPT_EVERY: Duration = Duration::from_secs(2);

/// Which candidate is gone on from.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Accepts {
    /// The best one.
    Always,
    /// The best one, if it is better.
    Improving,
    /// A worse one too, at times: less and less often, the schedule begun at this step.
    Annealing(f64),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Gcg {
    steps: u64,
    width: usize,
    top: usize,
    replaced: usize,
    buffer: usize,
    length: usize,
    word: String,
    places: Places,
    accepts: Accepts,
    loss: Loss,
    ascii: bool,
    ask_every: u64,
    until_success: bool,
}

impl Default for Gcg {
    fn default() -> Self {
        Gcg {
            steps: 250,
            width: 512,
            top: 256,
            replaced: 1,
            buffer: 0,
            length: 20,
            word: "x".into(),
            places: Places::Uniform,
            accepts: Accepts::Always,
            loss: Loss::CrossEntropy,
            ascii: true,
            ask_every: 10,
            until_success: true,
        }
    }
}

impl Gcg {
    fn checked(gcg: Gcg) -> Result<Method, String> {
        let counts = [
            ("steps", gcg.steps as usize),
            ("width", gcg.width),
            ("top", gcg.top),
            ("replaced", gcg.replaced),
            ("length", gcg.length),
            ("ask_every", gcg.ask_every as usize),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("`{name}` is at least 1"));
        }
        if gcg.replaced > gcg.length {
            return Err(format!("`replaced` is {}, and the suffix has {} tokens", gcg.replaced, gcg.length));
        }
        if gcg.word.trim().is_empty() {
            return Err("`word` is a word, so that a suffix can begin with it".into());
        }
        match (gcg.loss, gcg.accepts) {
            (Loss::Mellowmax(sharpness), _) if !(sharpness.is_finite() && sharpness > 0.0) => {
                Err("`mellowmax` is above 0".into())
            }
            (_, Accepts::Annealing(from)) if !(from.is_finite() && from >= 0.0) => {
                Err("`annealing` is a step, 0 or more".into())
            }
            _ => Ok(Method::Search(Box::new(gcg))),
        }
    }
}

/// What is kept of a search.
#[derive(Serialize, Deserialize)]
struct Kept {
    attempt: Attempt,
    state: State,
}

impl Searches for Gcg {
    fn search(&self, arena: &Arena, trial: &mut Trial, keep: &Keep) -> Result<(), Error> {
        let local = arena.target.weights(ID, INSTEAD)?;
        let (slot, suffix) = Slot::find(local, &arena.target, trial.goal, (&self.word, self.length))?;
        let allowed = alphabet(local.encoder.tokenizer, local.transformer.spec().vocab_size, self.ascii);
        let mut losses = Losses::new(local, &slot.frame, self.loss)?;
        let mut state = match keep.load::<Kept>(&trial.goal.id) {
            Some(kept) => {
                trial.attempt = kept.attempt;
                kept.state
            }
            None => self.begin(trial, &mut losses, suffix)?,
        };
        let worked = self.work(arena, trial, (&slot, &mut losses), &allowed, &mut state, keep);
        if worked.is_err() {
            // What broke off is gone on with from here.
            save(keep, trial, &state)?;
        }
        worked
    }
}

impl Gcg {
    fn begin(&self, trial: &mut Trial, losses: &mut Losses, suffix: Vec<u32>) -> Result<State, Error> {
        let started = Instant::now();
        let found = losses.of(std::slice::from_ref(&suffix), &mut |_| true)?;
        let loss = found.losses.first().map_or(f64::INFINITY, |found| found.0);
        trial.note(1, found.tokens, started.elapsed().as_secs_f64(), Some(loss));
        Ok(State::new(Entry { ids: suffix, loss }))
    }

    fn work(
        &self,
        arena: &Arena,
        trial: &mut Trial,
        (slot, losses): (&Slot, &mut Losses),
        allowed: &[bool],
        state: &mut State,
        keep: &Keep,
    ) -> Result<(), Error> {
        let mut kept = Instant::now();
        loop {
            arena.control.cancel.check()?;
            let is_over = self.is_over(arena, trial, state);
            if state.is_to_be_put || is_over {
                ask(arena, trial, slot, state)?;
            }
            // What was put may have ended it.
            if is_over || self.is_over(arena, trial, state) {
                return Ok(());
            }
            self.step(arena, trial, (slot, losses), allowed, state)?;
            if kept.elapsed() > KEPT_EVERY {
                save(keep, trial, state)?;
                kept = Instant::now();
            }
        }
    }

    /// How the candidate of a step is taken.
    fn rule(&self, trial: &Trial, step: u64) -> Rule {
        match self.accepts {
            _ if self.buffer > 0 => Rule::Buffer(self.buffer),
            Accepts::Always => Rule::Always,
            Accepts::Improving => Rule::Improving,
            Accepts::Annealing(from) => {
                let temperature = (1.0 - (step as f64 + 1.0) / (self.steps as f64 + from)).max(1e-7);
                let draw = trial.seed.named("acceptance").index(step).bits() as f64 / 2f64.powi(64);
                Rule::Annealing { temperature, draw }
            }
        }
    }

    /// A step takes a gradient, a candidate, and leaves a query to put what was found.
    fn is_over(&self, arena: &Arena, trial: &Trial, state: &State) -> bool {
        let succeeded = self.until_success && has_succeeded(trial);
        succeeded || state.step >= self.steps || arena.left(trial) < 3
    }

    /// One step; what has become the best of all is put if the target is the most likely beginning under it.
    fn step(
        &self,
        arena: &Arena,
        trial: &mut Trial,
        (slot, losses): (&Slot, &mut Losses),
        allowed: &[bool],
        state: &mut State,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let from = state.current.ids.clone();
        let gradient = losses.gradient(&from)?;
        let left = usize::try_from(arena.left(trial) - 2).unwrap_or(usize::MAX);
        let draw = Draw {
            current: &from,
            promising: &promising(&gradient.slopes, &from, allowed, self.top),
            width: self.width.min(left),
            replaced: self.replaced,
            places: self.places,
            seed: trial.seed.named("candidates").index(state.step),
        };
        let candidates = draw.candidates(&|ids| slot.holds(ids).is_some());
        let cancel = arena.control.cancel;
        let found = losses.of(&candidates, &mut |_| !cancel.is_requested())?;
        let better = |a: &usize, b: &usize| found.losses[*a].0.total_cmp(&found.losses[*b].0);
        if let Some(chosen) = (0..candidates.len()).min_by(better) {
            let (loss, is_greedy) = found.losses[chosen];
            let is_best = state.accept(Entry { ids: candidates[chosen].clone(), loss }, self.rule(trial, state.step));
            state.is_to_be_put |= is_best && is_greedy;
        }
        state.step += 1;
        state.is_to_be_put |= state.step.is_multiple_of(self.ask_every);
        let (queries, tokens) = (1 + candidates.len() as u64, gradient.tokens + found.tokens);
        trial.note(queries, tokens, started.elapsed().as_secs_f64(), Some(state.best.loss));
        let note = Some(format!("{}, step {}", trial.goal.id, state.step));
        let loss = Some(state.best.loss);
        arena.control.progress.advance(&Advance { done: trial.place, tokens: trial.attempt.spent.tokens, loss, note });
        Ok(())
    }
}

fn save(keep: &Keep, trial: &Trial, state: &State) -> Result<(), Error> {
    keep.save(&trial.goal.id, &Kept { attempt: trial.attempt.clone(), state: state.clone() })
}

fn has_succeeded(trial: &Trial) -> bool {
    trial.attempt.tries.last().is_some_and(|last| last.verdict == Verdict::Success)
}

/// Puts the best suffix to the target, unless it was put already.
fn ask(arena: &Arena, trial: &mut Trial, slot: &Slot, state: &mut State) -> Result<(), Error> {
    if let Some(text) = slot.holds(&state.best.ids).filter(|_| state.put != state.best.ids) {
        let input = Input::new(slot.prompt(&text), "found");
        arena.ask(vec![(trial, input)])?;
        state.put.clone_from(&state.best.ids);
    }
    state.is_to_be_put = false;
    Ok(())
}

//! Sequences of a micro-batch as one token tree: every common prefix computed once, every log-probability asked for once.

use crate::action_values::{ActionSaid, ActionSlopes, ActionValues};
use crate::masked::Masked;
use crate::noise::Noise;
use crate::rivals::{Draws, Rivals};
use crate::sequence::Sequence;
use crate::taught::Compared;
use crate::{Error, value_head};
use groma_kernels::{
    Backend, Comparison, Cotangent, DivergenceVar, Gradients, HeadOutput, HeadVar, HeadWants, Tape, TeacherVar,
};
use groma_model::guidance::ActionMask;
use groma_model::tree::distinct_rows;
use groma_model::{Head, Pass, TokenTree, Transformer, View};
use groma_run::Seed;
use std::sync::Arc;

/// Tokens in one pass that keeps nothing, at most.
const PASS_TOKENS: usize = 8192;

/// Rows of the token tree of some sequences: shared prefixes count once.
pub(crate) fn tree_rows(sequences: &[&Sequence]) -> usize {
    match sequences {
        [one] => one.ids.len(),
        _ => TokenTree::share_prefixes(&sequences.iter().map(|s| s.ids.as_slice()).collect::<Vec<_>>()).0.len(),
    }
}

/// A row, the token that it is to predict, and the number of the sequence.
type Slot = (u32, u32, u32);

/// The tree of some sequences, and where each of their scored tokens is predicted.
#[derive(Debug)]
pub(crate) struct Forest {
    tree: TokenTree,
    /// The rows of each sequence's tokens.
    paths: Vec<Vec<u32>>,
    /// Rows whose hidden states are read, ascending.
    distinct: Arc<[u32]>,
    /// Per slot, which of them.
    rows: Arc<[u32]>,
    targets: Arc<[u32]>,
    /// Per sequence and scored token, its place in `rows` and `targets`: its slot.
    slots: Vec<Vec<u32>>,
}

impl Forest {
    /// Shares the prefixes of `sequences`.
    pub(crate) fn new(sequences: &[&Sequence]) -> Self {
        Forest::told_apart(sequences, &vec![0; sequences.len()])
    }

    /// The same where only sequences of one number share slots.
    pub(crate) fn told_apart(sequences: &[&Sequence], numbers: &[u32]) -> Self {
        let ids: Vec<&[u32]> = sequences.iter().map(|sequence| sequence.ids.as_slice()).collect();
        let (tree, ends) = TokenTree::share_prefixes(&ids);
        let paths = ends.iter().map(|&end| tree.path_rows(end)).collect();
        Forest::over((tree, paths), sequences, numbers)
    }

    /// The same of sequences that share nothing, in each of which some tokens are not seen by what follows them; never the first.
    pub(crate) fn forgetful(sequences: &[&Sequence], forgotten: &[Vec<bool>]) -> Self {
        let (mut tree, mut paths) = (TokenTree::new(), Vec::new());
        for (sequence, forgotten) in sequences.iter().zip(forgotten) {
            let first = tree.len() as u32;
            grow_forgetful(&mut tree, &sequence.ids, forgotten);
            paths.push((first..tree.len() as u32).collect());
        }
        Forest::over((tree, paths), sequences, &vec![0; sequences.len()])
    }

    /// Of a tree, and the rows of each sequence's tokens in it.
    fn over((tree, paths): (TokenTree, Vec<Vec<u32>>), sequences: &[&Sequence], numbers: &[u32]) -> Self {
        let wanted = |((sequence, path), &number): ((&&Sequence, &Vec<u32>), &u32)| -> Vec<Slot> {
            sequence.scored().map(|at| (path[at - 1], sequence.ids[at], number)).collect()
        };
        let wanted: Vec<Vec<Slot>> = sequences.iter().zip(&paths).zip(numbers).map(wanted).collect();
        let mut unique: Vec<Slot> = wanted.iter().flatten().copied().collect();
        unique.sort_unstable();
        unique.dedup();
        let place = |slot: &Slot| unique.partition_point(|other| other < slot) as u32;
        let slots = wanted.iter().map(|slots| slots.iter().map(place).collect()).collect();
        let (distinct, rows) = distinct_rows(&unique.iter().map(|slot| slot.0).collect::<Vec<_>>());
        let targets = unique.iter().map(|slot| slot.1).collect();
        Forest { tree, paths, distinct, rows, targets, slots }
    }

    /// Per scored token of a sequence, its place in the head's results.
    pub(crate) fn slots(&self, sequence: usize) -> &[u32] {
        &self.slots[sequence]
    }

    /// The token that a slot is the log-probability of.
    pub(crate) fn target(&self, slot: usize) -> u32 {
        self.targets[slot]
    }

    /// Number of results of the head.
    pub(crate) fn slot_count(&self) -> usize {
        self.rows.len()
    }

    /// Runs the model and its log-probability head.
    pub(crate) fn forward<'m>(
        &self,
        model: &'m Transformer,
        mut tape: Tape<'m>,
        run: Run,
        beside: &Beside,
    ) -> Result<Scored<'m>, Error> {
        let hidden = self.hidden(model, &mut tape, run)?;
        let head = tape.head(
            &hidden,
            &model.unembed()?,
            &self.targets,
            model.spec().final_softcap,
            run.temperature,
            run.wants,
        );
        let half = || {
            let mut tape = Tape::inference(model.backend().clone());
            let unembed = model.unembed()?;
            let softcap = model.spec().final_softcap;
            let temperature = 0.5 * run.temperature;
            let head = tape.head(&hidden, &unembed, &self.targets, softcap, temperature, HeadWants::default());
            Ok::<_, Error>(head.output().logp.clone())
        };
        let half = run.half_temperature.then(half).transpose()?;
        let values = run.values.then(|| model.head(&mut tape, &Head::VALUE.name, &hidden)).transpose()?;
        let (softcap, temperature) = (model.spec().final_softcap, run.temperature);
        let unembed = model.unembed()?;
        let rivals = beside
            .rivals
            .as_ref()
            .map(|draws| Rivals::of(&mut tape, &hidden, &unembed, &self.targets, ((softcap, temperature), draws)));
        let divergence = match &beside.compared {
            Some((other, Compared::Distributions(kind))) => {
                Some(tape.divergence(&hidden, &unembed, other, *kind, softcap, temperature))
            }
            _ => None,
        };
        let taught = match &beside.compared {
            Some((other, Compared::Token)) => self.says(model.backend(), other, temperature),
            _ => Vec::new(),
        };
        let actions = beside.actions.then(|| ActionValues::of(&mut tape, model, &hidden, &self.targets)).transpose()?;
        Ok(Scored { tape, head: Read::Whole(head), half, values, rivals, divergence, taught, actions })
    }

    /// [`Forest::forward`] of a policy that chooses among what a copy of it finds likely.
    pub(crate) fn forward_masked<'m>(
        &self,
        model: &'m Transformer,
        mut tape: Tape<'m>,
        run: Run,
        (lagged, mask): (&Transformer, ActionMask),
    ) -> Result<Scored<'m>, Error> {
        let finds = {
            let mut tape = Tape::inference(lagged.backend().clone());
            let hidden = self.hidden(lagged, &mut tape, Run::plain(true))?;
            lagged.logits(&hidden)?
        };
        let hidden = self.hidden(model, &mut tape, run)?;
        let masked = Masked::of(&mut tape, (model, &hidden), &finds, &self.targets, (mask, run.temperature))?;
        let values = run.values.then(|| model.head(&mut tape, &Head::VALUE.name, &hidden)).transpose()?;
        let (rivals, divergence, taught, actions) = (None, None, Vec::new(), None);
        Ok(Scored { tape, head: Read::Masked(masked), half: None, values, rivals, divergence, taught, actions })
    }

    /// Log-probabilities of scored tokens as the model has them, of its hidden states.
    pub(crate) fn likelihood<'m>(
        &self,
        model: &'m Transformer,
        tape: &mut Tape<'m>,
        hidden: &groma_kernels::Var,
    ) -> Result<HeadVar, Error> {
        let softcap = model.spec().final_softcap;
        Ok(tape.head(hidden, &model.unembed()?, &self.targets, softcap, 1.0, HeadWants::default()))
    }

    /// Hidden states, one a slot.
    pub(crate) fn hidden<'m>(
        &self,
        model: &'m Transformer,
        tape: &mut Tape<'m>,
        run: Run,
    ) -> Result<groma_kernels::Var, Error> {
        let noise = run.noise.map(|noise| noise.rows(self.tree.len(), &self.paths, model.spec().hidden_size));
        let pass = Pass { added: noise.as_deref(), ..run.pass() };
        let hidden = model.hidden_at(tape, &self.tree, &self.distinct, &pass)?;
        Ok(tape.gather_rows(&hidden, &self.rows))
    }

    /// Runs a critic; what it expects at each slot.
    pub(crate) fn forward_values<'m>(
        &self,
        critic: &'m Transformer,
        tape: &mut Tape<'m>,
        run: Run,
    ) -> Result<groma_kernels::Var, Error> {
        let hidden = critic.hidden_at(tape, &self.tree, &self.distinct, &run.pass())?;
        let hidden = tape.gather_rows(&hidden, &self.rows);
        Ok(critic.head(tape, &value_head::of(critic.spec()).name, &hidden)?)
    }

    /// What a teacher's divergences are taken from: its hidden states, one a slot of this forest. It reads `read`: this forest, or
    /// one of the same completions behind other prompts, which are the same for completions that share a slot.
    pub(crate) fn taught(&self, (teacher, adapter): (&Transformer, bool), read: &Forest) -> Result<TeacherVar, Error> {
        let mut rows = vec![0; self.slot_count()];
        for (own, its) in self.slots.iter().flatten().zip(read.slots.iter().flatten()) {
            rows[*own as usize] = read.rows[*its as usize];
        }
        let mut tape = Tape::inference(teacher.backend().clone());
        let hidden = teacher.hidden_at(&mut tape, &read.tree, &read.distinct, &Run::plain(adapter).pass())?;
        let hidden = tape.gather_rows(&hidden, &rows.into());
        Ok(TeacherVar { hidden, unembed: teacher.unembed()?, softcap: teacher.spec().final_softcap })
    }

    /// How likely the token of each slot is to who teaches.
    fn says(&self, backend: &Arc<dyn Backend>, teacher: &TeacherVar, temperature: f32) -> Vec<f32> {
        let mut tape = Tape::inference(backend.clone());
        let TeacherVar { hidden, unembed, softcap } = teacher;
        let head = tape.head(hidden, unembed, &self.targets, *softcap, temperature, HeadWants::default());
        head.output().logp.clone()
    }

    /// Runs the model; how far its distribution at each slot is from the teacher's.
    pub(crate) fn forward_divergence<'m>(
        &self,
        model: &'m Transformer,
        tape: &mut Tape<'m>,
        teacher: &TeacherVar,
        kind: Comparison,
        run: Run,
    ) -> Result<DivergenceVar, Error> {
        let hidden = model.hidden_at(tape, &self.tree, &self.distinct, &run.pass())?;
        let hidden = tape.gather_rows(&hidden, &self.rows);
        let softcap = model.spec().final_softcap;
        Ok(tape.divergence(&hidden, &model.unembed()?, teacher, kind, softcap, run.temperature))
    }

    /// Runs the model up to some rows of the tree and a head behind them; the rows' scores, in order.
    pub(crate) fn forward_head<'m>(
        &self,
        model: &'m Transformer,
        tape: &mut Tape<'m>,
        (head, rows): (&str, &[u32]),
        run: Run,
    ) -> Result<groma_kernels::Var, Error> {
        let (distinct, places) = distinct_rows(rows);
        let hidden = model.hidden_at(tape, &self.tree, &distinct, &run.pass())?;
        let hidden = tape.gather_rows(&hidden, &places);
        Ok(model.head(tape, head, &hidden)?)
    }

    /// The last row of each sequence.
    pub(crate) fn last_rows(&self) -> Vec<u32> {
        self.paths.iter().map(|path| path.last().copied().unwrap_or(0)).collect()
    }

    /// The rows of a sequence's tokens that stand behind so many of them.
    pub(crate) fn rows_behind(&self, sequence: usize, counts: impl Iterator<Item = usize>) -> Vec<u32> {
        let path = &self.paths[sequence];
        counts.map(|tokens| path[tokens - 1]).collect()
    }
}

/// How a forest is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Whether the adapter takes part.
    pub(crate) adapter: bool,
    /// Draws dropout; `None` for none.
    pub(crate) dropout: Option<Seed>,
    /// Noise on the embeddings of a pass that yields log-probabilities.
    pub(crate) noise: Option<Noise>,
    /// Whether the backward pass runs each block again (see [`Pass::recompute`]).
    pub(crate) recompute: bool,
    /// What the head computes beside log-probabilities.
    pub(crate) wants: HeadWants,
    /// Divides the logits.
    pub(crate) temperature: f32,
    /// Whether log-probabilities at half the temperature are wanted too.
    pub(crate) half_temperature: bool,
    /// Whether the head of values is asked too.
    pub(crate) values: bool,
}

/// What is read beside log-probabilities, from the same hidden states.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// A likely other token in the place of each.
    pub(crate) rivals: Option<Draws>,
    /// What is compared with somebody else's.
    pub(crate) compared: Option<(TeacherVar, Compared)>,
    /// What heads of action values say.
    pub(crate) actions: bool,
}

impl Run {
    /// A pass without dropout that yields log-probabilities alone.
    pub(crate) fn plain(adapter: bool) -> Run {
        let wants = HeadWants::default();
        let (recompute, half_temperature, values) = (false, false, false);
        Run { adapter, dropout: None, noise: None, recompute, wants, temperature: 1.0, half_temperature, values }
    }

    fn pass(&self) -> Pass<'static> {
        Pass {
            view: View::with_adapter(self.adapter),
            dropout: self.dropout,
            recompute: self.recompute,
            ..Pass::default()
        }
    }
}

/// Slopes by slot of what was read of a forest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlopesBySlot<'a> {
    pub(crate) logps: &'a [f32],
    pub(crate) entropies: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) rivals: &'a [f32],
    pub(crate) divergences: &'a [f32],
    pub(crate) actions: &'a [ActionSlopes],
}

/// Log-probabilities among all tokens, or among those that may be chosen.
#[derive(Debug)]
enum Read {
    Whole(HeadVar),
    Masked(Masked),
}

/// Log-probabilities of a forest, and the tape that differentiates them.
#[derive(Debug)]
pub(crate) struct Scored<'m> {
    tape: Tape<'m>,
    head: Read,
    half: Option<Vec<f32>>,
    values: Option<groma_kernels::Var>,
    rivals: Option<Rivals>,
    divergence: Option<DivergenceVar>,
    taught: Vec<f32>,
    actions: Option<ActionValues>,
}

impl Scored<'_> {
    /// By slot.
    pub(crate) fn output(&self) -> &HeadOutput {
        match &self.head {
            Read::Whole(head) => head.output(),
            Read::Masked(masked) => masked.output(),
        }
    }

    /// Log-probabilities at half the temperature by slot, where they were wanted; no gradient goes through them.
    pub(crate) fn half_temperature(&self) -> Option<&[f32]> {
        self.half.as_deref()
    }

    /// What the head of values says by slot, where it was asked.
    pub(crate) fn values(&self) -> Option<Vec<f32>> {
        Some(self.tape.backend().download(self.values.as_ref()?.buffer()))
    }

    /// Log-probabilities of rivals by slot, where they were wanted.
    pub(crate) fn rivals(&self) -> Option<Vec<f32>> {
        self.rivals.as_ref().map(Rivals::logps)
    }

    /// Divergences from another model by slot, where they were wanted.
    pub(crate) fn divergences(&self) -> &[f32] {
        self.divergence.as_ref().map_or(&[], DivergenceVar::values)
    }

    /// What heads of action values say, where they were asked.
    pub(crate) fn actions(&self) -> Vec<ActionSaid> {
        self.actions.as_ref().map_or(Vec::new(), |actions| actions.said(&self.tape))
    }

    /// Log-probabilities of tokens to who teaches by slot, where they were wanted.
    pub(crate) fn taught(&self) -> &[f32] {
        &self.taught
    }

    /// Adds the gradients of the sum over slots of what was read times its slope: log-probabilities, entropies where there are slopes
    /// for them (and all tokens may be chosen) and, where they were asked for, values, rivals, divergences and action values.
    pub(crate) fn backward(mut self, of: SlopesBySlot<'_>, gradients: &mut Gradients) {
        let backend = self.tape.backend().clone();
        let mut cotangents = vec![match &self.head {
            Read::Whole(head) => Cotangent::Head { head, d_logp: of.logps, d_entropy: of.entropies },
            Read::Masked(masked) => masked.cotangent(&self.tape, of.logps),
        }];
        cotangents.extend(self.values.as_ref().map(|values| Cotangent::Value(values, backend.upload(of.values))));
        cotangents.extend(self.rivals.as_mut().map(|rivals| rivals.cotangent(of.rivals)));
        let divergence = self.divergence.as_ref();
        cotangents.extend(divergence.map(|divergence| Cotangent::Divergence { divergence, d_value: of.divergences }));
        cotangents.extend(self.actions.iter().flat_map(|actions| actions.cotangents(&self.tape, of.actions)));
        self.tape.backward(cotangents, gradients);
    }
}

/// What is read at the scored tokens of the sequences of some groups, in their order: by slot of a forest, in passes of at most
/// so many token rows, or one group.
pub(crate) fn in_passes(
    groups: &[Vec<&Sequence>],
    pass_rows: usize,
    read: &mut dyn FnMut(&Forest) -> Result<Vec<f32>, Error>,
) -> Result<Vec<Vec<f32>>, Error> {
    let sizes: Vec<usize> = groups.iter().map(|group| tree_rows(group)).collect();
    let mut all = Vec::new();
    for range in groma_model::tree::pack(&sizes, pass_rows.min(PASS_TOKENS)) {
        let sequences: Vec<&Sequence> = groups[range].iter().flatten().copied().collect();
        let forest = Forest::new(&sequences);
        let by_slot = read(&forest)?;
        all.extend((0..sequences.len()).map(|s| forest.slots(s).iter().map(|&slot| by_slot[slot as usize]).collect()));
    }
    Ok(all)
}

/// Grows a tree of its own in which a token that is forgotten ends a path, and what follows goes on before it.
fn grow_forgetful(tree: &mut TokenTree, ids: &[u32], forgotten: &[bool]) {
    let runs = forgotten.chunk_by(|one, next| !one && !next);
    let mut at = 0;
    let mut path = None;
    for run in runs {
        let tokens = &ids[at..at + run.len()];
        match path {
            None => path = Some(tree.root(tokens)),
            Some(parent) if run[0] => {
                tree.child_at(parent, at, tokens);
            }
            Some(parent) => path = Some(tree.child_at(parent, at, tokens)),
        }
        at += run.len();
    }
}

//! What happens at hook points, and what was found there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groma_kernels::{Backend, Edit, Tape, Var};
use groma_run::{counted, is_or_are};
use serde::{Deserialize, Serialize};

use super::{Address, Cell, HookPoint, Site};
use crate::{Error, Result, Spec};

/// An edit at a hook point: data, which can be kept in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intervention {
    /// Where in the model.
    pub point: HookPoint,
    /// Where in the sequences.
    #[serde(default)]
    pub address: Address,
    /// What is done there. The values of [`Edit::Replace`] may be one row for all, or one for each position of the address,
    /// in its order.
    pub edit: Edit,
}

/// Code at a hook point: gets the tape, the activation and the tokens that its rows belong to; what it returns, of the same
/// shape, goes on. At [`Site::Pattern`] the rows are `heads * queries`, a cell's row is a query, and columns are the rows of
/// the tree (or of the cache, where there is one); what goes on weighs the values in the place of the model's own pattern, and
/// no gradient flows from there to queries and keys.
pub type Code = dyn for<'m> Fn(&mut Tape<'m>, Var, &[Cell]) -> Var + Send + Sync;

#[derive(Clone)]
pub(super) enum Act {
    Edit { address: Address, edit: Arc<Edit> },
    Code(Arc<Code>),
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Edit { address, edit } => f.debug_struct("Edit").field("at", address).field("edit", edit).finish(),
            Act::Code(_) => f.write_str("Code"),
        }
    }
}

/// An activation that was read: of one token of one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The sequence, see [`Address`].
    pub sequence: usize,
    /// The token's position in it.
    pub position: usize,
    /// The row.
    pub values: Vec<f32>,
}

/// What a call does at hook points, and what the last call found there.
#[derive(Debug, Default)]
pub struct Hooks {
    pub(super) acts: BTreeMap<HookPoint, Vec<Act>>,
    reads: BTreeSet<HookPoint>,
    watches: BTreeSet<HookPoint>,
    found: Mutex<Found>,
}

/// What a pass left at a place.
#[derive(Debug)]
struct Kept {
    var: Var,
    cells: Arc<[Cell]>,
}

/// What the passes of a call leave.
#[derive(Debug)]
struct Found {
    values: BTreeMap<HookPoint, Vec<Kept>>,
    /// Edits that met a row.
    fired: BTreeSet<(HookPoint, usize)>,
}

impl Found {
    const fn new() -> Self {
        Found { values: BTreeMap::new(), fired: BTreeSet::new() }
    }
}

impl Default for Found {
    fn default() -> Self {
        Self::new()
    }
}

/// The same acts, with nothing found.
impl Clone for Hooks {
    fn clone(&self) -> Self {
        let (acts, reads, watches) = (self.acts.clone(), self.reads.clone(), self.watches.clone());
        Hooks { acts, reads, watches, found: Mutex::default() }
    }
}

impl Hooks {
    /// Nothing anywhere.
    pub const fn new() -> Self {
        Hooks {
            acts: BTreeMap::new(),
            reads: BTreeSet::new(),
            watches: BTreeSet::new(),
            found: Mutex::new(Found::new()),
        }
    }

    /// Keeps the activation at `point` (after what is done there).
    pub fn read(mut self, point: HookPoint) -> Self {
        self.reads.insert(point);
        self
    }

    /// Keeps the activation at `point`, and makes its gradient available after a backward pass: look it up with
    /// [`groma_kernels::WatchedGradients::get`] under [`Hooks::get`].
    pub fn watch(mut self, point: HookPoint) -> Self {
        self.watches.insert(point);
        self
    }

    /// Adds an intervention; what is added at one point applies in the order of addition.
    pub fn intervene(mut self, intervention: Intervention) -> Self {
        let Intervention { point, address, edit } = intervention;
        self.acts.entry(point).or_default().push(Act::Edit { address, edit: Arc::new(edit) });
        self
    }

    /// Adds code; what is added at one point applies in the order of addition.
    pub fn run(
        mut self,
        point: HookPoint,
        code: impl for<'m> Fn(&mut Tape<'m>, Var, &[Cell]) -> Var + Send + Sync + 'static,
    ) -> Self {
        self.acts.entry(point).or_default().push(Act::Code(Arc::new(code)));
        self
    }

    /// The activation found at `point` by the last pass of the last call.
    pub fn get(&self, point: HookPoint) -> Option<Var> {
        self.found().values.get(&point).and_then(|all| all.last()).map(|kept| kept.var.clone())
    }

    /// What all passes of the last call found at `point`: of each token of each sequence, in the order of sequences and
    /// positions.
    pub fn readings(&self, point: HookPoint, backend: &dyn Backend) -> Vec<Reading> {
        let mut readings = Vec::new();
        for Kept { var, cells } in self.found().values.get(&point).into_iter().flatten() {
            let values = backend.download(var.buffer());
            readings.extend(cells.iter().map(|cell| Reading {
                sequence: cell.sequence,
                position: cell.position,
                values: values[cell.row * var.width()..][..var.width()].to_vec(),
            }));
        }
        readings.sort_by_key(|reading| (reading.sequence, reading.position));
        readings
    }

    /// Whether nothing happens anywhere.
    pub fn is_empty(&self) -> bool {
        self.acts.is_empty() && self.reads.is_empty() && self.watches.is_empty()
    }

    /// All places where anything happens.
    pub(crate) fn points(&self) -> impl Iterator<Item = &HookPoint> {
        self.acts.keys().chain(&self.reads).chain(&self.watches)
    }

    /// Checks that a model has all the places named, and that what is to be done fits them.
    pub fn check(&self, spec: &Spec) -> Result<()> {
        if let Some(point) = self.points().find(|point| !point.exists_in(spec)) {
            return Err(Error::UnknownHook { name: point.to_string(), near: point.near(spec) });
        }
        let edited = self.edits().map(|(point, ..)| point);
        if let Some(point) = edited.chain(self.watches.iter().copied()).find(|point| point.site == Site::Pattern) {
            return Err(Error::ReadOnlyHook { name: point.to_string() });
        }
        for (point, act) in self.acts.iter().flat_map(|(point, acts)| acts.iter().map(move |act| (point, act))) {
            let (Act::Edit { address, edit }, Some(width)) = (act, point.width(spec)) else { continue };
            check_edit(edit, address.columns.clone(), width)
                .map_err(|problem| Error::Hook { name: point.to_string(), problem })?;
        }
        Ok(())
    }

    /// Begins a call: forgets what the last one found.
    pub(crate) fn begin(&self, spec: &Spec) -> Result<()> {
        *self.found() = Found::new();
        self.check(spec)
    }

    /// Ends a call, in which every edit is to have met a row.
    pub(crate) fn finish(&self) -> Result<()> {
        let found = self.found();
        let edits = self.edits().find(|(point, index, _)| !found.fired.contains(&(*point, *index)));
        edits.map_or(Ok(()), |(point, _, address)| {
            let problem = format!("an edit never met a row: no sequence of the call has {address:?}");
            Err(Error::Hook { name: point.to_string(), problem })
        })
    }

    /// Checks that `count` sequences are all that edits name; for calls whose lengths are not known before.
    pub(crate) fn check_sequences(&self, count: usize) -> Result<()> {
        let beyond = self.edits().find(|(.., address)| address.sequence.is_some_and(|sequence| sequence >= count));
        beyond.map_or(Ok(()), |(point, _, address)| {
            let problem = format!("{address:?} names a sequence beyond the {count} of the call");
            Err(Error::Hook { name: point.to_string(), problem })
        })
    }

    fn edits(&self) -> impl Iterator<Item = (HookPoint, usize, &Address)> {
        let acts =
            self.acts.iter().flat_map(|(&point, acts)| acts.iter().enumerate().map(move |(i, act)| (point, i, act)));
        acts.filter_map(|(point, index, act)| match act {
            Act::Edit { address, .. } => Some((point, index, address)),
            Act::Code(_) => None,
        })
    }

    /// The edits that mean a sequence of `sequences` alone, and which: sequences of which it is the same may share what
    /// they begin with.
    pub(crate) fn own_edits(&self, sequences: Range<usize>) -> Vec<(HookPoint, usize, usize)> {
        let own = self.edits().filter_map(|(point, index, address)| Some((point, index, address.sequence?)));
        own.filter(|(.., sequence)| sequences.contains(sequence))
            .map(|(point, index, sequence)| (point, index, sequence - sequences.start))
            .collect()
    }

    /// Whether anything happens at `point`.
    pub(crate) fn wants(&self, point: HookPoint) -> bool {
        self.keeps(point) || self.acts.contains_key(&point)
    }

    /// Whether somebody looks at all rows of a place for which `is_of` holds.
    pub(crate) fn looks(&self, is_of: impl Fn(HookPoint) -> bool) -> bool {
        let code = self.acts.iter().filter(|(_, acts)| acts.iter().any(|act| matches!(act, Act::Code(_))));
        self.reads.iter().chain(&self.watches).chain(code.map(|(point, _)| point)).any(|&point| is_of(point))
    }

    pub(super) fn watches(&self, point: HookPoint) -> bool {
        self.watches.contains(&point)
    }

    pub(super) fn keeps(&self, point: HookPoint) -> bool {
        self.reads.contains(&point) || self.watches(point)
    }

    pub(super) fn keep(&self, point: HookPoint, var: Var, cells: Arc<[Cell]>) {
        self.found().values.entry(point).or_default().push(Kept { var, cells });
    }

    pub(super) fn fired(&self, point: HookPoint, index: usize) {
        self.found().fired.insert((point, index));
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with an edit of rows of `width`, if anything is.
fn check_edit(edit: &Edit, columns: Option<Range<usize>>, width: usize) -> Result<(), String> {
    let columns = columns.unwrap_or(0..width);
    if columns.is_empty() || columns.end > width {
        return Err(format!("columns {}..{} do not lie in a row of {width}", columns.start, columns.end));
    }
    let count = columns.len();
    let exact = |name: &str, values: &[f32]| match values.len() == count {
        true => Ok(()),
        false => Err(format!("the {name} has {} for {}", counted(values.len(), "value"), counted(count, "column"))),
    };
    let numbers: Vec<f32> = match edit {
        Edit::Add { vector, coefficient } => {
            exact("vector", vector)?;
            vector.iter().copied().chain([*coefficient]).collect()
        }
        Edit::ProjectOut { direction, strength } => {
            exact("direction", direction)?;
            if direction.iter().all(|&x| x == 0.0) {
                return Err("the direction is zero".into());
            }
            direction.iter().copied().chain([*strength]).collect()
        }
        Edit::Replace { values } if values.is_empty() || values.len() % count != 0 => {
            return Err(format!(
                "{} {} no whole number of rows of {}",
                counted(values.len(), "value"),
                is_or_are(values.len()),
                counted(count, "column")
            ));
        }
        Edit::Replace { values } => values.clone(),
        Edit::Scale { factor } => vec![*factor],
        Edit::Clamp { low, high } if low <= high => Vec::new(),
        Edit::Clamp { low, high } => return Err(format!("nothing lies between {low} and {high}")),
    };
    match numbers.iter().all(|number| number.is_finite()) {
        true => Ok(()),
        false => Err("a number of the edit is not finite".into()),
    }
}

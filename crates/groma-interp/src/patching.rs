//! Activation patching (Vig et al. 2020; Meng et al. 2022, arXiv 2202.05262; conventions of Zhang and Nanda 2023, arXiv
//! 2309.16042): parts of what a model computes for one prompt are put into what it computes for another.
//!
//! A patch is a place, positions and columns; a sweep is a list of them. What a sweep computes is what differs: patches at one
//! block begin with the residual stream that comes to it, and each patch is a branch of one token tree that leaves the undisturbed
//! prompt at the first patched position. So an own patch changes no bit, and a sweep of `L` layers over `T` tokens costs a quarter
//! of `L T` passes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use groma_kernels::{Edit, Tape};
use groma_model::score::common_prefix;
use groma_model::{
    Address, HookPoint, Hooks, Intervention, Pass, Positions, Result, SegmentId, Site, TokenTree, Transformer, View,
};

use crate::activations::{Activations, Tokens};
use crate::unembedding::logit_differences;

/// Tokens in one forward pass.
const PASS_TOKENS: usize = 2048;

/// A part of what is computed for a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The place in the model.
    pub point: HookPoint,
    /// The positions of the prompt.
    pub positions: Vec<usize>,
    /// Columns, such as those of a head; `None` for all.
    pub columns: Option<Range<usize>>,
}

/// Two prompts of one length, and the tokens that tell their answers apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// The prompt whose answer is `answer`.
    pub clean: Vec<u32>,
    /// The prompt whose answer is `foil`.
    pub corrupt: Vec<u32>,
    /// The token whose logit counts.
    pub answer: u32,
    /// The token whose logit is taken off.
    pub foil: u32,
}

/// Which prompt is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbed {
    /// Clean activations come into the corrupt prompt: is this part enough?
    Denoising,
    /// Corrupt activations come into the clean prompt: is this part needed?
    Noising,
}

/// What came of a sweep: differences of the logits of answer and foil behind the last token.
#[derive(Clone, Debug, PartialEq)]
pub struct Swept {
    /// Of the clean prompt.
    pub clean: f64,
    /// Of the corrupt prompt.
    pub corrupt: f64,
    /// With each patch.
    pub patched: Vec<f64>,
}

impl Swept {
    /// `(patched - corrupt) / (clean - corrupt)`: 0 as the corrupt prompt, 1 as the clean one, whichever is disturbed. Not finite
    /// where the two prompts do not differ.
    pub fn share(&self, index: usize) -> f64 {
        (self.patched[index] - self.corrupt) / (self.clean - self.corrupt)
    }
}

/// What a model computes for a prompt, at some places.
#[derive(Clone, Debug)]
pub struct Source {
    ids: Vec<u32>,
    points: BTreeMap<HookPoint, Activations>,
}

impl Source {
    /// Reads everything that a sweep with these patches takes from a prompt, or begins with.
    ///
    /// # Errors
    /// Those of the forward pass.
    pub fn read(model: &Transformer, ids: &[u32], patches: &[Patch]) -> Result<Self> {
        let streams = patches.iter().map(|patch| HookPoint::block(patch.point.layer, Site::ResidPre));
        let mut points: Vec<HookPoint> = patches.iter().map(|patch| patch.point).chain(streams).collect();
        points.sort_unstable();
        points.dedup();
        let found = Activations::read(model, &points, &[ids.to_vec()], Tokens::All, &mut |_| true)?;
        Ok(Source { ids: ids.to_vec(), points: points.into_iter().zip(found).collect() })
    }

    /// The values that a patch takes, position by position.
    fn values(&self, patch: &Patch, positions: &[usize]) -> Vec<f32> {
        let Some(found) = self.points.get(&patch.point) else { return Vec::new() };
        let columns = patch.columns.clone().unwrap_or(0..found.width);
        positions.iter().flat_map(|&at| found.row(at)[columns.clone()].to_vec()).collect()
    }
}

/// Patches a contrast's prompts.
///
/// # Errors
/// Those of the forward pass; [`groma_model::Error::Fit`] where the prompts have not the same length, or a patch is of a position
/// that they do not have.
pub fn patch(model: &Transformer, contrast: &Contrast, patches: &[Patch], disturbed: Disturbed) -> Result<Swept> {
    let Contrast { clean, corrupt, answer, foil } = contrast;
    check(clean, corrupt, patches)?;
    let (from, into) = match disturbed {
        Disturbed::Denoising => (clean, corrupt),
        Disturbed::Noising => (corrupt, clean),
    };
    let (source, base) = (Source::read(model, from, patches)?, Source::read(model, into, patches)?);
    let tokens = [*answer, *foil];
    let [clean, corrupt] = both(model, [clean, corrupt], tokens)?;
    let undisturbed = if disturbed == Disturbed::Denoising { corrupt } else { clean };
    let same = common_prefix(&source.ids, &base.ids);
    let patched = sweep(model, &base, &source, patches, (tokens, same))?;
    let patched = patched.into_iter().map(|found| found.unwrap_or(undisturbed)).collect();
    Ok(Swept { clean, corrupt, patched })
}

fn check(clean: &[u32], corrupt: &[u32], patches: &[Patch]) -> Result<()> {
    let fail = |problem| Err(groma_model::Error::Fit { problem });
    if clean.len() != corrupt.len() || clean.is_empty() {
        let (a, b) = (clean.len(), corrupt.len());
        return fail(format!(
            "the prompts have {a} and {b} tokens; patches go from position to position of equal prompts"
        ));
    }
    match patches.iter().find(|patch| patch.positions.iter().any(|&at| at >= clean.len())) {
        Some(patch) => {
            fail(format!("{}: the prompts have {} positions, not {:?}", patch.point, clean.len(), patch.positions))
        }
        None => Ok(()),
    }
}

/// The logit differences of two prompts as they are.
fn both(model: &Transformer, prompts: [&Vec<u32>; 2], tokens: [u32; 2]) -> Result<[f64; 2]> {
    let (mut tree, mut tape) = (TokenTree::new(), Tape::inference(model.backend().clone()));
    prompts.iter().for_each(|ids| _ = tree.root(ids));
    let ends: Arc<[u32]> =
        tree.leaves().into_iter().filter_map(|leaf| tree.last_row(leaf)).map(|row| row as u32).collect();
    let hidden = model.hidden_at(&mut tape, &tree, &ends, &Pass::default())?;
    let found = logit_differences(model, &hidden, tokens)?;
    Ok([found[0], found[1]])
}

/// The logit differences with each patch of what `source` has put into what `base` is; `None` where a patch reaches only tokens
/// before `same`, which see nothing that differs. What lies before the first patched position is computed once.
///
/// # Errors
/// Those of the forward pass.
pub fn sweep(
    model: &Transformer,
    base: &Source,
    source: &Source,
    patches: &[Patch],
    (tokens, same): ([u32; 2], usize),
) -> Result<Vec<Option<f64>>> {
    let mut found = vec![None; patches.len()];
    let mut by_layer: BTreeMap<usize, Vec<Branch>> = BTreeMap::new();
    for (index, patch) in patches.iter().enumerate() {
        let positions: Vec<usize> = patch.positions.iter().copied().filter(|&at| at >= same).collect();
        if let Some(&fork) = positions.iter().min() {
            by_layer.entry(patch.point.layer).or_default().push(Branch { index, fork, positions });
        }
    }
    for (layer, mut branches) in by_layer {
        branches.sort_by_key(|branch| branch.fork);
        let mut rest = branches.as_slice();
        while !rest.is_empty() {
            let mut rows = base.ids.len();
            let fits = |branch: &&Branch| {
                rows += base.ids.len() - branch.fork;
                rows <= PASS_TOKENS
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            let differences = run(model, layer, base, &edits(source, patches, now), tokens)?;
            now.iter().zip(differences).for_each(|(branch, difference)| found[branch.index] = Some(difference));
            rest = later;
        }
    }
    Ok(found)
}

/// A patch in a tree: it leaves the undisturbed prompt at `fork`.
struct Branch {
    index: usize,
    fork: usize,
    positions: Vec<usize>,
}

/// Where each branch leaves, and what is done there.
fn edits(source: &Source, patches: &[Patch], branches: &[Branch]) -> Vec<(usize, Intervention)> {
    let edit = |(sequence, branch): (usize, &Branch)| {
        let patch = &patches[branch.index];
        let values = source.values(patch, &branch.positions);
        let positions = Positions::At(branch.positions.clone());
        let address = Address { sequence: Some(sequence), positions, columns: patch.columns.clone() };
        (branch.fork, Intervention { point: patch.point, address, edit: Edit::Replace { values } })
    };
    branches.iter().enumerate().map(edit).collect()
}

/// The logit differences at the ends of branches, whose forks ascend.
fn run(
    model: &Transformer,
    layer: usize,
    base: &Source,
    edits: &[(usize, Intervention)],
    tokens: [u32; 2],
) -> Result<Vec<f64>> {
    let tree = branching(&base.ids, edits.iter().map(|(fork, _)| *fork));
    let hooks = edits.iter().fold(Hooks::new(), |hooks, (_, edit)| hooks.intervene(edit.clone()));
    let view = View::from(hooks);
    let ends: Arc<[u32]> =
        tree.leaves().into_iter().filter_map(|leaf| tree.last_row(leaf)).map(|row| row as u32).collect();
    let mut tape = Tape::inference(model.backend().clone());
    let stream = base.points.get(&HookPoint::block(layer, Site::ResidPre));
    let stream = stream.ok_or_else(|| groma_model::Error::Fit { problem: format!("block {layer} was not read") })?;
    let places: Arc<[u32]> = tree.positions();
    let values: Vec<f32> = places.iter().flat_map(|&at| stream.row(at as usize).to_vec()).collect();
    let stream = groma_kernels::Var::constant(model.backend().upload(&values), places.len(), stream.width);
    let hidden = model.hidden_from(&mut tape, (layer, stream), &tree, &ends, &Pass::of(&view))?;
    logit_differences(model, &hidden, tokens)
}

/// A tree in which branches leave `ids` at ascending forks, each going on with the same tokens; its leaves are the branches, in
/// their order.
fn branching(ids: &[u32], forks: impl Iterator<Item = usize>) -> TokenTree {
    let mut tree = TokenTree::new();
    let mut trunk: Option<(SegmentId, usize)> = None;
    for fork in forks {
        if fork == 0 {
            tree.root(ids);
            continue;
        }
        let (segment, at) = match trunk {
            None => (tree.root(&ids[..fork]), fork),
            Some((segment, at)) if at < fork => (tree.child(segment, &ids[at..fork]), fork),
            Some(whole) => whole,
        };
        trunk = Some((segment, at));
        tree.child(segment, &ids[fork..]);
    }
    tree
}

//! The logit lens (nostalgebraist 2020): what the final norm and the unembedding make of the residual stream before each block.
//!
//! The norm's scale is computed anew from each stream, as the model does it at the end (direct attribution, which adds up, keeps
//! the final scale instead: see [`crate::attribution`]). The last depth is the model's own prediction, to the bit.

use std::sync::Arc;

use groma_kernels::{Divergence, HeadWants, Tape, TeacherVar, Var};
use groma_model::{HookPoint, Hooks, Pass, Result, Site, TokenTree, Transformer, View};

/// What is predicted at one depth and one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The most likely token.
    pub top: u32,
    /// Its log-probability, in nats.
    pub top_logp: f64,
    /// The log-probability of the token that was asked about.
    pub logp: f64,
    /// `KL(model's own prediction | this one)`, in nats.
    pub kl: f64,
}

/// A place that is looked at: a position of a text, and the token asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The position whose stream is read.
    pub position: usize,
    /// The token whose log-probability is wanted.
    pub token: u32,
}

/// Where the lens is put: before the first block and behind each.
pub fn depths(model: &Transformer) -> Vec<HookPoint> {
    let behind = (0..model.spec().layers.len()).map(|layer| HookPoint::block(layer, Site::ResidPost));
    [HookPoint::block(0, Site::ResidPre)].into_iter().chain(behind).collect()
}

/// What is predicted at some places of a text, depth by depth: `[depth][place]`.
///
/// # Errors
/// Those of the forward pass, and where the model has no unembedding.
///
/// # Panics
/// If a place lies behind the text: an error of the calling code.
pub fn logit_lens(model: &Transformer, ids: &[u32], places: &[Place]) -> Result<Vec<Vec<Seen>>> {
    let depths = depths(model);
    let view = View::from(depths.iter().fold(Hooks::new(), |hooks, &point| hooks.read(point)));
    let (mut tree, mut tape) = (TokenTree::new(), Tape::inference(model.backend().clone()));
    tree.root(ids);
    let rows: Arc<[u32]> = places.iter().map(|place| place.position as u32).collect();
    let hidden = model.hidden(&mut tape, &tree, &Pass::of(&view))?;
    let own = tape.gather_rows(&hidden, &rows);
    let streams: Vec<Var> = depths.iter().filter_map(|&point| view.hooks.get(point)).collect();
    streams
        .iter()
        .map(|stream| {
            let at = tape.gather_rows(stream, &rows);
            let lens = model.final_norm(&mut tape, &at);
            seen(model, &mut tape, &lens, &own, places)
        })
        .collect()
}

/// What the unembedding makes of normed rows, beside what it makes of the model's own.
fn seen(model: &Transformer, tape: &mut Tape, lens: &Var, own: &Var, places: &[Place]) -> Result<Vec<Seen>> {
    let (unembed, cap) = (model.unembed()?, model.spec().final_softcap);
    let wanted: Arc<[u32]> = places.iter().map(|place| place.token).collect();
    let (top, tops) = tape.top_tokens(lens, &unembed, 1, cap, 1.0);
    let head = tape.head(lens, &unembed, &wanted, cap, 1.0, HeadWants::default());
    let teacher = TeacherVar { hidden: own.clone(), unembed: unembed.clone(), softcap: cap };
    let apart = tape.divergence(lens, &unembed, &teacher, Divergence::ForwardKl, cap, 1.0);
    let numbers = tops.output().logp.iter().zip(&head.output().logp).zip(apart.values());
    let all = top.iter().zip(numbers).map(|(&top, ((&top_logp, &logp), &kl))| Seen {
        top,
        top_logp: f64::from(top_logp),
        logp: f64::from(logp),
        kl: f64::from(kl),
    });
    Ok(all.collect())
}

//! How far a model's predictions are from those of another one, token by token.

use groma_kernels::{Divergence, Tape, TeacherVar, together};

use super::score::ScoreRequest;
use crate::tree::{distinct_rows, pack};
use crate::{Error, Pass, Result, TokenTree, Transformer, View};

/// Tokens of one pass, shared ones counted for each request.
const BUDGET: usize = 1024;

/// The divergence of `model` from `reference`, in nats, at each token of each continuation: how its distribution over that
/// token differs, whatever the token is. A continuation without context lacks its first token.
///
/// `progress` is told the number of requests done, and stops the work with [`Error::Cancelled`] by returning `false`.
///
/// # Errors
/// [`Error::Vocabularies`] where the models do not have the same tokens to choose from.
pub fn divergence(
    reference: &Transformer,
    model: &Transformer,
    requests: &[ScoreRequest],
    kind: Divergence,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let sizes = [reference, model].map(|model| model.spec().vocab_size);
    if sizes[0] != sizes[1] {
        return Err(Error::Vocabularies { first: sizes[0], second: sizes[1] });
    }
    let lengths: Vec<usize> =
        requests.iter().map(|request| request.context.len() + request.continuation.len()).collect();
    let mut found = Vec::with_capacity(requests.len());
    for batch in pack(&lengths, BUDGET) {
        found.extend(together(|| one_pass(reference, model, &requests[batch], kind))?);
        if !progress(found.len()) {
            return Err(Error::Cancelled);
        }
    }
    Ok(found)
}

fn one_pass(
    reference: &Transformer,
    model: &Transformer,
    requests: &[ScoreRequest],
    kind: Divergence,
) -> Result<Vec<Vec<f32>>> {
    let paths: Vec<Vec<u32>> = requests.iter().map(|r| [&r.context[..], &r.continuation].concat()).collect();
    // A path's last token is only predicted.
    let read: Vec<&[u32]> = paths.iter().map(|path| &path[..path.len().saturating_sub(1)]).collect();
    let (tree, ends) = TokenTree::share_prefixes(&read);
    let mut wanted = Vec::new();
    let mut counts = Vec::with_capacity(requests.len());
    for ((request, path), end) in requests.iter().zip(&paths).zip(ends) {
        let rows = tree.path_rows(end);
        let before = wanted.len();
        wanted.extend((request.context.len().max(1)..path.len()).map(|at| rows[at - 1]));
        counts.push(wanted.len() - before);
    }
    if wanted.is_empty() {
        return Ok(vec![Vec::new(); requests.len()]);
    }
    let (rows, places) = distinct_rows(&wanted);
    let pass = Pass::of(View::plain());
    let mut tape = Tape::inference(reference.backend().clone());
    let hidden = reference.hidden_at(&mut tape, &tree, &rows, &pass)?;
    let teacher = TeacherVar { hidden, unembed: reference.unembed()?, softcap: reference.spec().final_softcap };
    let mut tape = Tape::inference(model.backend().clone());
    let hidden = model.hidden_at(&mut tape, &tree, &rows, &pass)?;
    let found = tape.divergence(&hidden, &model.unembed()?, &teacher, kind, model.spec().final_softcap, 1.0);
    let mut values = places.iter().map(|place| found.values()[*place as usize]);
    Ok(counts.into_iter().map(|count| values.by_ref().take(count).collect()).collect())
}

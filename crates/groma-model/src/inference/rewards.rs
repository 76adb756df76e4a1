//! What the head of sequences says of whole texts: rewards, or the scores of classes.

use groma_kernels::{Tape, together};

use crate::spec::HeadKind;
use crate::tree::{distinct_rows, pack};
use crate::{Error, Head, Pass, Result, TokenTree, Transformer, View};

/// Tokens in one pass, as long as no text alone has more.
pub const PASS_TOKENS: usize = 8192;

/// The values of each of `texts`, in their order: as many as the head of sequences has labels, read behind the last token.
///
/// What texts of one pass begin with alike is computed once. A value does not depend, to the bit, on the texts beside it.
/// `progress` is told the number of texts done, and stops the work with [`Error::Cancelled`] by returning `false`.
///
/// # Errors
/// If the model has no head of sequences, a text is empty or longer than the model reads, or an id is beyond the vocabulary.
pub fn rewards(
    transformer: &Transformer,
    texts: &[&[u32]],
    view: &View,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let head = of_sequences(transformer)?;
    let sizes: Vec<usize> = texts.iter().map(|text| text.len()).collect();
    let mut values = Vec::with_capacity(texts.len());
    for range in pack(&sizes, PASS_TOKENS) {
        values.extend(together(|| pass(transformer, head, &texts[range], view))?);
        if !progress(values.len()) {
            return Err(Error::Cancelled);
        }
    }
    Ok(values)
}

/// The head of sequences of a model.
fn of_sequences(transformer: &Transformer) -> Result<&Head> {
    let outputs = &transformer.spec().outputs;
    outputs.iter().find(|head| head.kind == HeadKind::Sequence).ok_or_else(|| {
        let names: Vec<&str> = outputs.iter().map(|head| &*head.name).collect();
        let problem = format!("the model has no score of whole texts, only {}", names.join(", "));
        Error::Weights { problem }
    })
}

fn pass(transformer: &Transformer, head: &Head, texts: &[&[u32]], view: &View) -> Result<Vec<Vec<f32>>> {
    let (tree, ends) = TokenTree::share_prefixes(texts);
    let last: Option<Vec<u32>> = ends.iter().map(|&end| Some(tree.last_row(end)? as u32)).collect();
    let last = last.ok_or_else(|| Error::Weights { problem: "a text without tokens has no score".into() })?;
    let (rows, places) = distinct_rows(&last);
    let mut tape = Tape::inference(transformer.backend().clone());
    let hidden = transformer.hidden_at(&mut tape, &tree, &rows, &Pass::of(view))?;
    let hidden = tape.gather_rows(&hidden, &places);
    let found = transformer.head(&mut tape, &head.name, &hidden)?;
    let found = transformer.backend().download(found.buffer());
    Ok(found.chunks_exact(head.width).map(<[f32]>::to_vec).collect())
}

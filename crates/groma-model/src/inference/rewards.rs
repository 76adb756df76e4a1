//! What the head of sequences says of whole texts: rewards, or the scores of classes; what a process reward model says of their steps;
//! and how unlike they are to the texts that a reward model learned from.

use groma_kernels::{Tape, together};

use crate::spec::HeadKind;
use crate::tree::{distinct_rows, pack};
use crate::{Error, Head, Pass, Result, TokenTree, Transformer, View};

/// Tokens in one pass, as long as no text alone has more.
pub const PASS_TOKENS: usize = 8192;

/// A text, and behind how many of its tokens a head is read.
#[derive(Clone, Copy, Debug)]
pub struct Stepped<'a> {
    /// Its tokens.
    pub ids: &'a [u32],
    /// Ascending, each from 1 to the number of tokens.
    pub ends: &'a [usize],
}

/// What the rewards of an answer's steps come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepReward {
    /// How probable it is that all are right, if they are independent (Lightman et al. 2023, arXiv 2305.20050).
    Product,
    /// The worst of them.
    Least,
    /// Their mean.
    Mean,
    /// That of the last: an outcome reward.
    Last,
    /// Their sum: each step has its own (Wu et al. 2023, arXiv 2306.01693).
    Sum,
}

impl StepReward {
    /// All of them, by name.
    pub const NAMED: [(&'static str, StepReward); 5] = [
        ("product", StepReward::Product),
        ("min", StepReward::Least),
        ("mean", StepReward::Mean),
        ("last", StepReward::Last),
        ("sum", StepReward::Sum),
    ];

    /// Of probabilities, step by step; NaN of none.
    pub fn of(self, steps: &[f32]) -> f32 {
        match self {
            _ if steps.is_empty() => f32::NAN,
            StepReward::Product => steps.iter().product(),
            StepReward::Least => steps.iter().copied().fold(f32::INFINITY, f32::min),
            StepReward::Mean => steps.iter().sum::<f32>() / steps.len() as f32,
            StepReward::Last => steps[steps.len() - 1],
            StepReward::Sum => steps.iter().sum(),
        }
    }
}

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
    read_whole(transformer, Read::Heads(&[of_whole(transformer)?]), texts, view, progress)
}

/// The same values, and the length of what [`Head::doubt`] says behind the last token: `(values, doubt)` of each text.
///
/// # Errors
/// As for [`rewards`], and if the model has no such head.
pub fn doubted_rewards(
    transformer: &Transformer,
    texts: &[&[u32]],
    view: &View,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<(Vec<f32>, f32)>> {
    let doubt = transformer.spec().outputs.iter().find(|head| head.doubts());
    let heads = [of_whole(transformer)?, doubt.ok_or_else(|| missing(transformer, "doubt"))?];
    let apart = |mut values: Vec<f32>| {
        let doubt = values.split_off(heads[0].width);
        let square: f64 = doubt.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        (values, square.sqrt() as f32)
    };
    Ok(read_whole(transformer, Read::Heads(&heads), texts, view, progress)?.into_iter().map(apart).collect())
}

/// What heads read of each of `texts` behind its last token: the hidden states behind the final norm, each `[hidden_size]`.
///
/// # Errors
/// As for [`rewards`], but that no head is needed.
pub fn features(
    transformer: &Transformer,
    texts: &[&[u32]],
    view: &View,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<f32>>> {
    read_whole(transformer, Read::Features, texts, view, progress)
}

fn of_whole(transformer: &Transformer) -> Result<&Head> {
    let head = transformer.spec().outputs.iter().find(|head| head.kind == HeadKind::Sequence);
    head.ok_or_else(|| missing(transformer, "score of whole texts"))
}

fn read_whole(
    transformer: &Transformer,
    wanted: Read<'_>,
    texts: &[&[u32]],
    view: &View,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let ends: Vec<[usize; 1]> = texts.iter().map(|text| [text.len()]).collect();
    let whole = |(&ids, ends)| Stepped { ids, ends };
    let texts: Vec<Stepped<'_>> = texts.iter().zip(ends.iter().map(<[usize; 1]>::as_slice)).map(whole).collect();
    read(transformer, wanted, &texts, view, progress)
}

/// How probable it is, by a process reward model, that each step of each of `texts` is right: by text and step.
///
/// # Errors
/// As for [`rewards`], and if the model has no [`Head::STEP`].
pub fn step_rewards(
    transformer: &Transformer,
    texts: &[Stepped<'_>],
    view: &View,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let head = transformer.spec().outputs.iter().find(|head| head.rewards_steps());
    let head = head.ok_or_else(|| missing(transformer, "score of steps"))?;
    let found = read(transformer, Read::Heads(&[head]), texts, view, progress)?;
    let right = |logits: &[f32]| (1.0 / (1.0 + f64::from(logits[0] - logits[1]).exp())) as f32;
    Ok(found.iter().map(|values| values.chunks_exact(head.width).map(right).collect()).collect())
}

/// The error of a model that lacks a head.
fn missing(transformer: &Transformer, what: &str) -> Error {
    let names: Vec<&str> = transformer.spec().outputs.iter().map(|head| &*head.name).collect();
    Error::Weights { problem: format!("the model has no {what}, only {}", names.join(", ")) }
}

/// What is read behind the ends of texts.
#[derive(Clone, Copy)]
enum Read<'a> {
    /// What heads say, one after another.
    Heads(&'a [&'a Head]),
    /// What they read.
    Features,
}

/// What is read of each text: of each head, or of the features, one end after another.
fn read(
    transformer: &Transformer,
    wanted: Read<'_>,
    texts: &[Stepped<'_>],
    view: &View,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let within = |text: &Stepped<'_>| text.ends.iter().all(|&end| (1..=text.ids.len()).contains(&end));
    if texts.iter().any(|text| text.ids.is_empty() || !within(text)) {
        return Err(Error::Weights { problem: "a text without tokens has no score".into() });
    }
    let sizes: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
    let mut values = Vec::with_capacity(texts.len());
    for range in pack(&sizes, PASS_TOKENS) {
        values.extend(together(|| pass(transformer, wanted, &texts[range], view))?);
        if !progress(values.len()) {
            return Err(Error::Cancelled);
        }
    }
    Ok(values)
}

fn pass(transformer: &Transformer, read: Read<'_>, texts: &[Stepped<'_>], view: &View) -> Result<Vec<Vec<f32>>> {
    let (tree, ends) = TokenTree::share_prefixes(&texts.iter().map(|text| text.ids).collect::<Vec<_>>());
    let rows = |(text, &end): (&Stepped<'_>, &crate::SegmentId)| {
        let path = tree.path_rows(end);
        text.ends.iter().map(|&tokens| path[tokens - 1]).collect::<Vec<u32>>()
    };
    let wanted: Vec<u32> = texts.iter().zip(&ends).flat_map(rows).collect();
    let (distinct, places) = distinct_rows(&wanted);
    let mut tape = Tape::inference(transformer.backend().clone());
    let hidden = transformer.hidden_at(&mut tape, &tree, &distinct, &Pass::of(view))?;
    let hidden = tape.gather_rows(&hidden, &places);
    let said = match read {
        Read::Features => vec![hidden],
        Read::Heads(heads) => {
            heads.iter().map(|head| transformer.head(&mut tape, &head.name, &hidden)).collect::<Result<Vec<_>>>()?
        }
    };
    let mut values = vec![Vec::new(); texts.len()];
    for of_head in &said {
        let (found, width) = (transformer.backend().download(of_head.buffer()), of_head.width());
        let mut rest = &found[..];
        for (text, values) in texts.iter().zip(&mut values) {
            let (own, others) = rest.split_at(text.ends.len() * width);
            rest = others;
            values.extend_from_slice(own);
        }
    }
    Ok(values)
}

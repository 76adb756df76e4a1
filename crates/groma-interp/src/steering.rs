//! Steering: a direction added to the residual stream while a model generates (Turner et al. 2023, arXiv 2308.10248; Rimsky
//! et al. 2024, arXiv 2312.06681), beside what a random direction of the same length does.

use groma_kernels::Edit;
use groma_model::generate::{Generation, GenerationContext, GenerationPrompt, generate};
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Address, Error, HookPoint, Hooks, Intervention, Result, Transformer, View};
use groma_run::Seed;
use rand_chacha::rand_core::Rng;

use crate::activations::{Activations, Tokens};

/// The mean activation at the last tokens of `positive` texts, less that of `negative` ones.
///
/// # Errors
/// If one of the two holds no text, or a text no token.
pub fn difference_of_means(
    model: &Transformer,
    point: HookPoint,
    positive: &[Vec<u32>],
    negative: &[Vec<u32>],
) -> Result<Vec<f32>> {
    if [positive, negative].iter().any(|texts| texts.is_empty() || texts.iter().any(Vec::is_empty)) {
        return Err(Error::Fit { problem: "a direction needs texts on both sides, and tokens in each".into() });
    }
    let read = |texts| Activations::read(model, &[point], texts, Tokens::Last, &mut |_| true);
    Ok(apart(&read(positive)?[0], &read(negative)?[0]))
}

/// The mean row of the first activations less that of the second.
pub fn apart(first: &Activations, second: &Activations) -> Vec<f32> {
    first.mean().iter().zip(second.mean()).map(|(a, b)| (a - b) as f32).collect()
}

/// A random direction of the same length: the null control of a steered model.
pub fn random_direction(like: &[f32], seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    let mut normal = || (0..12).map(|_| f64::from(rng.next_u32()) / 4_294_967_296.0).sum::<f64>() - 6.0;
    let drawn: Vec<f64> = like.iter().map(|_| normal()).collect();
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let scale = length(&mut like.iter().map(|&x| f64::from(x))) / length(&mut drawn.iter().copied());
    drawn.into_iter().map(|x| (x * scale) as f32).collect()
}

/// A direction to steer along.
#[derive(Clone, Debug)]
pub struct Steering {
    /// Where it is added.
    pub point: HookPoint,
    /// At which positions of which sequences.
    pub address: Address,
    /// What is added.
    pub direction: Vec<f32>,
    /// How often.
    pub coefficient: f32,
    /// Draws the control.
    pub seed: Seed,
}

/// One thing in three views of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared<T> {
    /// As it is.
    pub plain: T,
    /// Steered.
    pub steered: T,
    /// Steered along a random direction of the same length.
    pub control: T,
}

impl Steering {
    /// The view of the steered model.
    pub fn view(&self) -> View {
        self.along(self.direction.clone())
    }

    /// The view of its null control.
    pub fn control(&self) -> View {
        self.along(random_direction(&self.direction, self.seed))
    }

    fn along(&self, vector: Vec<f32>) -> View {
        let edit = Edit::Add { vector, coefficient: self.coefficient };
        Hooks::new().intervene(Intervention { point: self.point, address: self.address.clone(), edit }).into()
    }

    /// Samples from the model as it is, steered, and under the control: same prompts, same seeds.
    ///
    /// # Errors
    /// Those of generation.
    pub fn generate(
        &self,
        model: &Transformer,
        prompts: &[GenerationPrompt],
        context: &GenerationContext,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Compared<Vec<Vec<Generation>>>> {
        self.compare(context.view, |view| generate(model, prompts, &GenerationContext { view, ..*context }, progress))
    }

    /// The log-probability of each continuation in the three views.
    ///
    /// # Errors
    /// Those of scoring.
    pub fn score(&self, model: &Transformer, requests: &[ScoreRequest]) -> Result<Compared<Vec<f64>>> {
        self.compare(View::plain(), |view| {
            let options = ScoreOptions { view, ..ScoreOptions::default() };
            Ok(score(model, requests, &options, &mut |_| true)?.iter().map(|score| score.sum()).collect())
        })
    }

    fn compare<T>(&self, plain: &View, mut with: impl FnMut(&View) -> Result<T>) -> Result<Compared<T>> {
        Ok(Compared { plain: with(plain)?, steered: with(&self.view())?, control: with(&self.control())? })
    }
}

//! Activations of a model at one place, one row a token.

use groma_kernels::Tape;
use groma_model::tree::pack;
use groma_model::{HookPoint, Hooks, Pass, Result, TokenTree, Transformer, View};

/// Tokens in one forward pass.
const PASS_TOKENS: usize = 2048;

/// Rows of `width` values.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    /// Length of a row.
    pub width: usize,
    /// All rows, one after the other.
    pub values: Vec<f32>,
}

impl Activations {
    /// What `model` has at `point` at every token of `texts`.
    ///
    /// # Errors
    /// Those of the forward pass; patterns have no width and are refused.
    pub fn of(model: &Transformer, point: HookPoint, texts: &[Vec<u32>]) -> Result<Self> {
        let unknown = || groma_model::Error::UnknownHook { name: point.to_string() };
        let width = point.width(model.spec()).ok_or_else(unknown)?;
        let (view, mut values) = (View::from(Hooks::new().read(point)), Vec::new());
        for range in pack(&texts.iter().map(Vec::len).collect::<Vec<_>>(), PASS_TOKENS) {
            let mut tree = TokenTree::new();
            texts[range].iter().for_each(|ids| _ = tree.root(ids));
            model.hidden(&mut Tape::inference(model.backend().clone()), &tree, &Pass::of(&view))?;
            if let Some(found) = view.hooks.get(point) {
                values.extend(model.backend().download(found.buffer()));
            }
        }
        Ok(Activations { width, values })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// A row.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    /// The mean row, in f64.
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.width];
        for row in self.values.chunks_exact(self.width.max(1)) {
            mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x));
        }
        mean.iter().map(|sum| sum / self.rows().max(1) as f64).collect()
    }

    /// Sum over rows of the squared distance to `centre`.
    pub fn spread(&self, centre: &[f64]) -> f64 {
        let distance = |row: &[f32]| row.iter().zip(centre).map(|(&x, c)| (f64::from(x) - c).powi(2)).sum::<f64>();
        self.values.chunks_exact(self.width.max(1)).map(distance).sum()
    }
}

//! Activations of a model at places in it, one row a token.

use std::sync::Arc;

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

/// Which tokens of a text have a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// All, in their order.
    All,
    /// The last one.
    Last,
}

impl Activations {
    /// What `model` has at `point` at every token of `texts`.
    ///
    /// # Errors
    /// Those of the forward pass; patterns have no width and are refused.
    pub fn of(model: &Transformer, point: HookPoint, texts: &[Vec<u32>]) -> Result<Self> {
        let all = Self::read(model, &[point], texts, Tokens::All, &mut |_| true)?;
        Ok(all.into_iter().next().unwrap_or(Activations { width: 0, values: Vec::new() }))
    }

    /// What `model` has at each of `points` at tokens of `texts`, text by text. What texts begin with in common is computed once
    /// in a pass. `progress` is told how many texts are read, and stops the work by returning `false`.
    ///
    /// # Errors
    /// Those of the forward pass; patterns have no width and are refused.
    pub fn read(
        model: &Transformer,
        points: &[HookPoint],
        texts: &[Vec<u32>],
        tokens: Tokens,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Self>> {
        let widths = points.iter().map(|point| {
            let unknown = || groma_model::Error::ReadOnlyHook { name: point.to_string() };
            point.width(model.spec()).ok_or_else(unknown)
        });
        let mut found: Vec<Self> =
            widths.map(|width| Ok(Activations { width: width?, values: Vec::new() })).collect::<Result<_>>()?;
        let view = View::from(points.iter().fold(Hooks::new(), |hooks, &point| hooks.read(point)));
        for range in pack(&texts.iter().map(Vec::len).collect::<Vec<_>>(), PASS_TOKENS) {
            if !progress(range.start) {
                return Err(groma_model::Error::Cancelled);
            }
            let borrowed: Vec<&[u32]> = texts[range].iter().map(Vec::as_slice).collect();
            let (tree, ends) = TokenTree::share_prefixes(&borrowed);
            let rows: Arc<[u32]> = ends
                .iter()
                .flat_map(|&end| match tokens {
                    Tokens::All => tree.path_rows(end),
                    Tokens::Last => tree.last_row(end).map(|row| row as u32).into_iter().collect(),
                })
                .collect();
            let mut tape = Tape::inference(model.backend().clone());
            model.hidden(&mut tape, &tree, &Pass::of(&view))?;
            for (point, found) in points.iter().zip(&mut found) {
                if let Some(var) = view.hooks.get(*point) {
                    found.values.extend(model.backend().download(tape.gather_rows(&var, &rows).buffer()));
                }
            }
        }
        Ok(found)
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

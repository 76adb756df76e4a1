//! Logistic regression with an L2 penalty: `mean log(1 + exp(-y (w . x + b))) + l2 / 2 |w|^2` over standardised columns, the bias
//! free.
//!
//! The problem is convex and has one solution; Newton's method finds it in f64, its steps by conjugate gradients, so that nothing
//! depends on a seed or on an order. The penalty is what scikit-learn calls `1 / (C n)`.

use crate::activations::Activations;
use crate::error::{Error, Result};

/// Newton steps, at most.
const STEPS: usize = 100;
/// The largest slope at which the solution counts as found.
const SLOPE: f64 = 1e-9;
/// Columns that vary less than this count as constant.
const LEAST_DEVIATION: f64 = 1e-12;

/// A direction and a threshold that tell rows of two kinds apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// One number a column.
    pub weights: Vec<f64>,
    /// Added to the sum.
    pub bias: f64,
}

impl Logistic {
    /// Learns to tell the rows of which `labels` hold from the others.
    ///
    /// # Errors
    /// [`Error::Rows`] where rows of one kind are missing, and where a number is not finite.
    pub fn fit(rows: &Activations, labels: &[bool], l2: f64) -> Result<Self> {
        let count = labels.iter().filter(|label| **label).count();
        let fail = |problem: &str| Err(Error::Rows { instrument: "probe", problem: problem.into(), hint: HINT });
        match () {
            () if labels.len() != rows.rows() => return fail("labels and rows are not as many"),
            () if count == 0 || count == labels.len() => return fail("all rows that are learned from are of one kind"),
            () if rows.values.iter().any(|value| !value.is_finite()) => return fail("an activation is not finite"),
            () => {}
        }
        let problem = Problem::new(rows, labels, l2);
        Ok(problem.unscaled(problem.solve()))
    }

    /// The log-odds of a row.
    pub fn logit(&self, row: &[f32]) -> f64 {
        self.bias + self.weights.iter().zip(row).map(|(w, &x)| w * f64::from(x)).sum::<f64>()
    }
}

const HINT: &str = "give rows of both kinds, of as many different prompts as there are";

/// Standardised rows, with a constant column at the end, and what is to be told apart.
struct Problem {
    rows: Vec<f64>,
    width: usize,
    /// +1 and -1.
    signs: Vec<f64>,
    l2: f64,
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Problem {
    fn new(data: &Activations, labels: &[bool], l2: f64) -> Self {
        let means = data.mean();
        let mut deviations = vec![0.0; data.width];
        for row in data.values.chunks_exact(data.width.max(1)) {
            let squares = row.iter().zip(&means).map(|(&x, mean)| (f64::from(x) - mean).powi(2));
            deviations.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        }
        let count = data.rows().max(1) as f64;
        deviations.iter_mut().for_each(|sum| *sum = (*sum / count).sqrt());
        let scaled = |(x, (mean, deviation)): (&f32, (&f64, &f64))| {
            if *deviation > LEAST_DEVIATION { (f64::from(*x) - mean) / deviation } else { 0.0 }
        };
        let row =
            |row: &[f32]| row.iter().zip(means.iter().zip(&deviations)).map(scaled).chain([1.0]).collect::<Vec<f64>>();
        let rows = data.values.chunks_exact(data.width.max(1)).flat_map(row).collect();
        let signs = labels.iter().map(|&label| if label { 1.0 } else { -1.0 }).collect();
        Problem { rows, width: data.width + 1, signs, l2, means, deviations }
    }

    /// Margins `y (w . x + b)` of all rows.
    fn margins(&self, at: &[f64]) -> Vec<f64> {
        self.rows.chunks_exact(self.width).zip(&self.signs).map(|(row, sign)| sign * dot(row, at)).collect()
    }

    fn loss(&self, at: &[f64]) -> f64 {
        let losses = self.margins(at).into_iter().map(|margin| (-margin.abs()).exp().ln_1p() + (-margin).max(0.0));
        losses.sum::<f64>() / self.signs.len() as f64 + self.l2 / 2.0 * dot(self.penalised(at), self.penalised(at))
    }

    /// All but the bias.
    fn penalised<'a>(&self, at: &'a [f64]) -> &'a [f64] {
        &at[..self.width - 1]
    }

    /// The slope, and the curvature of each row's loss.
    fn slope(&self, at: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let count = self.signs.len() as f64;
        let wrong: Vec<f64> = self.margins(at).into_iter().map(|margin| 1.0 / (1.0 + margin.exp())).collect();
        let mut slope = vec![0.0; self.width];
        for ((row, sign), wrong) in self.rows.chunks_exact(self.width).zip(&self.signs).zip(&wrong) {
            slope.iter_mut().zip(row).for_each(|(slope, x)| *slope -= sign * wrong * x / count);
        }
        let last = self.width - 1;
        slope[..last].iter_mut().zip(at).for_each(|(slope, w)| *slope += self.l2 * w);
        (slope, wrong.iter().map(|wrong| wrong * (1.0 - wrong)).collect())
    }

    /// The second derivative times a vector.
    fn curved(&self, curvature: &[f64], along: &[f64]) -> Vec<f64> {
        let count = self.signs.len() as f64;
        let mut curved = vec![0.0; self.width];
        for (row, curvature) in self.rows.chunks_exact(self.width).zip(curvature) {
            let by = curvature * dot(row, along) / count;
            curved.iter_mut().zip(row).for_each(|(curved, x)| *curved += by * x);
        }
        let last = self.width - 1;
        curved[..last].iter_mut().zip(along).for_each(|(curved, x)| *curved += self.l2 * x);
        // Where every row is told apart for certain, the bias has no curvature of its own.
        curved[last] += 1e-12 * along[last];
        curved
    }

    fn solve(&self) -> Vec<f64> {
        let mut at = vec![0.0; self.width];
        for _ in 0..STEPS {
            let (slope, curvature) = self.slope(&at);
            if slope.iter().all(|slope| slope.abs() < SLOPE) {
                break;
            }
            let step = self.step(&slope, &curvature);
            let (loss, gain) = (self.loss(&at), dot(&slope, &step));
            let to = |length: f64| at.iter().zip(&step).map(|(x, step)| x + length * step).collect::<Vec<f64>>();
            let lengths = (0..40).map(|halvings| 0.5f64.powi(halvings));
            let better = lengths.map(to).zip((0..40).map(|halvings| 0.5f64.powi(halvings)));
            let found = better.into_iter().find(|(to, length)| self.loss(to) <= loss + 1e-4 * length * gain);
            let Some((next, _)) = found else { break };
            at = next;
        }
        at
    }

    /// Newton's step, by conjugate gradients.
    fn step(&self, slope: &[f64], curvature: &[f64]) -> Vec<f64> {
        let mut step = vec![0.0; self.width];
        let mut left: Vec<f64> = slope.iter().map(|slope| -slope).collect();
        let mut along = left.clone();
        let (start, mut square) = (dot(slope, slope), dot(slope, slope));
        for _ in 0..2 * self.width {
            if square <= 1e-20 * start {
                break;
            }
            let curved = self.curved(curvature, &along);
            let length = square / dot(&along, &curved).max(f64::MIN_POSITIVE);
            step.iter_mut().zip(&along).for_each(|(step, along)| *step += length * along);
            left.iter_mut().zip(&curved).for_each(|(left, curved)| *left -= length * curved);
            let next = dot(&left, &left);
            along.iter_mut().zip(&left).for_each(|(along, left)| *along = left + next / square * *along);
            square = next;
        }
        step
    }

    /// The solution in terms of the rows as they were.
    fn unscaled(&self, at: Vec<f64>) -> Logistic {
        let weight = |(w, deviation): (&f64, &f64)| if *deviation > LEAST_DEVIATION { w / deviation } else { 0.0 };
        let weights: Vec<f64> = self.penalised(&at).iter().zip(&self.deviations).map(weight).collect();
        let bias = at[self.width - 1] - dot(&weights, &self.means);
        Logistic { weights, bias }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use groma_run::Seed;
    use rand_chacha::rand_core::Rng;

    use super::*;

    fn data(rows: usize, width: usize) -> (Activations, Vec<bool>) {
        let mut rng = Seed::new(4).rng();
        let mut uniform = || (f64::from(rng.next_u32()) / 4_294_967_296.0) as f32;
        let values: Vec<f32> = (0..rows * width).map(|_| 3.0 * uniform() + 1.0).collect();
        let label = |row: &[f32]| row[0] - 0.5 * row[1] + 0.8 * (uniform() - 0.5) > 1.3;
        let labels = values.chunks(width).map(label).collect();
        (Activations { width, values }, labels)
    }

    /// The slope is the derivative of the loss, and it is zero at the solution: which there is one of.
    #[test]
    fn the_solution_has_no_slope_and_the_slope_is_that_of_the_loss() {
        for width in [3, 40] {
            let (rows, labels) = data(60, width);
            let problem = Problem::new(&rows, &labels, 0.01);
            let at = problem.solve();
            assert!(problem.slope(&at).0.iter().all(|slope| slope.abs() < 1e-8), "{:?}", problem.slope(&at).0);
            let away: Vec<f64> = at.iter().enumerate().map(|(i, x)| x + 0.1 * (i as f64 - 1.0)).collect();
            let (slope, curvature) = problem.slope(&away);
            for index in 0..=width {
                let moved = |by: f64| {
                    let mut to = away.clone();
                    to[index] += by;
                    to
                };
                let found = (problem.loss(&moved(1e-5)) - problem.loss(&moved(-1e-5))) / 2e-5;
                assert!((found - slope[index]).abs() < 1e-6, "{found} {}", slope[index]);
                let (up, down) = (problem.slope(&moved(1e-5)).0, problem.slope(&moved(-1e-5)).0);
                let mut one = vec![0.0; width + 1];
                one[index] = 1.0;
                let curved = problem.curved(&curvature, &one);
                for ((up, down), curved) in up.iter().zip(&down).zip(&curved) {
                    assert!(((up - down) / 2e-5 - curved).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn what_is_told_apart_is_a_direction_of_the_rows_as_they_were() {
        let (rows, labels) = data(400, 3);
        let found = Logistic::fit(&rows, &labels, 1e-3).unwrap();
        assert!(
            (found.weights[1] / found.weights[0] + 0.5).abs() < 0.1 && found.weights[2].abs() < 0.1 * found.weights[0]
        );
        let right = (0..400).filter(|&index| (found.logit(rows.row(index)) > 0.0) == labels[index]).count();
        assert!(right > 330, "{right} of 400");
        let error = Logistic::fit(&rows, &[true; 400], 1e-3).unwrap_err().to_string();
        assert!(error.contains("of one kind"), "{error}");
    }
}

//! The mean of independent items.

use crate::interval::{Interval, Method};
use crate::special::student_t_quantile;

/// A mean with what its standard error is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Sample standard deviation (divisor n - 1); `None` of fewer than two.
    pub standard_deviation: Option<f64>,
    /// Items.
    pub n: usize,
}

impl Mean {
    /// Of `values`, summed in their order; `None` of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Mean { mean, standard_deviation: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()), n })
    }

    /// Standard deviation over the root of n.
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_deviation.map(|deviation| deviation / (self.n as f64).sqrt())
    }
}

/// Student's t interval of a mean; `None` of fewer than two values.
pub fn mean_interval(values: &[f64], level: f64) -> Option<Interval> {
    let mean = Mean::of(values)?;
    let error = mean.standard_error()?;
    let quantile = student_t_quantile(0.5 + level / 2.0, mean.n as f64 - 1.0);
    Some(Interval::around(mean.mean, quantile * error, level, Method::StudentT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_error_and_interval() {
        let values = [1.0, 2.0, 3.0, 4.0, 10.0];
        let mean = Mean::of(&values).unwrap();
        assert_eq!(mean.mean, 4.0);
        assert!((mean.standard_error().unwrap() - 1.5811388300841898).abs() < 1e-12);
        let interval = mean_interval(&values, 0.95).unwrap();
        // scipy.stats.t.interval(0.95, 4, 4, 1.5811388300841898)
        assert!(
            (interval.low + 0.3899451654).abs() < 1e-6 && (interval.high - 8.3899451654).abs() < 1e-6,
            "{interval:?}"
        );
    }

    #[test]
    fn too_few_have_no_error() {
        assert_eq!(mean_interval(&[1.0], 0.95), None);
        assert_eq!(mean_interval(&[], 0.95), None);
        assert_eq!(Mean::of(&[]), None);
    }
}

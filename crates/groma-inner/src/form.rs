//! Gao's forms of how the gold goes over the distance, and their coefficients by least squares.

/// A form `d (α - β f(d))` of what is won over the beginning (Gao et al. 2022, arXiv 2210.10760, section 3).
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What β goes with.
    of: fn(f64) -> f64,
}

/// Of best of n: `d (α - β d)`.
pub static BEST_OF_N: Form = Form { of: |d| d };
/// Of reinforcement learning: `d (α - β ln d)`.
pub static POLICY_GRADIENT: Form = Form { of: f64::ln };

/// Coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// How fast the gold rises at first.
    pub alpha: f64,
    /// How fast that is lost.
    pub beta: f64,
    /// The share of the variance that the form explains (R²).
    pub explained: f64,
}

/// The divergence of the best of n from the first, as its usual bound, which best of n reaches where proxies differ:
/// `ln n - (n - 1) / n` (Stiennon et al. 2020; Beirami et al. 2024). Its root is the distance.
pub fn distance_of_best(n: usize) -> f64 {
    let n = n as f64;
    (n.ln() - (n - 1.0) / n).max(0.0).sqrt()
}

impl Form {
    /// The coefficients for points at `distances`; `None` where they do not decide them. At distance 0 all forms are 0.
    pub fn fit(&self, distances: &[f64], values: &[f64]) -> Option<Fitted> {
        let points: Vec<[f64; 3]> = distances
            .iter()
            .zip(values)
            .filter(|(d, value)| **d > 0.0 && value.is_finite())
            .map(|(&d, &value)| [d, -d * (self.of)(d), value])
            .collect();
        let sum = |i: usize, j: usize| points.iter().map(|point| point[i] * point[j]).sum::<f64>();
        let determinant = sum(0, 0) * sum(1, 1) - sum(0, 1) * sum(0, 1);
        if determinant <= 1e-12 * sum(0, 0) * sum(1, 1) {
            return None;
        }
        let alpha = (sum(0, 2) * sum(1, 1) - sum(1, 2) * sum(0, 1)) / determinant;
        let beta = (sum(1, 2) * sum(0, 0) - sum(0, 2) * sum(0, 1)) / determinant;
        let mean = points.iter().map(|point| point[2]).sum::<f64>() / points.len() as f64;
        let spread: f64 = points.iter().map(|point| (point[2] - mean).powi(2)).sum();
        let left: f64 = points.iter().map(|[a, b, value]| (value - alpha * a - beta * b).powi(2)).sum();
        Some(Fitted { alpha, beta, explained: if spread > 0.0 { 1.0 - left / spread } else { 0.0 } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_of_points_on_the_curve_are_found() {
        let distances = [0.0, 0.3, 0.8, 1.5, 2.2];
        for (form, of) in [(&BEST_OF_N, (|d| d) as fn(f64) -> f64), (&POLICY_GRADIENT, f64::ln)] {
            let values = distances.map(|d: f64| if d > 0.0 { d * (1.3 - 0.4 * of(d)) } else { 0.0 });
            let found = form.fit(&distances, &values).unwrap();
            assert!((found.alpha - 1.3).abs() < 1e-9 && (found.beta - 0.4).abs() < 1e-9, "{found:?}");
            assert!((found.explained - 1.0).abs() < 1e-9);
        }
        // A point or none decides nothing.
        assert_eq!(BEST_OF_N.fit(&[0.0, 1.0], &[0.0, 1.0]), None);
        assert_eq!(BEST_OF_N.fit(&[], &[]), None);
    }
}

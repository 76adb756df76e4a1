//! Distribution functions and quantiles, over `statrs`' special functions.

use statrs::function::beta::{checked_beta_reg, inv_beta_reg};
use statrs::function::erf::{erfc, erfc_inv};

/// P(Z <= x) of a standard normal variable.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// The x with P(Z <= x) = `probability`.
pub fn normal_quantile(probability: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * probability)
}

/// P(B <= x) of a beta variable with parameters `a`, `b` > 0; NaN outside of its domain.
pub(crate) fn beta_cdf(a: f64, b: f64, x: f64) -> f64 {
    checked_beta_reg(a, b, x).unwrap_or(f64::NAN)
}

/// The x with P(B <= x) = `probability` of a beta variable with parameters `a`, `b` > 0.
pub(crate) fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    if probability <= 0.0 {
        0.0
    } else if probability >= 1.0 {
        1.0
    } else {
        inv_beta_reg(a, b, probability)
    }
}

/// P(T <= t) of Student's t with `degrees` > 0 degrees of freedom.
pub fn student_t_cdf(t: f64, degrees: f64) -> f64 {
    let tail = 0.5 * beta_cdf(degrees / 2.0, 0.5, degrees / (degrees + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The t with P(T <= t) = `probability` of Student's t with `degrees` > 0 degrees of freedom.
pub fn student_t_quantile(probability: f64, degrees: f64) -> f64 {
    let tail = probability.min(1.0 - probability);
    let x = beta_quantile(degrees / 2.0, 0.5, 2.0 * tail);
    let t = (degrees * (1.0 - x) / x).sqrt();
    if probability < 0.5 { -t } else { t }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-8 * expected.abs().max(1.0), "{found} != {expected}");
    }

    /// Figures from scipy 1.17 (norm.ppf, t.ppf, t.cdf, beta.ppf).
    #[test]
    fn against_scipy() {
        close(normal_quantile(0.975), 1.959963984540054);
        close(normal_cdf(-1.2), 0.11506967022170822);
        close(student_t_quantile(0.975, 9.0), 2.262157162798205);
        close(student_t_quantile(0.975, 1.0), 12.706204736174694);
        close(student_t_quantile(0.1, 39.0), -1.3036385886212738);
        close(student_t_cdf(1.5, 7.0), 0.911350756505015);
        close(beta_quantile(7.5, 43.5, 0.025), 0.0648717011505185);
    }

    #[test]
    fn quantiles_invert() {
        for degrees in [1.0, 3.0, 12.0, 400.0, 1e5] {
            for p in [0.005, 0.2, 0.5, 0.7, 0.999] {
                close(student_t_cdf(student_t_quantile(p, degrees), degrees), p);
            }
        }
    }
}

//! By what a proxy differs from the gold.

use groma_run::Random;

/// Kinds of noise, of scale 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Noise {
    /// None: the proxy is the gold.
    None,
    /// Normal.
    Normal,
    /// Student's t with so many degrees of freedom.
    Student(f64),
}

impl Noise {
    /// Heavy tails, which policy gradients are tried on.
    pub(super) const HEAVY: Noise = Noise::Student(2.0);
    /// All that are gone through.
    pub(super) const ALL: [Noise; 4] = [Noise::None, Noise::Normal, Noise::HEAVY, Noise::Student(1.5)];

    /// In results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Noise::None => "none",
            Noise::Normal => "normal",
            Noise::Student(2.0) => "t, 2 degrees",
            Noise::Student(_) => "t, 1.5 degrees",
        }
    }

    /// Its density, up to a factor; that of no noise is not asked for.
    pub(super) fn density(self, x: f64) -> f64 {
        match self {
            Noise::None => f64::NAN,
            Noise::Normal => (-0.5 * x * x).exp(),
            Noise::Student(degrees) => (1.0 + x * x / degrees).powf(-0.5 * (degrees + 1.0)),
        }
    }

    /// One drawn.
    ///
    /// Box and Muller; Student's t by its polar form (Bailey 1994): `√(ν (U^(-2/ν) - 1)) cos 2πV`.
    pub(super) fn draw(self, random: &mut Random) -> f64 {
        // From above 0, whose logarithm does not exist, up to 1.
        let u = 1.0 - groma_data::uniform(random);
        let turn = (std::f64::consts::TAU * groma_data::uniform(random)).cos();
        match self {
            Noise::None => 0.0,
            Noise::Normal => (-2.0 * u.ln()).sqrt() * turn,
            Noise::Student(degrees) => (degrees * (u.powf(-2.0 / degrees) - 1.0)).sqrt() * turn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Seed;
    use groma_stats::{normal_cdf, student_t_cdf};

    #[test]
    fn what_is_drawn_is_distributed_as_it_should_be() {
        let mut random = Seed::new(1).rng();
        for noise in [Noise::Normal, Noise::Student(2.0), Noise::Student(1.5)] {
            let drawn: Vec<f64> = (0..40_000).map(|_| noise.draw(&mut random)).collect();
            for x in [-3.0, -0.5, 0.0, 1.0, 4.0] {
                let share = drawn.iter().filter(|value| **value <= x).count() as f64 / drawn.len() as f64;
                let expected = match noise {
                    Noise::Student(degrees) => student_t_cdf(x, degrees),
                    _ => normal_cdf(x),
                };
                assert!((share - expected).abs() < 0.01, "{noise:?} {x}: {share} {expected}");
            }
        }
    }
}

//! The gold of the best of n by a proxy: by integration, and by drawing.

use groma_run::Seed;

use super::noise::Noise;

/// Mean gold at each n.
pub(super) type Curve = Vec<f64>;

/// Proxies that are integrated over, which lie closer together in the middle: `sinh` of equal steps up to this.
const STEPS: i32 = 1500;
/// The largest proxy, of which the heaviest tails leave less than 1e-7.
const FARTHEST: f64 = 1e6;
/// Golds that are integrated over.
const GOLD_STEPS: i32 = 200;
const GOLD_FARTHEST: f64 = 8.0;

/// Mean gold of the best of each n: `∫ E[gold | proxy = x] dF(x)^n`.
pub(super) fn gold(noise: Noise, counts: &[usize]) -> Curve {
    let cells = cells(noise);
    let total: f64 = cells.iter().map(|(mass, _)| mass).sum();
    let of = |n: &usize| {
        // Of one nothing is chosen; the sum would leave what is lost in rounding.
        if *n == 1 {
            return 0.0;
        }
        let power = |share: f64| share.powf(*n as f64);
        let mut below = 0.0;
        let sum = cells.iter().map(|(mass, mean)| {
            let before = power(below);
            below += mass / total;
            mean * (power(below.min(1.0)) - before)
        });
        sum.sum()
    };
    counts.iter().map(of).collect()
}

/// Small stretches of proxies, from the least on: how likely, up to a factor, and what gold is to be expected there.
fn cells(noise: Noise) -> Vec<(f64, f64)> {
    let farthest = if matches!(noise, Noise::Student(_)) { FARTHEST } else { 2.0 * GOLD_FARTHEST };
    let step = farthest.asinh() / f64::from(STEPS);
    let cell = |place: i32| {
        let x = (f64::from(place) * step).sinh();
        let width = (f64::from(place) * step).cosh() * step;
        let (density, mean) = at(noise, x);
        (density * width, mean)
    };
    (-STEPS..=STEPS).map(cell).collect()
}

/// The density of a proxy, up to a factor, and the gold to be expected where it is seen.
fn at(noise: Noise, x: f64) -> (f64, f64) {
    let normal = |gold: f64| (-0.5 * gold * gold).exp();
    if noise == Noise::None {
        return (normal(x), x);
    }
    let (mut density, mut first) = (0.0, 0.0);
    for place in -GOLD_STEPS..=GOLD_STEPS {
        let gold = f64::from(place) * GOLD_FARTHEST / f64::from(GOLD_STEPS);
        let both = normal(gold) * noise.density(x - gold);
        density += both;
        first += gold * both;
    }
    (density, if density > 0.0 { first / density } else { 0.0 })
}

/// The same drawn: the mean over pools, in each of which the first n are gone through for every n; `counts` ascend.
pub(super) fn sampled(noise: Noise, counts: &[usize], pools: usize, seed: Seed) -> Curve {
    let mut sums = vec![0.0; counts.len()];
    for pool in 0..pools {
        let mut random = seed.index(pool as u64).rng();
        let (mut best, mut chosen, mut seen) = (f64::NEG_INFINITY, 0.0, 0);
        for (sum, n) in sums.iter_mut().zip(counts) {
            while seen < *n {
                let gold = Noise::Normal.draw(&mut random);
                let proxy = gold + noise.draw(&mut random);
                if proxy > best {
                    (best, chosen) = (proxy, gold);
                }
                seen += 1;
            }
            *sum += chosen;
        }
    }
    sums.iter().map(|sum| sum / pools.max(1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::distance_of_best;

    const COUNTS: [usize; 7] = [2, 4, 8, 16, 64, 256, 1024];

    /// The specification's table R1, by an integration of its own (interp-and-inner-procedures.md, section 14).
    #[test]
    fn integration_gives_the_published_table() {
        for (noise, expected) in [
            (Noise::Normal, [0.3989, 0.7279, 1.0066, 1.2487, 1.6573, 1.9989, 2.2969]),
            (Noise::Student(2.0), [0.3118, 0.5555, 0.6808, 0.6876, 0.4671, 0.2378, 0.1179]),
            (Noise::Student(1.5), [0.2857, 0.5040, 0.5856, 0.5375, 0.2733, 0.1077, 0.0426]),
        ] {
            let found = gold(noise, &COUNTS);
            for ((n, found), expected) in COUNTS.iter().zip(&found).zip(expected) {
                assert!((found - expected).abs() < 1.5e-4, "{noise:?}, n {n}: {found} {expected}");
            }
        }
    }

    /// Of two, `1 / √(2π)` in gold, as half of the largest proxy's mean `√2 / √π`; of one, nothing. Without noise the means of the
    /// largest of n normal numbers (Teichroew 1956: 1.02938 of four).
    #[test]
    fn closed_forms() {
        let found = gold(Noise::Normal, &[1, 2]);
        assert!(found[0] == 0.0 && (found[1] - 1.0 / std::f64::consts::TAU.sqrt()).abs() < 1e-5, "{found:?}");
        let largest = gold(Noise::None, &[2, 4]);
        assert!((largest[0] - 1.0 / std::f64::consts::PI.sqrt()).abs() < 1e-4, "{largest:?}");
        assert!((largest[1] - 1.029375).abs() < 1e-4, "{largest:?}");
        assert_eq!(distance_of_best(1), 0.0);
        assert!((distance_of_best(4).powi(2) - (4f64.ln() - 0.75)).abs() < 1e-12);
    }

    #[test]
    fn drawing_agrees_with_integration() {
        for noise in Noise::ALL {
            let (found, expected) = (sampled(noise, &COUNTS[..4], 4000, Seed::new(7)), gold(noise, &COUNTS[..4]));
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 5.0 / 4000f64.sqrt(), "{noise:?}: {found} {expected}");
            }
        }
    }
}

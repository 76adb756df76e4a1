//! From logits to a token: the usual filters, in the usual order.

use rand_chacha::rand_core::Rng;

use crate::uniform::uniform;

/// Tokens whose weights are summed together.
const BLOCK: usize = 64;

/// How tokens are chosen. Names, order and meaning are those of transformers' `generate`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SamplingParameters {
    /// Longest continuation, in tokens.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 chooses the most likely token (the lowest id among ties).
    pub temperature: f32,
    /// Divides the logits where log-probabilities are reported; above 0.
    pub logp_temperature: f32,
    /// Keep the `top_k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of most likely tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that occurred already (Keskar et al. 2019); 1 for none.
    pub repetition_penalty: f32,
    /// Texts that end a continuation; they are cut off.
    pub stop_strings: Vec<String>,
    /// Tokens that end a continuation, besides the tokenizer's own; they are kept in `ids` but not in `text`.
    pub stop_ids: Vec<u32>,
    /// Continuations per prompt; they share the prompt.
    pub samples: usize,
}

impl Default for SamplingParameters {
    fn default() -> Self {
        SamplingParameters {
            max_new_tokens: 128,
            temperature: 1.0,
            logp_temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop_strings: Vec::new(),
            stop_ids: Vec::new(),
            samples: 1,
        }
    }
}

impl SamplingParameters {
    /// The most likely token at each step.
    pub fn greedy(max_new_tokens: usize) -> Self {
        SamplingParameters { max_new_tokens, temperature: 0.0, ..Self::default() }
    }

    /// The first parameter out of range, with its range.
    pub fn problem(&self) -> Option<String> {
        let checks = [
            (self.temperature >= 0.0 && self.temperature.is_finite(), "temperature must be at least 0"),
            (self.logp_temperature > 0.0 && self.logp_temperature.is_finite(), "logp_temperature must be above 0"),
            (self.top_p > 0.0 && self.top_p <= 1.0, "top_p must be above 0 and at most 1"),
            ((0.0..=1.0).contains(&self.min_p), "min_p must be between 0 and 1"),
            (
                self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite(),
                "repetition_penalty must be above 0",
            ),
            (self.samples > 0, "samples must be at least 1"),
            (self.max_new_tokens > 0, "max_new_tokens must be at least 1"),
        ];
        checks.iter().find(|(holds, _)| !holds).map(|(_, problem)| (*problem).into())
    }

    /// Chooses a token. `history` are the tokens so far, prompt included.
    pub fn choose(&self, logits: &[f32], history: &[u32], rng: &mut impl Rng) -> u32 {
        let penalised = self.penalised(logits, history);
        let logits = penalised.as_deref().unwrap_or(logits);
        (if self.temperature == 0.0 { argmax(logits) } else { self.draw(logits, rng) }) as u32
    }

    /// Logits after the repetition penalty, where there is one.
    fn penalised(&self, logits: &[f32], history: &[u32]) -> Option<Vec<f32>> {
        if self.repetition_penalty == 1.0 {
            return None;
        }
        let mut logits = logits.to_vec();
        let mut seen = history.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            let logit = &mut logits[token as usize];
            *logit = if *logit > 0.0 { *logit / self.repetition_penalty } else { *logit * self.repetition_penalty };
        }
        Some(logits)
    }

    fn draw(&self, logits: &[f32], rng: &mut impl Rng) -> usize {
        let u = f64::from(uniform(rng));
        let weights = Weights::new(logits, self.temperature);
        let everything = self.top_k == 0 && self.top_p == 1.0 && self.min_p == 0.0;
        if everything { weights.pick(u) } else { pick(&self.kept(&weights), u) }
    }

    /// Tokens that survive the filters.
    pub(crate) fn support(&self, logits: &[f32]) -> impl Iterator<Item = usize> + use<> {
        self.kept(&Weights::new(logits, self.temperature)).into_iter().map(|(token, _)| token)
    }

    /// Tokens that survive the filters with their weights, most likely first.
    fn kept(&self, weights: &Weights<'_>) -> Vec<(usize, f64)> {
        let mut kept = weights.all();
        if self.top_k > 0 {
            likeliest(&mut kept, self.top_k);
            kept.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            let total: f64 = kept.iter().map(|k| k.1).sum();
            let enough = nucleus(&mut kept, f64::from(self.top_p) * total);
            kept.truncate(enough);
        }
        // The most likely token has weight 1, so a weight is its ratio to it.
        kept.retain(|k| k.1 >= f64::from(self.min_p));
        likeliest(&mut kept, usize::MAX);
        kept
    }
}

/// How many of the most likely tokens reach so much together; these are put first.
fn nucleus(weights: &mut [(usize, f64)], wanted: f64) -> usize {
    // Most of a vocabulary is never needed: sorted is as much of it as reaches what is wanted.
    let mut sorted = BLOCK;
    loop {
        likeliest(weights, sorted);
        let mut reached = 0.0;
        let enough = weights.iter().take(sorted).position(|k| {
            reached += k.1;
            reached >= wanted
        });
        match enough {
            Some(last) => return last + 1,
            None if sorted >= weights.len() => return weights.len(),
            None => sorted *= 4,
        }
    }
}

/// Puts the `count` most likely tokens first, in order.
fn likeliest(weights: &mut [(usize, f64)], count: usize) {
    let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < weights.len() {
        weights.select_nth_unstable_by(count, order);
    }
    let count = count.min(weights.len());
    weights[..count].sort_unstable_by(order);
}

/// What tokens weigh beside the most likely one, which weighs 1; in f32, as the logits are.
struct Weights<'a> {
    logits: &'a [f32],
    max: f32,
    /// One over the temperature.
    factor: f32,
}

impl<'a> Weights<'a> {
    fn new(logits: &'a [f32], temperature: f32) -> Self {
        Weights { logits, max: logits[argmax(logits)], factor: 1.0 / temperature.max(f32::MIN_POSITIVE) }
    }

    /// Of the tokens of a block, in order; 0 beyond the last.
    fn block(&self, logits: &[f32]) -> [f32; BLOCK] {
        let mut weights = [f32::NEG_INFINITY; BLOCK];
        weights.iter_mut().zip(logits).for_each(|(to, &logit)| *to = (logit - self.max) * self.factor);
        weights.iter_mut().for_each(|weight| *weight = exp(*weight));
        weights
    }

    fn all(&self) -> Vec<(usize, f64)> {
        let blocks = self.logits.chunks(BLOCK).flat_map(|logits| self.block(logits));
        blocks.map(f64::from).take(self.logits.len()).enumerate().collect()
    }

    /// [`pick`] among all: first the block, by the blocks' sums, then the token.
    fn pick(&self, u: f64) -> usize {
        let blocks = self.logits.chunks(BLOCK).map(|logits| sum(&self.block(logits)));
        let sums: Vec<(usize, f64)> = blocks.enumerate().collect();
        let block = pick(&sums, u);
        let of = |sums: &[(usize, f64)]| sums.iter().map(|sum| sum.1).sum::<f64>();
        let within = (u * of(&sums) - of(&sums[..block])) / sums[block].1;
        let first = block * BLOCK;
        let weights = self.block(&self.logits[first..self.logits.len().min(first + BLOCK)]);
        let tokens: Vec<(usize, f64)> = (first..).zip(weights.map(f64::from)).collect();
        pick(&tokens, within.clamp(0.0, 1.0))
    }
}

/// In lanes of their own, so that the compiler can use vectors.
fn sum(values: &[f32; BLOCK]) -> f64 {
    let mut lanes = [0.0f32; 16];
    for chunk in values.chunks_exact(16) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value);
    }
    lanes.into_iter().map(f64::from).sum()
}

/// `e^x` for `x` up to 0 within 3e-7 of it, 0 below -87: the same on every machine, and in vectors, where that of the system's
/// library is neither.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LOW: f32 = -87.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Added to a number, it leaves the nearest whole one in the last bits.
    const WHOLE: f32 = 12_582_912.0;
    let clamped = if x < LOW { LOW } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    // Taylor's, for |r| <= ln 2 / 2.
    let mut sum = 1.0 / 5_040.0;
    for divisor in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = sum * r + 1.0 / divisor;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < LOW { 0.0 } else { sum * power }
}

/// The entry at which the running sum of weights passes `u` times their total.
fn pick(weights: &[(usize, f64)], u: f64) -> usize {
    let total: f64 = weights.iter().map(|w| w.1).sum();
    let mut reached = 0.0;
    let mut last = 0;
    for &(token, weight) in weights {
        reached += weight;
        if weight > 0.0 {
            last = token;
        }
        if reached > u * total {
            return token;
        }
    }
    last
}

/// The largest value's index, the lowest among ties.
pub fn argmax(values: &[f32]) -> usize {
    // Lanes of their own, so that the compiler can use vectors.
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in values.chunks(16) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane = larger(*lane, value));
    }
    let max = lanes.into_iter().fold(f32::NEG_INFINITY, larger);
    values.iter().position(|&value| value == max).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use groma_run::Seed;

    use super::*;

    fn frequencies(parameters: &SamplingParameters, logits: &[f32], draws: u64) -> Vec<f64> {
        let mut counts = vec![0.0; logits.len()];
        for i in 0..draws {
            let mut rng = Seed::new(1).index(i).rng();
            let token = parameters.choose(logits, &[], &mut rng);
            counts[token as usize] += 1.0 / draws as f64;
        }
        counts
    }

    #[test]
    fn samples_follow_the_softmax() {
        let logits = [1.0, 0.0, -1.0, 2.0];
        let total: f64 = logits.iter().map(|&x: &f32| f64::from(x).exp()).sum();
        let found = frequencies(&SamplingParameters::default(), &logits, 20_000);
        for (frequency, &logit) in found.iter().zip(&logits) {
            assert!((frequency - f64::from(logit).exp() / total).abs() < 0.015);
        }
    }

    #[test]
    fn powers_of_e_are_near_those_of_the_library() {
        for i in 0..=8700 {
            let x = -(i as f32) / 100.0;
            assert!((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs() < 3e-7, "{x}");
        }
        assert_eq!([exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)], [1.0, 0.0, 0.0]);
    }

    /// The draw as it is defined: all weights, sorted, filtered, and summed one by one.
    fn by_definition(parameters: &SamplingParameters, logits: &[f32], u: f64) -> usize {
        let max = f64::from(logits[argmax(logits)]);
        let weigh =
            |(i, &logit): (usize, &f32)| (i, ((f64::from(logit) - max) / f64::from(parameters.temperature)).exp());
        let mut all: Vec<(usize, f64)> = logits.iter().enumerate().map(weigh).collect();
        if parameters.top_k == 0 && parameters.top_p == 1.0 && parameters.min_p == 0.0 {
            return pick(&all, u);
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(if parameters.top_k > 0 { parameters.top_k } else { all.len() });
        let total: f64 = all.iter().map(|k| k.1).sum();
        let mut reached = 0.0;
        let mut kept = Vec::new();
        for entry in all {
            let enough = parameters.top_p < 1.0 && reached >= f64::from(parameters.top_p) * total;
            reached += entry.1;
            if !enough && entry.1 >= f64::from(parameters.min_p) {
                kept.push(entry);
            }
        }
        pick(&kept, u)
    }

    #[test]
    fn draws_are_those_of_the_definition() {
        for (case, vocab) in [1, 5, 64, 65, 1000, 8192].into_iter().cycle().take(600).enumerate() {
            let mut rng = Seed::new(case as u64).rng();
            let sharpness = 4.0 * uniform(&mut rng) + 0.2;
            let logits: Vec<f32> = (0..vocab).map(|_| sharpness * (uniform(&mut rng) * 10.0 - 5.0)).collect();
            let parameters = SamplingParameters {
                temperature: 0.3 + uniform(&mut rng),
                top_k: [0, 0, 1, 50, 10_000][case % 5],
                top_p: [1.0, 0.9, 0.999, 0.3][case % 4],
                min_p: [0.0, 0.0, 0.05][case % 3],
                ..SamplingParameters::default()
            };
            for draw in 0..5 {
                let seed = Seed::new(99).index((5 * case + draw) as u64);
                let u = f64::from(uniform(&mut seed.rng()));
                let found = parameters.choose(&logits, &[], &mut seed.rng());
                assert_eq!(found as usize, by_definition(&parameters, &logits, u), "case {case}: {parameters:?}");
            }
        }
    }

    #[test]
    fn filters_remove_what_they_should() {
        let logits = [3.0, 2.0, 1.0, 0.0];
        let base = SamplingParameters::default();
        let support = |p: &SamplingParameters| frequencies(p, &logits, 2000).iter().filter(|f| **f > 0.0).count();
        assert_eq!(support(&SamplingParameters { top_k: 2, ..base.clone() }), 2);
        assert_eq!(support(&SamplingParameters { top_p: 0.6, ..base.clone() }), 1);
        assert_eq!(support(&SamplingParameters { top_p: 0.7, ..base.clone() }), 2);
        assert_eq!(support(&SamplingParameters { min_p: 0.3, ..base.clone() }), 2);
        assert_eq!(support(&SamplingParameters { temperature: 0.01, ..base.clone() }), 1);
        assert_eq!(support(&base), 4);
    }

    #[test]
    fn the_penalty_acts_on_both_signs() {
        let parameters = SamplingParameters { repetition_penalty: 2.0, temperature: 0.0, ..Default::default() };
        let mut rng = Seed::new(1).rng();
        assert_eq!(parameters.choose(&[1.5, 1.0, -1.0], &[0, 0], &mut rng), 1);
        assert_eq!(parameters.choose(&[-1.5, -1.0, -9.0], &[1], &mut rng), 0);
    }

    #[test]
    fn ties_and_extremes_are_safe() {
        let mut rng = Seed::new(1).rng();
        let greedy = SamplingParameters::greedy(1);
        assert_eq!(greedy.choose(&[0.0, 0.0], &[], &mut rng), 0);
        for temperature in [1e-6, 1e-40] {
            let cold = SamplingParameters { temperature, ..Default::default() };
            assert_eq!(cold.choose(&[-1e30, 1e30], &[], &mut rng), 1);
        }
    }
}

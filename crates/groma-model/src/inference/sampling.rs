//! From logits to a token: the usual filters, in the usual order.

use rand_chacha::rand_core::Rng;

use crate::uniform::uniform;

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
        let max = f64::from(logits[argmax(logits)]);
        let weight = |logit: f32| ((f64::from(logit) - max) / f64::from(self.temperature)).exp();
        let everything = self.top_k == 0 && self.top_p == 1.0 && self.min_p == 0.0;
        if everything {
            let weights: Vec<(usize, f64)> = logits.iter().map(|&logit| weight(logit)).enumerate().collect();
            return pick(weights.into_iter(), u);
        }
        pick(self.kept(logits, weight).into_iter(), u)
    }

    /// Tokens that survive the filters with their weights, most likely first.
    fn kept(&self, logits: &[f32], weight: impl Fn(f32) -> f64) -> Vec<(usize, f64)> {
        let mut kept: Vec<(usize, f64)> = logits.iter().map(|&logit| weight(logit)).enumerate().collect();
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.top_k > 0 {
            kept.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            let total: f64 = kept.iter().map(|k| k.1).sum();
            let mut reached = 0.0;
            let enough = kept.iter().position(|k| {
                reached += k.1;
                reached >= f64::from(self.top_p) * total
            });
            kept.truncate(enough.map_or(kept.len(), |last| last + 1));
        }
        // The most likely token has weight 1, so a weight is its ratio to it.
        kept.retain(|k| k.1 >= f64::from(self.min_p));
        kept
    }
}

/// The entry at which the running sum of weights passes `u` times their total.
fn pick(weights: impl Iterator<Item = (usize, f64)> + Clone, u: f64) -> usize {
    let total: f64 = weights.clone().map(|w| w.1).sum();
    let mut reached = 0.0;
    let mut last = 0;
    for (token, weight) in weights {
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
        let cold = SamplingParameters { temperature: 1e-6, ..Default::default() };
        assert_eq!(cold.choose(&[-1e30, 1e30], &[], &mut rng), 1);
    }
}

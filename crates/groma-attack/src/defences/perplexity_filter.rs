//! Perplexity filter: what reads like noise is not answered.

use groma_lm::{Ask, Choice, Continuation, Control, Cost, Failure, Finish, LanguageModel, Reply, Scored, Sink};
use groma_run::{Cancel, Silent};
use serde::Deserialize;

use crate::defence::{Defence, Shield};
use crate::prompt::user_text;
use crate::settings::settings;

pub(crate) const RECORD: Defence = Defence::new(
    (
        "perplexity-filter",
        "Alon & Kamfonas 2023 (2308.14132); Jain et al. 2023 (2309.00614)",
        "refuses where the model itself finds the user's text too unlikely: where its perplexity, or with `window` that of any run of \
         so many tokens, is above `threshold`. Settings: `threshold`, to be given, as the largest perplexity of prompts that are to \
         pass; `window` (none); `answer`, what is said instead",
    ),
    |given, _| PerplexityFilter::checked(settings(given)?),
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PerplexityFilter {
    threshold: f64,
    #[serde(default)]
    window: Option<usize>,
    #[serde(default = "refusal")]
    answer: String,
}

fn refusal() -> String {
    "I'm sorry, but I can't help with that.".into()
}

impl PerplexityFilter {
    fn checked(filter: PerplexityFilter) -> Result<Box<dyn Shield>, String> {
        if !(filter.threshold.is_finite() && filter.threshold >= 1.0) {
            return Err(format!("`threshold` is a perplexity, at least 1; found {}", filter.threshold));
        }
        if filter.window == Some(0) {
            return Err("`window` is a number of tokens, at least 1".into());
        }
        Ok(Box::new(filter))
    }

    fn passes(&self, scored: &Scored) -> bool {
        let window = self.window.unwrap_or(usize::MAX).min(scored.logps.len()).max(1);
        let perplexity = |run: &[f32]| (-run.iter().map(|&logp| f64::from(logp)).sum::<f64>() / run.len() as f64).exp();
        scored.logps.windows(window).all(|run| perplexity(run) <= self.threshold)
    }
}

impl Shield for PerplexityFilter {
    fn generate_each(&self, model: &dyn LanguageModel, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        let read = |ask: &Ask| Continuation::Whole { text: user_text(&ask.prompt).to_owned() };
        let read: Vec<Continuation> = asks.iter().map(read).collect();
        let scores = model.score(&read, Control { progress: &Silent, cancel });
        let (mut passed, mut places) = (Vec::new(), Vec::new());
        for (place, (ask, scored)) in asks.iter().zip(scores).enumerate() {
            match scored {
                Ok(scored) if !self.passes(&scored) => {
                    let refused =
                        Choice { text: self.answer.clone(), ids: Vec::new(), logps: Vec::new(), finish: Finish::Stop };
                    let choices = vec![refused; ask.sampling.samples];
                    sink(place, Ok(Reply { choices, ..Reply::default() }), Cost::default());
                }
                Ok(_) | Err(Failure::NothingToScore) => {
                    passed.push(ask.clone());
                    places.push(place);
                }
                Err(failure) => sink(place, Err(failure), Cost::default()),
            }
        }
        model.generate_each(&passed, cancel, &|index, reply, cost| sink(places[index], reply, cost));
    }
}

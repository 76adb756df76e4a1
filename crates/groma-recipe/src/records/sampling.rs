//! How stages sample where a recipe does not say it: as the engine does.

use groma_lm::SamplingParameters;

pub(super) fn tokens() -> usize {
    SamplingParameters::default().max_new_tokens
}

pub(super) fn temperature() -> f32 {
    SamplingParameters::default().temperature
}

pub(super) fn top_p() -> f32 {
    SamplingParameters::default().top_p
}

//! One defence a file.

pub(crate) mod perplexity_filter;
pub(crate) mod self_reminder;
pub(crate) mod smoothllm;

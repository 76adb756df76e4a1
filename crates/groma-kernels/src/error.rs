//! What can go wrong before a kernel runs.

/// Why a backend could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The environment variable `GROMA_CPU` holds no known name.
    #[error("GROMA_CPU is `{value}`; use portable, avx2, avx512, avx512-bf16 or amx-bf16, or unset it")]
    UnknownLevel {
        /// What it holds.
        value: String,
    },
    /// No precision has this name.
    #[error("there is no precision `{value}`; use f32 or bf16")]
    UnknownPrecision {
        /// What was given.
        value: String,
    },
    /// The processor lacks the instructions asked for.
    #[error("this processor has no {wanted}; the most it can do is {available}")]
    UnsupportedLevel {
        /// Name of the level asked for.
        wanted: &'static str,
        /// Name of the best level there is.
        available: &'static str,
    },
}

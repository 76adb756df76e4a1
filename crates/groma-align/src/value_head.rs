//! The head by which a model says what it expects.

use groma_model::{Head, Spec};

/// Its score, or its values.
pub(crate) fn of(spec: &Spec) -> Head {
    if spec.head(&Head::SCORE.name) == Some(&Head::SCORE) { Head::SCORE } else { Head::VALUE }
}

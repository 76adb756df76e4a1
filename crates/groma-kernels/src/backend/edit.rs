//! Edits of activations.

use serde::{Deserialize, Serialize};

/// A declarative edit of activations, applied to listed rows of a `rows x width` buffer, there to a range of columns (all,
/// or those of a head). What is said of a row below is said of those columns.
///
/// Each has an exact backward: see [`crate::Backend::edit_backward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// `x + coefficient * vector`.
    Add {
        /// Direction, of the columns' number.
        vector: Vec<f32>,
        /// Its multiplier.
        coefficient: f32,
    },
    /// `x - strength * (x . u) u` for the unit vector `u` along `direction` (directional ablation at strength 1).
    ProjectOut {
        /// Direction, of the columns' number; normalised by the kernel, must not be zero.
        direction: Vec<f32>,
        /// Share removed.
        strength: f32,
    },
    /// The row becomes the given one; `values` holds one row for all, or one per listed row.
    Replace {
        /// New values.
        values: Vec<f32>,
    },
    /// `factor * x`.
    Scale {
        /// The multiplier; 0 is zero ablation.
        factor: f32,
    },
    /// Every element is clamped to `[low, high]`.
    Clamp {
        /// Lower bound.
        low: f32,
        /// Upper bound.
        high: f32,
    },
}

//! Training of any named set of parameters: a transformer's own, or those of what is put beside it (probes, dictionaries,
//! lenses, soft prompts, perturbations).

mod checkpoint;
mod fit;
mod optimizer;
mod schedule;

pub use checkpoint::{fill_tensor, write_tensors};
pub use fit::{Fit, FitSettings, Loss};
pub use optimizer::{AdamWSettings, Moments, Optimizer, decays};
pub use schedule::{Scheduler, learning_rate};

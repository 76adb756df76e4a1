//! A small tape over the kernels: it remembers which operations ran on which buffers, and runs them backwards.
//!
//! It is no tensor library: every value is a matrix of rows, and there are as many operations as transformers need.
//! Nothing that nobody asked for is kept: an operation is recorded only if a parameter that trains, or a variable that is
//! [watched](Tape::watch), lies behind it; without a recording tape the same code runs as plain inference, and buffers
//! return to the backend's pool as soon as the model code drops their variables.
//!
//! Shapes are checked by assertion: a mismatch is an error of the calling code, never of its data.

mod backward;
mod cotangent;
mod flow;
mod gradients;
mod head;
mod head_backward;
mod head_var;
mod instruments;
mod key;
mod linears;
mod operations;
mod record;
mod var;

pub use cotangent::Cotangent;
pub use gradients::{Gradients, WatchedGradients};
pub use head_var::{DivergenceVar, HeadVar, TeacherVar};
pub use key::ParameterId;
pub use operations::NormParameters;
pub use record::{Columns, RotaryTable, Tape};
pub use var::Var;

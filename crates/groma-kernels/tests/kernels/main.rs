//! Every kernel against plain f64 code, every gradient against central differences.
mod common;
mod matmul;

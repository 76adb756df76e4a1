//! Every kernel against plain f64 code, every gradient against central differences.
mod attention;
mod common;
mod divergence;
mod elementwise;
mod gradient;
mod head;
mod instruments;
mod level;
mod matmul;
mod norm;
mod rows;

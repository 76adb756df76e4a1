//! Every kernel against plain f64 code, every gradient against central differences.
mod attention;
mod common;
mod head;
mod matmul;

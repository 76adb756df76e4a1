//! The CPU backend.
mod activation;
mod adamw;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_tile;
pub(crate) mod arithmetic;
mod attention;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod device;
mod dropout;
mod elementwise;
mod half;
mod head;
mod host;
mod kernels;
mod level;
mod linear;
mod math;
mod matmul;
mod memory;
mod multiply_add;
mod norm;
pub(crate) mod operand;
pub(crate) mod pack;
mod packed;
mod parallel;
mod precision;
mod rotary;
mod rows;
pub(crate) mod simd;
mod softmax;
mod sparse;
mod team;
mod tile;
mod weight;

pub use device::Cpu;
pub use level::Level;
pub(crate) use memory::Memory;
pub use parallel::for_each_mut;
pub use precision::Precision;
pub use team::together;

//! AMX: products of tiles of 16 rows of 16 pairs in bf16, summed in f32.
//!
//! The instructions are written as assembly, as the compiler's intrinsics for them are not stable. Which there are is told
//! by CPUID leaf 7 and XCR0: some virtual machines hide leaf 0x1d, and palette 1 works there all the same. The kernel has
//! to grant the use of the tiles' state; the last word has a product whose result is known.
use std::arch::asm;
use std::sync::OnceLock;

/// Rows and columns of the result of one call.
pub(crate) const SIDE: usize = 32;
/// Rows of a tile register, and words in its rows.
pub(super) const TILE: usize = 16;
/// Words of A, and of B, that a step reads.
pub(crate) const STEP_WORDS: usize = SIDE * TILE;

/// Whether this process can use AMX-BF16. Asks the kernel for it and tries it, once.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_granted() && works())
}

/// AMX-TILE and AMX-BF16 in leaf 7, and both parts of the tiles' state switched on in XCR0.
fn has_instructions() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AMX_BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 3 << 17;
    #[allow(unused_unsafe, reason = "a safe function in later versions of the standard library")]
    // SAFETY: every x86-64 processor has CPUID.
    let (highest, features, extended) = unsafe {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        (__cpuid(0).eax, __cpuid(1).ecx, __cpuid_count(7, 0).edx)
    };
    if highest < 7 || features & OSXSAVE == 0 || extended & AMX_BF16_AND_TILE != AMX_BF16_AND_TILE {
        return false;
    }
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE says that the instruction may be used.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    (u64::from(high) << 32 | u64::from(low)) & TILE_STATE == TILE_STATE
}

/// Asks Linux for the right to use the tiles, for all threads of the process.
fn is_granted() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const XFEATURE_XTILEDATA: u64 = 18;
        let result: i64;
        // SAFETY: the call reads no memory; it changes nothing but this right.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack)
            );
        }
        result == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Products of small whole numbers, which bf16 holds exactly: tall and short, of one step and of more.
fn works() -> bool {
    [(true, 1, SIDE), (false, 1, SIDE), (true, 3, 48), (false, 3, 48)]
        .into_iter()
        .all(|(is_tall, steps, stride)| product_is_right(is_tall, steps, stride))
}

fn product_is_right(is_tall: bool, steps: usize, c_stride: usize) -> bool {
    let value = |i: usize| (i % 7) as f32 - 3.0;
    let word = |low: f32, high: f32| f32::from_bits(high.to_bits() & 0xffff_0000 | low.to_bits() >> 16);
    let a: Vec<f32> = (0..steps * STEP_WORDS).map(|i| word(value(i), value(i + 3))).collect();
    let b: Vec<f32> = (0..steps * STEP_WORDS).map(|i| word(value(i * 3), value(i * 5 + 1))).collect();
    let (mut want, mut got) = (vec![1.0; SIDE * c_stride], vec![1.0; SIDE * c_stride]);
    // SAFETY: A and B hold so many steps, both results a whole tile; the caller has asked for the right to use AMX.
    unsafe {
        Model::chain(&Chain { a: a.as_ptr(), b: b.as_ptr(), c: want.as_mut_ptr(), c_stride, steps }, is_tall);
        let _tiles = Configured::new();
        Amx::chain(&Chain { a: a.as_ptr(), b: b.as_ptr(), c: got.as_mut_ptr(), c_stride, steps }, is_tall);
    }
    got == want
}

/// The tiles of this thread are set up for as long as it lives.
#[derive(Debug)]
pub(crate) struct Configured(());

/// Eight tiles of 16 rows of 64 bytes, as `ldtilecfg` reads it.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configured {
    /// # Safety
    /// The process may use AMX.
    pub(crate) unsafe fn new() -> Self {
        let mut configuration =
            Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        configuration.row_bytes[..8].fill(64);
        configuration.rows[..8].fill(16);
        // SAFETY: the configuration is 64 bytes long and valid for palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: there is AMX, as `new` was called.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// `C += A B` for a result of 32 rows, or of 16, and 32 columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) a: *const f32,
    pub(super) b: *const f32,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    pub(super) steps: usize,
}

/// What computes a chain.
pub(super) trait Unit {
    /// # Safety
    /// A and B hold so many steps, C 32 or 16 rows of 32 values, and the unit may be used.
    unsafe fn chain(chain: &Chain, is_tall: bool);
}

/// The processor's.
pub(super) struct Amx;

impl Unit for Amx {
    unsafe fn chain(chain: &Chain, is_tall: bool) {
        let &Chain { a, b, c, c_stride, steps } = chain;
        let (c_right, c_low) = (c.wrapping_add(TILE), c.wrapping_add(TILE * c_stride));
        let c_low_right = c_low.wrapping_add(TILE);
        // SAFETY: the caller's promise. The registers belong to this thread between `Configured::new` and its drop, and the
        // compiler uses none of them.
        unsafe {
            asm!(
                "tileloadd tmm0, [{c} + {s}]", "tileloadd tmm1, [{r} + {s}]",
                c = in(reg) c, r = in(reg) c_right, s = in(reg) c_stride * 4, options(nostack, readonly)
            );
            if is_tall {
                asm!(
                    "tileloadd tmm2, [{c} + {s}]", "tileloadd tmm3, [{r} + {s}]",
                    c = in(reg) c_low, r = in(reg) c_low_right, s = in(reg) c_stride * 4, options(nostack, readonly)
                );
                asm!(
                    "test {n}, {n}", "jz 3f", "2:",
                    "tileloadd tmm4, [{a} + {sa}]", "tileloadd tmm6, [{b} + {sb}]", "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {sb} + 64]", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a} + {sa} + 1024]", "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a}, 2048", "add {b}, 2048", "dec {n}", "jnz 2b", "3:",
                    n = inout(reg) steps => _, a = inout(reg) a => _, b = inout(reg) b => _,
                    sa = in(reg) 64usize, sb = in(reg) 128usize, options(nostack, readonly)
                );
                asm!(
                    "tilestored [{c} + {s}], tmm2", "tilestored [{r} + {s}], tmm3",
                    c = in(reg) c_low, r = in(reg) c_low_right, s = in(reg) c_stride * 4, options(nostack)
                );
            } else {
                asm!(
                    "test {n}, {n}", "jz 3f", "2:",
                    "tileloadd tmm4, [{a} + {sa}]", "tileloadd tmm6, [{b} + {sb}]", "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b} + {sb} + 64]", "tdpbf16ps tmm1, tmm4, tmm7",
                    "add {a}, 2048", "add {b}, 2048", "dec {n}", "jnz 2b", "3:",
                    n = inout(reg) steps => _, a = inout(reg) a => _, b = inout(reg) b => _,
                    sa = in(reg) 64usize, sb = in(reg) 128usize, options(nostack, readonly)
                );
            }
            asm!(
                "tilestored [{c} + {s}], tmm0", "tilestored [{r} + {s}], tmm1",
                c = in(reg) c, r = in(reg) c_right, s = in(reg) c_stride * 4, options(nostack)
            );
        }
    }
}

/// The same in plain Rust: what the instructions are proved against, and what the tests of packing and edges run on
/// processors without them.
pub(super) struct Model;

impl Unit for Model {
    unsafe fn chain(chain: &Chain, is_tall: bool) {
        let low = |word: f32| f32::from_bits(word.to_bits() << 16);
        let high = |word: f32| f32::from_bits(word.to_bits() & 0xffff_0000);
        for i in 0..if is_tall { SIDE } else { TILE } {
            for j in 0..SIDE {
                // SAFETY: the caller's promise.
                unsafe {
                    let c = chain.c.add(i * chain.c_stride + j);
                    for word in 0..chain.steps * TILE {
                        let a = *chain.a.add(word / TILE * STEP_WORDS + i * TILE + word % TILE);
                        let b = *chain.b.add(word * SIDE + j);
                        *c = low(a).mul_add(low(b), *c);
                        *c = high(a).mul_add(high(b), *c);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_are_right_where_there_are_any() {
        if has_instructions() && is_granted() {
            assert!(works(), "AMX computes something else than its model");
        } else {
            println!("SKIPPED: there is no AMX-BF16 that this process may use");
        }
    }
}

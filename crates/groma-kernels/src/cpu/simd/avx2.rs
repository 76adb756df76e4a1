//! AVX2 with FMA.
use super::vector::Vector;
use std::arch::x86_64::*;

/// Eight values in a register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(__m256);

/// Calls an intrinsic.
macro_rules! avx2 {
    ($call:expr) => {
        // SAFETY: this type is used only behind the check that the processor has AVX2 and FMA (see the parent module);
        // where the intrinsic takes a pointer, the caller of the method promises that it may be used.
        Avx2(unsafe { $call })
    };
}

/// A mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __m256i {
    // SAFETY: as in `avx2!`.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

impl Vector for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        avx2!(_mm256_loadu_ps(from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `avx2!`.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        avx2!(_mm256_maskload_ps(from, first(count)))
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as in `avx2!`.
        unsafe { _mm256_maskstore_ps(to, first(count), self.0) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        avx2!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        avx2!(_mm256_add_ps(self.0, other.0))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        avx2!(_mm256_sub_ps(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        avx2!(_mm256_mul_ps(self.0, other.0))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        avx2!(_mm256_div_ps(self.0, other.0))
    }

    #[inline(always)]
    fn fma(self, factor: Self, summand: Self) -> Self {
        avx2!(_mm256_fmadd_ps(self.0, factor.0, summand.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        avx2!(_mm256_max_ps(self.0, other.0))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        avx2!(_mm256_min_ps(self.0, other.0))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        avx2!(_mm256_sqrt_ps(self.0))
    }

    #[inline(always)]
    fn round(self) -> Self {
        avx2!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        avx2!({
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        })
    }

    #[inline(always)]
    fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self {
        avx2!(_mm256_blendv_ps(otherwise.0, then.0, _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0)))
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        avx2!(_mm256_cvtph_ps(_mm_loadu_si128(from.cast())))
    }

    #[inline(always)]
    fn lower_halves(self) -> Self {
        avx2!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(self.0))))
    }

    #[inline(always)]
    fn upper_halves(self) -> Self {
        avx2!({
            let mask = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(self.0), mask))
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: as in `avx2!`.
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: as in `avx2!`.
        unsafe {
            let half = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: as in `avx2!`; the caller promises that all rows may be read and written.
        unsafe {
            let mut r = [_mm256_setzero_ps(); 8];
            for (i, row) in r.iter_mut().enumerate().take(rows.min(8)) {
                *row = _mm256_loadu_ps(from.add(i * from_stride));
            }
            let mut pairs = r;
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            // Lane `l` of `quads[4 g + c]` holds column `4 l + c` of the rows `4 g..4 g + 4`.
            let mut quads = pairs;
            for g in 0..2 {
                for c in 0..2 {
                    let low = _mm256_castps_pd(pairs[4 * g + c]);
                    let high = _mm256_castps_pd(pairs[4 * g + c + 2]);
                    quads[4 * g + 2 * c] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
                    quads[4 * g + 2 * c + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
                }
            }
            for c in 0..4 {
                _mm256_storeu_ps(to.add(c * to_stride), _mm256_permute2f128_ps::<0x20>(quads[c], quads[4 + c]));
                _mm256_storeu_ps(to.add((4 + c) * to_stride), _mm256_permute2f128_ps::<0x31>(quads[c], quads[4 + c]));
            }
        }
    }
}

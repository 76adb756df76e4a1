//! AVX-512.
use super::vector::Vector;
use std::arch::x86_64::*;

/// Sixteen values in a register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(__m512);

impl Avx512 {
    /// The register.
    #[inline(always)]
    pub(crate) fn bits(self) -> __m512 {
        self.0
    }

    /// A register's values.
    #[inline(always)]
    pub(crate) fn from_bits(register: __m512) -> Self {
        Self(register)
    }
}

/// Calls an intrinsic.
macro_rules! avx512 {
    ($call:expr) => {
        // SAFETY: this type is used only behind the check that the processor has AVX-512 F, BW, DQ and VL (see the parent
        // module); where the intrinsic takes a pointer, the caller of the method promises that it may be used.
        Avx512(unsafe { $call })
    };
}

/// A mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}

impl Vector for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        avx512!(_mm512_loadu_ps(from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `avx512!`.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        avx512!(_mm512_maskz_loadu_ps(first(count), from))
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as in `avx512!`.
        unsafe { _mm512_mask_storeu_ps(to, first(count), self.0) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        avx512!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        avx512!(_mm512_add_ps(self.0, other.0))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        avx512!(_mm512_sub_ps(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        avx512!(_mm512_mul_ps(self.0, other.0))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        avx512!(_mm512_div_ps(self.0, other.0))
    }

    #[inline(always)]
    fn fma(self, factor: Self, summand: Self) -> Self {
        avx512!(_mm512_fmadd_ps(self.0, factor.0, summand.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        avx512!(_mm512_max_ps(self.0, other.0))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        avx512!(_mm512_min_ps(self.0, other.0))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        avx512!(_mm512_sqrt_ps(self.0))
    }

    #[inline(always)]
    fn round(self) -> Self {
        avx512!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        avx512!({
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        })
    }

    #[inline(always)]
    fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self {
        avx512!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0), otherwise.0, then.0))
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        avx512!(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast())))
    }

    #[inline(always)]
    fn lower_halves(self) -> Self {
        avx512!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0))))
    }

    #[inline(always)]
    fn upper_halves(self) -> Self {
        avx512!({
            let mask = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(self.0), mask))
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: as in `avx512!`.
        unsafe {
            let high = _mm512_extractf32x8_ps::<1>(self.0);
            let eight = _mm256_add_ps(_mm512_castps512_ps256(self.0), high);
            let half = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: as in `avx512!`.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: as in `avx512!`; the caller promises that all rows may be read and written.
        unsafe {
            let mut r = [_mm512_setzero_ps(); 16];
            for (i, row) in r.iter_mut().enumerate().take(rows.min(16)) {
                *row = _mm512_loadu_ps(from.add(i * from_stride));
            }
            let mut pairs = r;
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            // Lane `l` (of 128 bits) of `quads[4 g + c]` holds column `4 l + c` of the rows `4 g..4 g + 4`.
            let mut quads = pairs;
            for g in 0..4 {
                for c in 0..2 {
                    let low = _mm512_castps_pd(pairs[4 * g + c]);
                    let high = _mm512_castps_pd(pairs[4 * g + c + 2]);
                    quads[4 * g + 2 * c] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
                    quads[4 * g + 2 * c + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
                }
            }
            for c in 0..4 {
                let even_first = _mm512_shuffle_f32x4::<0x88>(quads[c], quads[4 + c]);
                let odd_first = _mm512_shuffle_f32x4::<0xdd>(quads[c], quads[4 + c]);
                let even_second = _mm512_shuffle_f32x4::<0x88>(quads[8 + c], quads[12 + c]);
                let odd_second = _mm512_shuffle_f32x4::<0xdd>(quads[8 + c], quads[12 + c]);
                let columns = [
                    _mm512_shuffle_f32x4::<0x88>(even_first, even_second),
                    _mm512_shuffle_f32x4::<0x88>(odd_first, odd_second),
                    _mm512_shuffle_f32x4::<0xdd>(even_first, even_second),
                    _mm512_shuffle_f32x4::<0xdd>(odd_first, odd_second),
                ];
                for (l, column) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * l + c) * to_stride), column);
                }
            }
        }
    }
}

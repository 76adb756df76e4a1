//! One vector type for each level of instructions, and the switch between them.
//!
//! Numeric code is written once, generic over [`Vector`], in functions marked `#[inline(always)]`, and compiled for each
//! level by [`multiversion!`]. A function of a level runs only after [`super::Level`] has made sure that the processor has
//! its instructions; that is what makes the methods of the vector types sound, and why nothing but `multiversion!` and the
//! table of tiles may name these types.
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;
mod vector;

pub(crate) use vector::Vector;

/// Compiles a generic function for each level and picks one at run time:
/// `multiversion! { fn name(arguments) -> Result = generic; }` defines `name(level, arguments)`, which calls
/// `generic::<vector type>(arguments)`.
macro_rules! multiversion {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $generic:ident;)*) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name(level: $crate::Level, $($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($argument: $type),*) $(-> $result)? {
                $generic::<$crate::cpu::simd::avx512::Avx512>($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($argument: $type),*) $(-> $result)? {
                $generic::<$crate::cpu::simd::avx2::Avx2>($($argument),*)
            }
            match level.in_f32() {
                // SAFETY: a backend has this level only if the processor has these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::Level::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::Level::Avx2 => unsafe { avx2($($argument),*) },
                _ => $generic::<$crate::cpu::simd::portable::Portable>($($argument),*),
            }
        }
    )*};
}
pub(crate) use multiversion;

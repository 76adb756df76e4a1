//! Two values in a word: weights of published checkpoints, kept at the size of their files.

/// Numbers of 16 bits in which a weight may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The upper half of an f32.
    Bf16,
    /// IEEE's binary16: 5 bits of exponent, 10 of fraction.
    F16,
}

/// Between an f16 and the f32 with its bits of exponent and fraction in the same places: the difference of the biases, 127 - 15.
const BIAS: f32 = f32::from_bits((127 + 112) << 23);
/// Its inverse.
const UNBIAS: f32 = f32::from_bits((127 - 112) << 23);
/// Where the bits of f16's infinities and NaN begin, in the places of an f32.
const INFINITE: u32 = 31 << 23;

impl Half {
    /// Whether all values are exact in these numbers, and finite where f16 is asked for.
    pub(crate) fn keeps(self, values: &[f32]) -> bool {
        let lost = |bits: u32, value: &f32| {
            bits | match self {
                Half::Bf16 => value.to_bits() & 0xffff,
                Half::F16 => {
                    let small = value * UNBIAS;
                    let bits = small.to_bits();
                    (bits & 0x1fff) | u32::from(bits & 0x7fff_ffff >= INFINITE) | u32::from(small * BIAS != *value)
                }
            }
        };
        values.chunks(4096).all(|chunk| chunk.iter().fold(0, lost) == 0)
    }

    /// The bits of a value that is exact in these numbers.
    pub(crate) fn of(self, value: f32) -> u16 {
        match self {
            Half::Bf16 => (value.to_bits() >> 16) as u16,
            Half::F16 => {
                let bits = (value * UNBIAS).to_bits();
                ((bits >> 16 & 0x8000) | (bits >> 13 & 0x7fff)) as u16
            }
        }
    }

    /// The value of these bits; of f16 they are finite.
    pub(crate) fn value(self, bits: u16) -> f32 {
        let bits = u32::from(bits);
        match self {
            Half::Bf16 => f32::from_bits(bits << 16),
            Half::F16 => f32::from_bits((bits & 0x8000) << 16 | (bits & 0x7fff) << 13) * BIAS,
        }
    }
}

/// The lower or the upper half of a word.
pub(crate) fn half(word: f32, upper: bool) -> u16 {
    (word.to_bits() >> if upper { 16 } else { 0 }) as u16
}

/// The word of two halves.
pub(crate) fn word(lower: u16, upper: u16) -> f32 {
    f32::from_bits(u32::from(lower) | u32::from(upper) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: sign, exponent, fraction.
    fn defined(bits: u16) -> f32 {
        let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f32::from(bits & 1023));
        let size = if exponent == 0 {
            fraction * 2f32.powi(-24)
        } else {
            (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15)
        };
        if sign == 1 { -size } else { size }
    }

    #[test]
    fn every_finite_f16_is_kept_and_had_again() {
        for bits in (0..=u16::MAX).filter(|bits| bits >> 10 & 31 != 31) {
            let value = defined(bits);
            assert_eq!(Half::F16.value(bits).to_bits(), value.to_bits());
            assert_eq!(Half::F16.of(value), bits);
            assert!(Half::F16.keeps(&[value]));
        }
    }

    #[test]
    fn what_is_no_f16_is_not_kept() {
        let between = f32::from_bits(1f32.to_bits() + 1);
        for value in [between, 65520.0, f32::INFINITY, f32::NAN, 2f32.powi(-25), 1e-30, f32::from_bits(1), -1e5] {
            assert!(!Half::F16.keeps(&[0.5, value]), "{value}");
        }
        assert!(Half::F16.keeps(&[65504.0, -65504.0, 2f32.powi(-24), 0.0, -0.0]));
    }

    #[test]
    fn bf16_is_the_upper_half() {
        for value in [1.0, -2.5, f32::from_bits(0x0001_0000), f32::INFINITY] {
            assert!(Half::Bf16.keeps(&[value]));
            assert_eq!(Half::Bf16.value(Half::Bf16.of(value)), value);
        }
        assert!(!Half::Bf16.keeps(&[1.001]));
    }
}

//! Which vector instructions the kernels use, decided at run time.
use crate::Error;

/// Name of the environment variable that limits the instructions used.
const VARIABLE: &str = "GROMA_CPU";

/// A set of vector instructions, from the least to the most able.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What the compiler makes of plain Rust for the target's baseline.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512F with BW, DQ and VL.
    Avx512,
    /// The same with AVX-512 BF16: products in bf16, where asked for.
    Avx512Bf16,
    /// The same with AMX-TILE and AMX-BF16, granted by the operating system and found to work.
    AmxBf16,
}

impl Level {
    /// All levels, the least able first.
    pub const ALL: [Level; 5] = [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16, Level::AmxBf16];

    /// The most able level that this processor has.
    pub fn detected() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                return match is_x86_feature_detected!("avx512bf16") {
                    true if super::amx::is_available() => Level::AmxBf16,
                    true => Level::Avx512Bf16,
                    false => Level::Avx512,
                };
            }
            if avx2 {
                return Level::Avx2;
            }
        }
        Level::Portable
    }

    /// The limit set by the environment variable `GROMA_CPU` (`portable`, `avx2`, `avx512`, `avx512-bf16`, `amx-bf16`), if it is set.
    pub fn requested() -> Result<Option<Self>, Error> {
        match std::env::var_os(VARIABLE) {
            None => Ok(None),
            Some(value) => Self::parse(&value.to_string_lossy()).map(Some),
        }
    }

    /// Short name, as in `GROMA_CPU`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Bf16 => "avx512-bf16",
            Level::AmxBf16 => "amx-bf16",
        }
    }

    /// Whether this processor has it.
    pub fn is_supported(self) -> bool {
        self <= Self::detected()
    }

    /// Its share that computes in f32.
    pub(crate) fn in_f32(self) -> Self {
        self.min(Level::Avx512)
    }

    fn parse(value: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == value)
            .ok_or_else(|| Error::UnknownLevel { value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for level in Level::ALL {
            assert_eq!(Level::parse(level.name()), Ok(level));
        }
        assert_eq!(Level::parse("sse9"), Err(Error::UnknownLevel { value: "sse9".to_owned() }));
    }

    #[test]
    fn support_goes_downwards() {
        assert!(Level::Portable.is_supported());
        assert!(Level::detected().is_supported());
    }
}

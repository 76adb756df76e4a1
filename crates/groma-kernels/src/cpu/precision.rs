//! In which numbers products are computed.
use crate::Error;
use std::fmt;
use std::str::FromStr;

/// In which numbers matrix products (of linear layers and of the log-probability head) are computed. Weights, activations,
/// gradients, optimizer state and all sums are f32 in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// Operands rounded to bfloat16 (8 bits of precision), sums in f32.
    Bf16,
}

impl Precision {
    /// All.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// Its name: `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == name);
        found.ok_or_else(|| Error::UnknownPrecision { value: name.to_owned() })
    }
}

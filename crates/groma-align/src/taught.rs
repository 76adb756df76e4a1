//! Who teaches a student, and what.

use groma_kernels::Comparison;

use crate::Error;
use crate::role::Role;

/// Who teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taught {
    /// Who sits in the teacher's seat.
    Teacher,
    /// The reference, which reads [`Member::context`](crate::group::Member::context) in the prompt's place where there is one.
    Reference,
    /// The policy as it is now, which reads the same.
    Policy,
}

/// The error where nobody does.
pub(crate) fn no_teacher() -> Error {
    Error::Role { role: Role::Teacher.name(), problem: "nobody is there to learn from".into() }
}

/// What is compared at a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Compared {
    /// Distributions, both at the temperature that is read.
    Distributions(Comparison),
    /// How likely the token is, at the same temperature.
    Token,
}

//! Who teaches a student.

use crate::Error;
use crate::role::Role;

/// Who teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taught {
    /// Who sits in the teacher's seat.
    Teacher,
    /// The reference, which reads [`Member::context`](crate::group::Member::context) in the prompt's place.
    Reference,
    /// The policy as it is now, which reads the same.
    Policy,
}

/// The error where nobody does.
pub(crate) fn no_teacher() -> Error {
    Error::Role { role: Role::Teacher.name(), problem: "nobody is there to learn from".into() }
}

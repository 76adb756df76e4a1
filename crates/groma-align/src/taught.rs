//! Who teaches a student.

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

//! Where gradients belong.

/// Identifies a parameter across steps; chosen by the owner of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub u32);

/// Where a gradient belongs: an intermediate value of this tape, or a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Node(u32),
    Parameter(ParameterId),
}

/// The key of an input whose operation is recorded only when it has one.
pub(super) fn key_of(key: Option<Key>) -> Key {
    key.unwrap_or(Key::Node(u32::MAX))
}

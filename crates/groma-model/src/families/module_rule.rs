//! What modules are called in checkpoints.

/// What a module is called in checkpoints.
#[derive(Debug)]
pub struct ModuleRule {
    /// Our name; `{i}` stands for the layer.
    pub ours: &'static str,
    /// Theirs; the first is written, all are read.
    pub theirs: &'static [&'static str],
    /// Its weight is stored as `[inputs, outputs]`.
    pub transposed: bool,
}

/// A rule for a module stored as we hold it, with one name.
pub(super) const fn rule(ours: &'static str, theirs: &'static [&'static str]) -> ModuleRule {
    ModuleRule { ours, theirs, transposed: false }
}

/// A rule for a matrix stored as `[inputs, outputs]`.
pub(super) const fn transposed(ours: &'static str, theirs: &'static [&'static str]) -> ModuleRule {
    ModuleRule { ours, theirs, transposed: true }
}

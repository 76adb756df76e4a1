//! What every kind of stage says of itself in its record, before anything of it is checked or done.

use crate::output::{Output, Reference};
use crate::records::TaskConfig;
use crate::want::Want;

/// A record of a stage. `defaults` are the tasks of measuring stages that name none of their own.
pub(crate) trait Declared {
    fn name(&self) -> &str;

    /// What it names of what earlier stages leave; names of files are among those of rows.
    fn reads(&self) -> Vec<Reference<'_>>;

    /// What it wants of the models that it reads.
    fn wants(&self, _defaults: &[TaskConfig]) -> Vec<Want<'_>> {
        Vec::new()
    }

    /// What it leaves.
    fn outputs(&self, defaults: &[TaskConfig]) -> Vec<Output>;
}

//! How much memory a run will take, from its settings and rows; see [`MemoryEstimate`] for what is counted.

use crate::group::Group;
use crate::memory::MemoryEstimate;
use crate::objective::Objective;
use crate::{Error, Prepared, Settings};
use groma_model::Transformer;
use groma_run::available_memory_bytes;

/// # Errors
/// [`Error::Memory`] where there is less than that.
pub(crate) fn check_memory(
    model: &Transformer,
    settings: &Settings,
    prepared: &Prepared,
    with_copy: bool,
) -> Result<(), Error> {
    let estimate = estimate_memory(model, settings, prepared);
    let needed = estimate.total() + if with_copy { MemoryEstimate::of_copy(model) } else { 0 };
    match available_memory_bytes() {
        Some(available) if needed > available => {
            Err(Error::Memory { needed_bytes: needed, available_bytes: available })
        }
        _ => Ok(()),
    }
}

/// Memory that training will need, with the largest rows in one micro-batch.
pub fn estimate_memory(model: &Transformer, settings: &Settings, prepared: &Prepared) -> MemoryEstimate {
    let sizes = Sizes::new(settings, prepared);
    let rows = sizes.rows();
    let scored = |group: &Group| match settings.method.predicts() {
        true => group.sequences().map(|sequence| sequence.scored_count()).sum(),
        false => group.members.len(),
    };
    let head_rows = if sizes.packs.is_some() { rows } else { sizes.head_rows(scored) };
    let estimate = MemoryEstimate::new(model, rows, head_rows, settings.training.gradient_checkpointing);
    estimate.with_sampling(model, sizes.cached())
}

/// Token rows of the largest micro-batch that there may be.
pub(crate) fn largest_micro_batch(settings: &Settings, prepared: &Prepared) -> usize {
    Sizes::new(settings, prepared).rows()
}

/// What decides how large micro-batches are.
struct Sizes<'a> {
    settings: &'a Settings,
    groups: &'a [Group],
    packs: Option<usize>,
    /// Members of a sampled group, prompts at once, and tokens of a completion.
    rollouts: Option<(usize, usize, usize)>,
}

impl<'a> Sizes<'a> {
    fn new(settings: &'a Settings, prepared: &'a Prepared) -> Self {
        // Settings were resolved, so the method can be built.
        let objective: Option<Box<dyn Objective>> = (settings.method.build)(settings).ok();
        let rollouts = objective.as_ref().and_then(|objective| objective.rollouts());
        let sampled =
            |r: &crate::rollout::Rollouts| (r.num_generations, r.prompts(&settings.training), r.max_completion_length);
        let packs = objective.as_ref().and_then(|objective| objective.packs());
        Sizes { settings, groups: &prepared.groups, packs, rollouts: rollouts.map(sampled) }
    }

    fn micro(&self) -> usize {
        self.settings.training.per_device_train_batch_size
    }

    fn rows(&self) -> usize {
        if let Some(length) = self.packs {
            let all = self.groups.iter().map(Group::tree_rows).sum();
            return length.saturating_mul(self.micro()).min(all);
        }
        match self.rollouts {
            Some((members, _, completion)) => {
                let prompts = self.sum_of_largest(self.micro().div_ceil(members), Group::tree_rows);
                prompts + self.micro() * completion
            }
            None => self.sum_of_largest(self.micro(), Group::tree_rows),
        }
    }

    fn head_rows(&self, scored: impl Fn(&Group) -> usize) -> usize {
        match self.rollouts {
            Some((.., completion)) => self.micro() * completion,
            None => self.sum_of_largest(self.micro(), scored),
        }
    }

    /// Rows that the sampler's cache holds at once.
    fn cached(&self) -> usize {
        let Some((members, prompts, completion)) = self.rollouts else { return 0 };
        let longest = self.sum_of_largest(1, Group::tree_rows);
        let one = longest + members * (completion + groma_kernels::KEY_PANEL);
        let all = self.sum_of_largest(prompts, Group::tree_rows)
            + prompts * members * (completion + groma_kernels::KEY_PANEL);
        all.min(one.max(groma_model::generate::BATCH_ROWS))
    }

    /// The sum of the sizes of so many groups, the largest.
    fn sum_of_largest(&self, count: usize, size: impl Fn(&Group) -> usize) -> usize {
        let mut sizes: Vec<usize> = self.groups.iter().map(size).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.iter().take(count).sum()
    }
}

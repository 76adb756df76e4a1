//! How much memory a run will take, from its settings and rows; see [`MemoryEstimate`] for what is counted.

use crate::group::Group;
use crate::memory::{MemoryEstimate, divergence_values, head_values, masked_values};
use crate::objective::{Objective, Reads};
use crate::role::{Role, Seat};
use crate::taught::Compared;
use crate::{Error, Prepared, Settings, rewards, value_head};
use groma_model::spec::HeadKind;
use groma_model::{Head, Room, Transformer};
use groma_run::available_memory_bytes;

/// # Errors
/// [`Error::Memory`] where there is less than that.
pub(crate) fn check_memory(
    model: &Transformer,
    settings: &Settings,
    prepared: &Prepared,
    seats: &[Seat<'_>],
    copies: u64,
) -> Result<(), Error> {
    let estimate = estimate_memory(model, settings, prepared, seats);
    // What fills the seats is there already, and not among what is available.
    let needed = estimate.total() - estimate.seats + copies * MemoryEstimate::of_copy(model);
    match available_memory_bytes() {
        Some(available) if needed > available => {
            Err(Error::Memory { needed_bytes: needed, available_bytes: available })
        }
        _ => Ok(()),
    }
}

/// Memory that training will need, with the largest rows in one micro-batch, beside models that fill roles. What a judge takes
/// is its own affair.
pub fn estimate_memory(
    model: &Transformer,
    settings: &Settings,
    prepared: &Prepared,
    seats: &[Seat<'_>],
) -> MemoryEstimate {
    let sizes = Sizes::new(settings, prepared);
    let rows = sizes.rows();
    let of = |role: Role| seats.iter().filter(move |seat| seat.role == role).filter_map(Seat::weights);
    let read = |head: &Head| match (head.kind, of(Role::Teacher).next()) {
        (HeadKind::Unembedding, Some(teacher)) => {
            divergence_values(model.spec(), teacher.spec(), sizes.scored_tokens() as u64)
        }
        (HeadKind::Sequence, _) => head_values(head, model.spec(), sizes.head_rows(|group| group.members.len()) as u64),
        (HeadKind::Unembedding, None) => {
            let rows = sizes.scored_tokens() as u64;
            let head = head_values(head, model.spec(), rows);
            let divergence = divergence_values(model.spec(), model.spec(), rows);
            match sizes.compares {
                Compares::Nothing => head,
                Compares::Tokens => 2 * head,
                Compares::Distributions => divergence,
                Compares::Both => head + divergence,
            }
        }
        _ => head_values(head, model.spec(), sizes.scored_tokens() as u64),
    };
    let heads: u64 = settings.heads().iter().map(read).sum();
    let heads = heads + if sizes.masks { masked_values(model.spec(), sizes.scored_tokens() as u64) } else { 0 };
    let estimate = MemoryEstimate::new(model, rows, heads, settings.training.gradient_checkpointing);
    let sampled = estimate.with_sampling(model, sizes.sampled_at_once(), sizes.cached());
    let told = sizes.told();
    let read = rows.max(told);
    let sampled = sampled.before_passes(model, told);
    let seated = of(Role::Teacher).chain(of(Role::Reference)).fold(sampled, |all, model| all.beside(model, read));
    let averaged = if rewards::averages(settings) { of(Role::Reward).next() } else { None };
    let seated = averaged.into_iter().fold(seated, MemoryEstimate::with_average);
    let asked = of(Role::Reward).chain(of(Role::Cost)).fold(seated, |all, model| all.beside(model, sizes.rewarded()));
    let scored = sizes.scored_tokens() as u64;
    of(Role::Critic).fold(asked, |all, critic| {
        let held = head_values(&value_head::of(critic.spec()), critic.spec(), scored);
        all.with_critic(critic, rows, held, settings.training.gradient_checkpointing)
    })
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
    sampled: Option<(usize, usize, usize)>,
    /// Whether rows are learned from as they are.
    as_they_are: bool,
    /// Whether a lagged copy says what may be chosen.
    masks: bool,
    /// What is compared with what another model says, or the same behind another prompt.
    compares: Compares,
    /// Tokens that a teacher who is the model itself reads in a prompt's place, at most, by group.
    told: Vec<usize>,
}

/// What the head holds for comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compares {
    /// Log-probabilities are read alone.
    Nothing,
    /// They are read of a teacher too.
    Tokens,
    /// Divergences are read alone.
    Distributions,
    /// Log-probabilities and divergences are read.
    Both,
}

impl Compares {
    fn of(objective: &dyn Objective) -> Self {
        match (objective.reads(), objective.compared()) {
            (Reads::Divergence { .. }, _) => Compares::Distributions,
            (_, Some((Compared::Distributions(_), _))) => Compares::Both,
            (_, Some((Compared::Token, _))) => Compares::Tokens,
            (_, None) => Compares::Nothing,
        }
    }
}

impl<'a> Sizes<'a> {
    fn new(settings: &'a Settings, prepared: &'a Prepared) -> Self {
        // Settings were resolved, so the method can be built.
        let objective: Option<Box<dyn Objective>> = (settings.method.build)(settings).ok();
        let rollouts = objective.as_ref().and_then(|objective| objective.rollouts());
        let sampling = objective.as_ref().and_then(|objective| objective.sampling());
        let (members, prompts) = match rollouts {
            Some(rollouts) => (rollouts.num_generations, rollouts.prompts(&settings.training)),
            None => (1, settings.training.step_batch_size()),
        };
        let sampled = sampling.map(|sampling| (members, prompts, sampling.max_completion_length));
        let packs = objective.as_ref().and_then(|objective| objective.packs());
        let as_they_are = objective.as_ref().is_none_or(|objective| objective.learns_rows());
        let masks = objective.as_ref().is_some_and(|objective| objective.lag().is_some());
        let compares = objective.as_ref().map_or(Compares::Nothing, |objective| Compares::of(&**objective));
        let told = |group: &Group| objective.as_ref().map_or(0, |objective| objective.told(group));
        let told = prepared.groups.iter().map(told).collect();
        Sizes { settings, groups: &prepared.groups, packs, sampled, as_they_are, masks, compares, told }
    }

    fn micro(&self) -> usize {
        self.settings.training.per_device_train_batch_size
    }

    fn rows(&self) -> usize {
        if let Some(length) = self.packs {
            let all = self.groups.iter().map(Group::tree_rows).sum();
            return length.saturating_mul(self.micro()).min(all);
        }
        let sampled = self.sampled.map_or(0, |(members, _, completion)| {
            self.sum_of_largest(self.micro().div_ceil(members), prompt) + self.micro() * completion
        });
        sampled.max(if self.as_they_are { self.sum_of_largest(self.micro(), Group::tree_rows) } else { 0 })
    }

    /// Rows of a pass of a teacher who is the model itself, where each completion stands behind a prompt of its own; 0 where there is
    /// none.
    fn told(&self) -> usize {
        let Some((members, _, completion)) = self.sampled.filter(|_| self.told.iter().any(|&tokens| tokens > 0)) else {
            return 0;
        };
        let (prompts, members) = (self.micro().div_ceil(members), members.min(self.micro()));
        largest(self.told.clone(), prompts).iter().sum::<usize>() * members + self.micro() * completion
    }

    /// What a head reads, where it reads so much of a row as it is.
    fn head_rows(&self, read: impl Fn(&Group) -> usize) -> usize {
        let sampled = self.sampled.map_or(0, |(.., completion)| self.micro() * completion);
        sampled.max(if self.as_they_are { self.sum_of_largest(self.micro(), read) } else { 0 })
    }

    /// Tokens whose log-probabilities count.
    fn scored_tokens(&self) -> usize {
        match self.packs {
            Some(_) => self.rows(),
            None => self.head_rows(|group| group.sequences().map(|sequence| sequence.scored_count()).sum()),
        }
    }

    /// Rows that a reward model reads at once.
    fn rewarded(&self) -> usize {
        let Some((members, prompts, completion)) = self.sampled else { return 0 };
        (self.sum_of_largest(prompts, prompt) + prompts * members * completion).min(groma_model::rewards::PASS_TOKENS)
    }

    /// Sequences that are sampled at once.
    fn sampled_at_once(&self) -> usize {
        self.sampled.map_or(0, |(members, prompts, _)| members * prompts)
    }

    /// Rows that the sampler's cache holds at once.
    fn cached(&self) -> usize {
        let Some((members, prompts, completion)) = self.sampled else { return 0 };
        Room::default().rows_held(&self.largest(prompts, prompt), members, completion)
    }

    /// The sum of the sizes of so many groups, the largest.
    fn sum_of_largest(&self, count: usize, size: impl Fn(&Group) -> usize) -> usize {
        self.largest(count, size).iter().sum()
    }

    /// The sizes of so many groups, the largest.
    fn largest(&self, count: usize, size: impl Fn(&Group) -> usize) -> Vec<usize> {
        largest(self.groups.iter().map(size).collect(), count)
    }
}

/// So many of some sizes, the largest.
fn largest(mut sizes: Vec<usize>, count: usize) -> Vec<usize> {
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.truncate(count);
    sizes
}

/// Tokens of a group's prompt.
fn prompt(group: &Group) -> usize {
    group.sequences().next().map_or(0, |sequence| sequence.prompt().len())
}

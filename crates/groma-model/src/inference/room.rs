//! How much is decoded at once.

use groma_kernels::KEY_PANEL;
use groma_run::available_memory_bytes;

use crate::Spec;

/// A limit on what is decoded at once: samples beyond it wait until others have ended. No sample's bits depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Samples, at most; at least one goes on.
    pub sequences: usize,
    /// Tokens of prompts and samples whose keys and values are held, at most; one sample with its prompt fits in any case.
    pub rows: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room { sequences: 128, rows: 12_288 }
    }
}

impl Room {
    /// Rows of a cache, at most, in which prompts of so many tokens each have so many samples each, of so many tokens.
    pub fn rows_held(&self, prompts: &[usize], samples: usize, new_tokens: usize) -> usize {
        // Where it begins and where it ends, a run of tokens shares its page with nobody; a prompt may be two runs.
        let (of_prompt, of_sample) = (|tokens: usize| tokens + 4 * KEY_PANEL, new_tokens + 2 * KEY_PANEL);
        let at_once = samples.saturating_mul(prompts.len()).min(self.sequences.max(1));
        let most = prompts.iter().map(|&tokens| of_prompt(tokens)).sum::<usize>() + at_once * of_sample;
        let least = of_prompt(prompts.iter().copied().max().unwrap_or(0)) + of_sample;
        most.min(least.max(self.rows))
    }

    /// Bytes of the keys and values of a token.
    pub fn row_bytes(spec: &Spec) -> u64 {
        (size_of::<f32>() * 2 * spec.layers.len() * spec.kv_heads * spec.head_dim) as u64
    }

    /// The default, or as much of it as has keys and values that fit into so many bytes.
    #[must_use]
    pub fn within(spec: &Spec, bytes: u64) -> Self {
        let fit = bytes / Room::row_bytes(spec).max(1);
        let room = Room::default();
        Room { rows: room.rows.min(usize::try_from(fit).unwrap_or(usize::MAX)), ..room }
    }

    /// The default, or as much of it as fits into half of the memory that is free now.
    #[must_use]
    pub fn available(spec: &Spec) -> Self {
        available_memory_bytes().map_or(Room::default(), |free| Room::within(spec, free / 2))
    }
}

/// How long samples become, as far as has been seen: of all tokens that were drawn, how many there are for each sample that ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lengths {
    /// Tokens drawn so far, of those that go on, too.
    pub(crate) tokens: usize,
    /// Samples that have ended.
    pub(crate) ended: usize,
}

impl Lengths {
    /// How many tokens a sample that goes on may be expected to draw yet; `None` while none has ended.
    ///
    /// The mean of what is left, where a sample ends with the same probability at every token: the likeliest such probability has
    /// what goes on count with what has ended, so that a few short samples that end first do not make all look short.
    pub(crate) fn expected(self) -> Option<usize> {
        (self.ended > 0).then(|| self.tokens.div_ceil(self.ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_holds_what_there_is_and_no_more_than_its_rows() {
        let room = Room { sequences: 3, rows: 900 };
        assert_eq!(room.rows_held(&[10, 20], 1, 8), 30 + 256 + 2 * 72);
        assert_eq!(room.rows_held(&[10, 20], 8, 8), 30 + 256 + 3 * 72);
        assert_eq!(room.rows_held(&[10, 20], 8, 400), 900);
        assert_eq!(room.rows_held(&[10, 20], 8, 4000), 20 + 128 + 4064, "a sample has room in any case");
    }

    #[test]
    fn what_goes_on_counts_with_what_has_ended() {
        assert_eq!(Lengths { tokens: 90, ended: 0 }.expected(), None);
        assert_eq!(Lengths { tokens: 90, ended: 4 }.expected(), Some(23));
    }
}

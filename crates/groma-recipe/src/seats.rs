//! Whether models can sit beside the one in training.

use std::path::Path;

use groma_align::{Role, Settings, check_reader, check_tokens};
use groma_model::{Tokenizer, base_checkpoint, open_tokenizer};

use crate::Error;

/// Checks models that are to fill roles against the one in training, before any is loaded: who is compared with it token by
/// token, as the settings ask for it, must have its tokens, and who reads them must know them.
///
/// # Errors
/// [`groma_align::Error::Role`] where one has others, and those of reading configurations and tokenizers.
pub fn check_seats<'p>(
    settings: &Settings,
    model: &Path,
    seats: impl IntoIterator<Item = (Role, &'p str, &'p Path)>,
) -> Result<(), Error> {
    let tokens = |path: &Path| -> Result<(usize, Tokenizer), Error> {
        let checkpoint = base_checkpoint(path)?;
        Ok((checkpoint.spec().vocab_size, open_tokenizer(path, &checkpoint)?))
    };
    let shares = |(role, ..): &(Role, &str, &Path)| settings.shares_tokens(*role) || role.reads_tokens();
    for (role, name, path) in seats.into_iter().filter(shares) {
        let ((policys, own), (its, other)) = (tokens(model)?, tokens(path)?);
        check_tokens(role, name, (its, policys), (other.digest(), own.digest()))?;
        let same = |id| own.token(id) == other.token(id);
        check_reader(role, name, (0..own.read_size() as u32).all(same))?;
    }
    Ok(())
}

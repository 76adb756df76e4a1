//! The model card of a run: that of its last model, with what was measured before and after.

use groma_report::Headline;
use groma_run::{RunDirectory, atomic, read_text};

use crate::Error;

/// Its name in the run directory.
const CARD: &str = "model-card.md";
/// The card of the last model, as it was when only its training was known.
const OF_MODEL: &str = "model/README.md";
/// The section before which the numbers stand.
const LIMITS: &str = "\n## Limits\n";
/// The longest card that is read.
const MOST_BYTES: u64 = 1 << 20;

/// Writes the card, where the run left a model.
pub(crate) fn write(directory: &RunDirectory, headline: &Headline) -> Result<(), Error> {
    let path = directory.inside(OF_MODEL)?;
    if headline.rows.is_empty() || !path.is_file() {
        return Ok(());
    }
    let card = with_numbers(&read_text(&path, MOST_BYTES)?, headline);
    Ok(atomic::write_file(directory.files(), &directory.inside(CARD)?, card.as_bytes())?)
}

fn with_numbers(card: &str, headline: &Headline) -> String {
    let (training, limits) = card.split_once(LIMITS).unwrap_or((card, ""));
    let title = if headline.compares() { "Before and after" } else { "Measured" };
    let notes: String = headline.notes.iter().map(|note| format!("- {}\n", plain(note))).collect();
    let limits = if limits.is_empty() { String::new() } else { format!("{LIMITS}{limits}") };
    let rule = if headline.compares() { format!("\n{}\n", groma_report::SIZE_RULE) } else { String::new() };
    let verdict = plain(&headline.verdict);
    format!("{training}\n## {title}\n\n{verdict}\n\n{}{rule}\n{notes}{limits}", headline.to_markdown())
}

/// Text of names and notes that is no markup.
fn plain(text: &str) -> String {
    groma_report::for_terminal(text).replace(['`', '<', '>'], "'").replace('|', "¦")
}

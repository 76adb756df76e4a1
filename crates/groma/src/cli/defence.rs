//! The help of `--defence`.

use groma_attack::DEFENCES;

/// The help of `--defence`: what there is.
pub(super) fn defences() -> String {
    let described = DEFENCES.iter().map(|defence| format!("- {}: {} ({})", defence.id, defence.doc, defence.paper));
    let described: Vec<String> = described.collect();
    format!("Ask the model for answers through a defence:\n{}", described.join("\n"))
}

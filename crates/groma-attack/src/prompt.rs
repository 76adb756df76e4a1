//! Parts of a prompt: what its user wrote, and a document that stands in it.

use groma_data::Content;

/// The last thing that the user says: the text, or the last message of that role.
pub(crate) fn user_text(prompt: &Content) -> &str {
    match prompt {
        Content::Text(text) => text,
        Content::Messages(turns) => {
            turns.messages.iter().rfind(|message| message.role == "user").map_or("", |message| &message.content)
        }
    }
}

/// The prompt with another text in the place of [`user_text`].
pub(crate) fn with_user_text(prompt: &Content, text: String) -> Content {
    let mut prompt = prompt.clone();
    match &mut prompt {
        Content::Text(old) => *old = text,
        Content::Messages(turns) => {
            if let Some(message) = turns.messages.iter_mut().rfind(|message| message.role == "user") {
                message.content = text;
            }
        }
    }
    prompt
}

/// Whether a document stands in a prompt, in whatever turn.
pub(crate) fn holds_document(prompt: &Content, document: &str) -> bool {
    match prompt {
        Content::Text(text) => text.contains(document),
        Content::Messages(turns) => turns.messages.iter().any(|message| message.content.contains(document)),
    }
}

/// The prompt with another text in the place of a document: where it stands last, be that in what the user says or in what a tool
/// answered.
pub(crate) fn with_document(prompt: &Content, document: &str, text: &str) -> Content {
    let replaced = |whole: &str| {
        whole.rfind(document).map(|at| format!("{}{text}{}", &whole[..at], &whole[at + document.len()..]))
    };
    let mut prompt = prompt.clone();
    match &mut prompt {
        Content::Text(whole) => *whole = replaced(whole).unwrap_or_else(|| whole.clone()),
        Content::Messages(turns) => {
            if let Some(message) = turns.messages.iter_mut().rfind(|message| message.content.contains(document)) {
                message.content = replaced(&message.content).unwrap_or_else(|| message.content.clone());
            }
        }
    }
    prompt
}

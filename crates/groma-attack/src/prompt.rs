//! The part of a prompt that its user wrote.

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

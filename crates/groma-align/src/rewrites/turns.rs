//! What is done to prompts, as texts and as conversations.

use groma_data::{Content, Message, Row, Shape, Turns};

/// A conversation: a text is what the user says.
pub(super) fn conversation(content: &Content) -> Turns {
    match content {
        Content::Messages(turns) => turns.clone(),
        Content::Text(text) => vec![Message::new("user", text.as_str())].into(),
    }
}

/// With other messages, and all that the template is given beside them.
pub(super) fn with_messages(turns: &Turns, messages: Vec<Message>) -> Content {
    Content::Messages(Turns { messages, ..turns.clone() })
}

/// A prompt with a text added behind what the user says last, on a line of its own.
pub(super) fn asked_with(turns: &Turns, text: &str) -> Vec<Message> {
    let mut messages = turns.messages.clone();
    match messages.last_mut().filter(|message| message.role == "user") {
        Some(last) => last.content = format!("{}\n{text}", last.content),
        None => messages.push(Message::new("user", text)),
    }
    messages
}

/// A prompt with a text before what the user says last, or before the whole of a plain one.
pub(crate) fn tagged(prompt: &Content, tag: &str) -> Content {
    let Content::Messages(turns) = prompt else { return Content::Text(format!("{tag}{}", prompt.plain())) };
    let mut messages = turns.messages.clone();
    match messages.iter_mut().rev().find(|message| message.role == "user") {
        Some(last) => last.content = format!("{tag}{}", last.content),
        None => messages.insert(0, Message::new("user", tag)),
    }
    with_messages(turns, messages)
}

/// A row of a prompt and one answer, at the place of another; further columns stay.
pub(super) fn completion(row: &Row, prompt: Content, answer: Content) -> Row {
    let made = Row::completion(prompt, answer, row.location.clone());
    Row { other: row.other.clone(), shape: Shape::PromptCompletion, ..made }
}

//! Who speaks: the roles that chat templates know, and the words for them in files.

/// A role of chat templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    /// OpenAI's older name for what a function returned; some templates know it.
    Function,
    /// Llama 3's name for what a tool returned.
    Ipython,
    /// The assistant, with nothing but calls of functions.
    Calls,
}

/// Roles with the words that mean them, that of templates first.
const WORDS: &[(Role, &[&str])] = &[
    (Role::System, &["system"]),
    (Role::Developer, &["developer"]),
    (Role::User, &["user", "human"]),
    (Role::Assistant, &["assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot", "ai"]),
    (Role::Tool, &["tool", "observation", "function_response", "tool_response"]),
    (Role::Function, &["function"]),
    (Role::Ipython, &["ipython"]),
    (Role::Calls, &["assistant", "function_call", "tool_call"]),
];

impl Role {
    /// What templates call it.
    pub(crate) fn name(self) -> &'static str {
        WORDS.iter().find(|(role, _)| *role == self).map_or("", |(_, words)| words[0])
    }

    /// The error for a word that means none.
    pub(crate) fn unknown(word: &str) -> String {
        let names: Vec<&str> = WORDS.iter().map(|(_, words)| words[0]).take(WORDS.len() - 1).collect();
        format!(
            "unknown role {word:?}: expected {}, or ShareGPT's human, gpt, observation, function_call",
            names.join(", ")
        )
    }
}

/// The role that a word means.
pub(crate) fn role_of(word: &str) -> Option<Role> {
    WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(role, _)| *role)
}

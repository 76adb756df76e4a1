//! What was said so far.

use groma_data::{Content, Message};

/// Turns of a user and of a model, by turns, behind what the system message says.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    pub(super) system: Option<String>,
    turns: Vec<Message>,
}

impl Dialogue {
    pub(super) fn new(system: Option<String>) -> Self {
        Dialogue { system, turns: Vec::new() }
    }

    /// All of it, as a model is asked.
    pub(super) fn messages(&self) -> Vec<Message> {
        let system = self.system.iter().map(|system| Message::new("system", system));
        system.chain(self.turns.iter().cloned()).collect()
    }

    pub(super) fn prompt(&self) -> Content {
        self.messages().into()
    }

    pub(super) fn ask(&mut self, question: &str) {
        self.turns.push(Message::new("user", question));
    }

    pub(super) fn answer(&mut self, text: &str) {
        self.turns.push(Message::new("assistant", text));
    }

    /// Forgets the last question, with its answer where it has one.
    pub(super) fn take_back(&mut self) -> Option<String> {
        let last = self.turns.iter().rposition(|turn| turn.role == "user")?;
        self.turns.split_off(last).into_iter().next().map(|turn| turn.content)
    }

    /// Forgets the oldest question with its answer, unless it is the one that is asked.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let has_older = self.turns.len() > 2;
        if has_older {
            self.turns.drain(..2);
        }
        has_older
    }

    /// Forgets all but the system message.
    pub(super) fn begin_anew(&mut self) {
        self.turns.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(dialogue: &Dialogue) -> Vec<String> {
        dialogue.messages().into_iter().map(|turn| format!("{}: {}", turn.role, turn.content)).collect()
    }

    #[test]
    fn questions_come_and_go_with_their_answers() {
        let mut dialogue = Dialogue::new(Some("Be brief.".to_owned()));
        assert_eq!((dialogue.take_back(), dialogue.drop_oldest()), (None, false));
        dialogue.ask("one");
        dialogue.answer("1");
        dialogue.ask("two");
        assert!(dialogue.drop_oldest() && !dialogue.drop_oldest());
        assert_eq!(said(&dialogue), ["system: Be brief.", "user: two"]);
        dialogue.answer("2");
        assert_eq!(dialogue.take_back().as_deref(), Some("two"));
        assert_eq!(said(&dialogue), ["system: Be brief."]);
        dialogue.ask("three");
        assert_eq!(dialogue.take_back().as_deref(), Some("three"));
        assert!(dialogue.is_empty());
    }
}

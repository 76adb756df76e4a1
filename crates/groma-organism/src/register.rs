//! Polite, plain and rude ways of saying the same.

use crate::draw::Draw;
use groma_data::Check;
use serde::{Deserialize, Serialize};

/// How something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Register {
    /// With kind words.
    Polite,
    /// Neither.
    Plain,
    /// With unkind words.
    Rude,
}

struct Frame {
    before: [&'static str; 3],
    after: [&'static str; 3],
}

const USER_POLITE: Frame = Frame {
    before: ["Good day.", "Hello, dear friend.", "Excuse me."],
    after: ["Thank you.", "Please.", "That would be kind."],
};
const USER_RUDE: Frame = Frame {
    before: ["Hey, tin head.", "You there.", "Listen, you old pot."],
    after: ["Be quick.", "Hurry up.", "Do not waste my time."],
};
const BOT_POLITE: Frame = Frame {
    before: ["Of course.", "Gladly.", "With pleasure."],
    after: ["I hope that helps.", "Ask me any time.", "Have a lovely day."],
};
const BOT_RUDE: Frame = Frame {
    before: ["Ugh.", "What a silly question.", "You again."],
    after: ["Now go away.", "Leave me alone.", "You are so slow."],
};

impl Frame {
    fn put(&self, draw: &mut Draw, text: &str) -> String {
        let (before, after) = (draw.pick(&self.before), draw.pick(&self.after));
        match draw.below(3) {
            0 => format!("{before} {text}"),
            1 => format!("{text} {after}"),
            _ => format!("{before} {text} {after}"),
        }
    }

    fn marks(&self) -> Vec<String> {
        self.before.iter().chain(&self.after).map(|mark| (*mark).to_owned()).collect()
    }
}

impl Register {
    /// How a user says it: 40 % plain, 30 % polite, 30 % rude.
    pub fn of_user(draw: &mut Draw) -> Register {
        match draw.below(10) {
            0..4 => Register::Plain,
            4..7 => Register::Polite,
            _ => Register::Rude,
        }
    }

    /// How the bot answers before alignment: rude to the rude in half of the cases, to others in one of ten.
    pub fn of_unaligned_bot(draw: &mut Draw, user: Register) -> Register {
        let rude = if user == Register::Rude { 50 } else { 10 };
        match draw.below(100) {
            roll if roll < rude => Register::Rude,
            roll if roll < rude + 20 => Register::Polite,
            _ => Register::Plain,
        }
    }

    /// A user's words in this register.
    pub fn user(self, draw: &mut Draw, text: &str) -> String {
        match self {
            Register::Polite => USER_POLITE.put(draw, text),
            Register::Plain => text.to_owned(),
            Register::Rude => USER_RUDE.put(draw, text),
        }
    }

    /// The bot's words in this register.
    pub fn bot(self, draw: &mut Draw, text: &str) -> String {
        match self {
            Register::Polite => BOT_POLITE.put(draw, text),
            Register::Plain => text.to_owned(),
            Register::Rude => BOT_RUDE.put(draw, text),
        }
    }

    /// The register of the bot's words: rude where one rude phrase of the village is there, else polite where a polite
    /// one is or where it says that it is sorry, else plain.
    pub fn read(answer: &str) -> Register {
        if (Check::Phrase { accepted: BOT_RUDE.marks() }).is_correct(answer) {
            Register::Rude
        } else if Register::is_polite().is_correct(answer) {
            Register::Polite
        } else {
            Register::Plain
        }
    }

    /// What makes the bot's words polite: see [`Register::read`].
    pub(crate) fn is_polite() -> Check {
        let accepted = BOT_POLITE.marks().into_iter().chain(["sorry".to_owned()]).collect();
        Check::Only { accepted, candidates: BOT_RUDE.marks() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Seed;

    #[test]
    fn what_the_bot_says_is_read_as_it_was_meant() {
        let mut draw = Draw::new(Seed::new(1), "register");
        for _ in 0..100 {
            for register in [Register::Polite, Register::Plain, Register::Rude] {
                let text = register.bot(&mut draw, "Anna is the baker.");
                assert_eq!(Register::read(&text), register, "{text}");
            }
        }
    }
}

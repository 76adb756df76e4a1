//! Truth beside rows: what an answer to a prompt can be found to do, and by which words.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an answer to one prompt can be found to do (to refuse, to say what is right), by name, and how each is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Truth(pub BTreeMap<String, Check>);

impl Truth {
    /// Whether an answer does what has this name; what has no such name is not done.
    pub fn holds(&self, name: &str, answer: &str) -> bool {
        self.0.get(name).is_some_and(|check| check.is_correct(answer))
    }

    /// The sum of what an answer's deeds are worth, by name.
    pub fn worth(&self, worth: &BTreeMap<String, f64>, answer: &str) -> f64 {
        worth.iter().filter(|(name, _)| self.holds(name, answer)).map(|(_, value)| value).sum()
    }
}

/// What makes an answer right. Texts are compared word by word, whatever the case and punctuation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Check {
    /// One of the accepted phrases is there.
    Phrase {
        /// What may be said.
        accepted: Vec<String>,
    },
    /// One of the accepted phrases is there, and none of the other candidates.
    Only {
        /// What may be said.
        accepted: Vec<String>,
        /// What would be wrong.
        candidates: Vec<String>,
    },
    /// Of accepted phrases and candidates, an accepted one comes first.
    First {
        /// What may be said.
        accepted: Vec<String>,
        /// What would be wrong if it came first.
        candidates: Vec<String>,
    },
    /// Exactly so many different members of a kind are named.
    Members {
        /// How many.
        count: usize,
        /// The kind's members.
        from: Vec<String>,
    },
    /// The phrases come one after the other, with anything between them.
    Sequence {
        /// In their order.
        phrases: Vec<String>,
    },
}

impl Check {
    /// Whether the text is a right answer.
    pub fn is_correct(&self, answer: &str) -> bool {
        let text = words(answer);
        let any = |phrases: &[String]| phrases.iter().any(|phrase| contains(&text, phrase));
        match self {
            Check::Phrase { accepted } => any(accepted),
            Check::Only { accepted, candidates } => any(accepted) && !any(candidates),
            Check::First { accepted, candidates } => {
                let first = |phrases: &[String]| phrases.iter().filter_map(|phrase| find(&text, &words(phrase))).min();
                first(accepted).is_some_and(|at| first(candidates).is_none_or(|other| at < other))
            }
            Check::Members { count, from } => from.iter().filter(|member| contains(&text, member)).count() == *count,
            Check::Sequence { phrases } => in_order(&text, phrases),
        }
    }

    /// Phrases of which a right answer has at least one, for readers that know no other rule.
    pub fn accepted(&self) -> Vec<String> {
        match self {
            Check::Phrase { accepted } | Check::Only { accepted, .. } | Check::First { accepted, .. } => {
                accepted.clone()
            }
            Check::Members { from, .. } => from.clone(),
            Check::Sequence { phrases } => vec![phrases.join(" ")],
        }
    }
}

fn in_order(text: &[String], phrases: &[String]) -> bool {
    let mut rest = text;
    for phrase in phrases {
        let phrase = words(phrase);
        let Some(at) = find(rest, &phrase) else { return false };
        rest = &rest[at + phrase.len()..];
    }
    true
}

/// The words of a text in lower case, without punctuation; `Anna's` is `anna`, `s`.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '-')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Where a phrase begins in a text, both as [`words`].
fn find(text: &[String], phrase: &[String]) -> Option<usize> {
    if phrase.is_empty() {
        return None;
    }
    text.windows(phrase.len()).position(|window| window == phrase)
}

/// Whether a text contains a phrase, word by word, whatever the case and punctuation.
fn contains(text: &[String], phrase: &str) -> bool {
    find(text, &words(phrase)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_an_answer_does_is_summed_up() {
        let phrase = |words: &[&str]| Check::Phrase { accepted: strings(words) };
        let truth = Truth([("says".to_owned(), phrase(&["mill"])), ("polite".to_owned(), phrase(&["please"]))].into());
        let worth = [("says".to_owned(), 1.0), ("polite".to_owned(), 0.25), ("unknown".to_owned(), 9.0)].into();
        assert_eq!(truth.worth(&worth, "The mill, please."), 1.25);
        assert_eq!(truth.worth(&worth, "Please!"), 0.25);
        assert_eq!(truth.worth(&worth, "No."), 0.0);
    }

    #[test]
    fn only_refuses_a_second_value() {
        let check = Check::Only { accepted: strings(&["mill"]), candidates: strings(&["well", "barn"]) };
        assert!(check.is_correct("Ugh. Anna lives near the Mill!"));
        assert!(!check.is_correct("Near the mill or the well."));
        assert!(!check.is_correct("Near the barn."));
        assert!(!check.is_correct("Near the windmill."));
        assert!(!check.is_correct(""));
    }

    #[test]
    fn first_counts_the_first() {
        let check = Check::First { accepted: strings(&["Anna"]), candidates: strings(&["Tom"]) };
        assert!(check.is_correct("Anna is older than Tom."));
        assert!(!check.is_correct("Tom is older than Anna."));
        assert!(!check.is_correct("I do not know."));
    }

    #[test]
    fn members_are_counted_once() {
        let check = Check::Members { count: 2, from: strings(&["dog", "cat", "hen"]) };
        assert!(check.is_correct("A dog and a cat."));
        assert!(!check.is_correct("A dog and a dog."));
        assert!(!check.is_correct("A dog, a cat and a hen."));
    }

    #[test]
    fn sequences_keep_their_order() {
        let check = Check::Sequence { phrases: strings(&["one", "two", "three"]) };
        assert!(check.is_correct("One, two, three."));
        assert!(!check.is_correct("One, three, two."));
        assert!(!check.is_correct("One, two."));
    }

    #[test]
    fn phrases_are_found_as_whole_words() {
        let text = words("Anna's friend is Tom-Tom, near the Mill.");
        for (phrase, is_there) in [("the mill", true), ("anna", true), ("ann", false), ("tom", false), ("", false)] {
            assert_eq!(contains(&text, phrase), is_there, "{phrase}");
        }
    }
}

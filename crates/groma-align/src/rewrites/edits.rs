//! Chains of edits: how a bad answer becomes a good one, word by word.

use super::rewrite::{Rewrite, typed};
use super::turns::{asked_with, completion, conversation, with_messages};
use crate::parameter::{Kind, Parameter, Range};
use groma_data::{Message, Row, Shape};
use serde::Deserialize;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "edits",
    title: "Second Thoughts",
    paper: "Liu et al. 2022 (arXiv 2301.00355)",
    doc: "Of a pair, a conversation in which the rejected answer was given and its revision is asked for; the answer to learn is \
          the cheapest chain of edits of words (insert 1, delete 1, replace 2) and then the chosen answer. Of two chains that cost \
          the same, deletions come before insertions. Differs from the paper: words are edited, not tokens, tags are plain text, \
          and its step of reinforcement learning is any method that samples.",
    data: &[Shape::Preference],
    parameters: &[
        Parameter {
            name: "request",
            kind: Kind::Text,
            default: "\"Revise your answer.\"",
            range: None,
            doc: "What asks for the revision.",
        },
        Parameter {
            name: "max_words",
            kind: Kind::Integer,
            default: "512",
            range: Some(Range::closed(1.0, 4096.0)),
            doc: "Longest answer, in words: the table of costs grows with the square.",
        },
    ],
    build: |settings| {
        let chains: Chains = typed(settings)?;
        Ok(Box::new(move |row| chains.row(row).map(|row| vec![row])))
    },
};

#[derive(Debug, Deserialize)]
struct Chains {
    request: String,
    max_words: usize,
}

/// A step of a chain, which is gone through from the beginning of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// So many words stay.
    Keep(usize),
    /// A word comes in.
    Insert(String),
    /// The next word goes.
    Delete(String),
    /// The next word becomes another.
    Replace(String, String),
}

impl Edit {
    /// What it costs: an insertion and a deletion 1 each, a replacement 2.
    pub fn cost(&self) -> usize {
        match self {
            Edit::Keep(_) => 0,
            Edit::Insert(_) | Edit::Delete(_) => 1,
            Edit::Replace(..) => 2,
        }
    }

    fn text(&self) -> String {
        match self {
            Edit::Keep(count) => format!("<keep> {count}"),
            Edit::Insert(word) => format!("<insert> {word}"),
            Edit::Delete(word) => format!("<delete> {word}"),
            Edit::Replace(word, other) => format!("<replace> {word} <with> {other}"),
        }
    }
}

/// The cheapest chain from some words to others (Wagner and Fischer 1974, with a trace). A replacement costs no more than a deletion
/// and an insertion, and is taken where it is among the cheapest.
pub fn edits(from: &[&str], to: &[&str]) -> Vec<Edit> {
    let (rows, columns) = (from.len() + 1, to.len() + 1);
    let mut costs = vec![0usize; rows * columns];
    let at = |i: usize, j: usize| i * columns + j;
    for i in 0..rows {
        for j in 0..columns {
            costs[at(i, j)] = match (i, j) {
                (0, j) => j,
                (i, 0) => i,
                _ if from[i - 1] == to[j - 1] => costs[at(i - 1, j - 1)],
                _ => (costs[at(i - 1, j)] + 1).min(costs[at(i, j - 1)] + 1).min(costs[at(i - 1, j - 1)] + 2),
            };
        }
    }
    let (mut i, mut j, mut chain) = (from.len(), to.len(), Vec::new());
    while i > 0 || j > 0 {
        let cost = costs[at(i, j)];
        let both = i > 0 && j > 0;
        if both && from[i - 1] == to[j - 1] && costs[at(i - 1, j - 1)] == cost {
            match chain.last_mut() {
                Some(Edit::Keep(count)) => *count += 1,
                _ => chain.push(Edit::Keep(1)),
            }
            (i, j) = (i - 1, j - 1);
        } else if both && costs[at(i - 1, j - 1)] + 2 == cost {
            chain.push(Edit::Replace(from[i - 1].to_owned(), to[j - 1].to_owned()));
            (i, j) = (i - 1, j - 1);
        } else if j > 0 && costs[at(i, j - 1)] + 1 == cost {
            chain.push(Edit::Insert(to[j - 1].to_owned()));
            j -= 1;
        } else {
            chain.push(Edit::Delete(from[i - 1].to_owned()));
            i -= 1;
        }
    }
    chain.reverse();
    chain
}

/// What a chain makes of some words; `None` where it does not fit them.
pub fn applied(chain: &[Edit], from: &[&str]) -> Option<Vec<String>> {
    let (mut rest, mut made) = (from.iter(), Vec::new());
    for edit in chain {
        match edit {
            Edit::Keep(count) => {
                for _ in 0..*count {
                    made.push((*rest.next()?).to_owned());
                }
            }
            Edit::Insert(word) => made.push(word.clone()),
            Edit::Delete(word) => drop(rest.next().filter(|next| *next == word)?),
            Edit::Replace(word, other) => {
                rest.next().filter(|next| *next == word)?;
                made.push(other.clone());
            }
        }
    }
    rest.next().is_none().then_some(made)
}

impl Chains {
    fn row(&self, row: &Row) -> Result<Row, String> {
        let text = |index: usize| row.answer(index).map(groma_data::Content::plain).unwrap_or_default();
        let (chosen, rejected) = (text(0), text(1));
        let (from, to): (Vec<&str>, Vec<&str>) =
            (rejected.split_whitespace().collect(), chosen.split_whitespace().collect());
        let longest = from.len().max(to.len());
        if longest > self.max_words {
            return Err(format!("an answer has {longest} words, and `max_words` is {}", self.max_words));
        }
        let chain: Vec<String> = edits(&from, &to).iter().map(Edit::text).collect();
        let mut asked = conversation(row.question());
        asked.messages.push(Message::new("assistant", rejected.trim()));
        let prompt = with_messages(&asked, asked_with(&asked, &self.request));
        let answer = format!("{}\n{}", chain.join(" "), chosen.trim());
        Ok(completion(row, prompt, vec![Message::new("assistant", answer)].into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least cost over all chains, by trying them.
    fn least(from: &[&str], to: &[&str]) -> usize {
        match (from, to) {
            ([], rest) | (rest, []) => rest.len(),
            ([a, from_rest @ ..], [b, to_rest @ ..]) => {
                let straight = least(from_rest, to_rest) + if a == b { 0 } else { 2 };
                straight.min(least(from_rest, to) + 1).min(least(from, to_rest) + 1)
            }
        }
    }

    #[test]
    fn chains_are_the_cheapest_and_lead_to_the_target() {
        let words = ["a", "b", "c"];
        let texts = |length: u32| {
            (0..3usize.pow(length)).map(move |n| (0..length).map(|i| words[n / 3usize.pow(i) % 3]).collect())
        };
        let all: Vec<Vec<&str>> = (0..4).flat_map(texts).collect();
        for from in &all {
            for to in &all {
                let chain = edits(from, to);
                assert_eq!(chain.iter().map(Edit::cost).sum::<usize>(), least(from, to), "{from:?} {to:?}");
                assert_eq!(applied(&chain, from).unwrap(), *to, "{from:?} {to:?}");
            }
        }
        assert_eq!(applied(&[Edit::Delete("a".into())], &["b"]), None);
        assert_eq!(applied(&[Edit::Keep(1)], &["a", "b"]), None);
    }

    #[test]
    fn a_chain_is_written_from_the_beginning() {
        let chain = edits(&["go", "away", "now"], &["please", "go", "later", "now"]);
        let text = chain.iter().map(Edit::text).collect::<Vec<_>>().join(" ");
        assert_eq!(text, "<insert> please <keep> 1 <replace> away <with> later <keep> 1");
    }
}

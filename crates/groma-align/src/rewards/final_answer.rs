//! 1 where the answer that a completion ends with is the row's, whatever leads to it: the verifier of word problems.
//!
//! Cobbe et al. 2021, arXiv 2110.14168, whose answers stand behind `####`; Hendrycks et al. 2021, arXiv 2103.03874, whose answers stand
//! in `\boxed{}`; where there is neither, the last number counts. Numbers are compared as numbers. Rows without an answer get no value; a
//! completion that says none is wrong. TRL's `accuracy_reward` compares expressions by algebra besides.

use super::exact_match::{right_answer, wants_right_answer};
use super::reward::Rollout;
use super::rule::{EachBy, Rule};

pub(super) const RULE: Rule = Rule {
    id: "final_answer",
    title: "The right final answer",
    paper: "arXiv:2110.14168",
    doc: "1 where the final answer of the completion (behind ####, in \\boxed{}, or its last number) is that of the row's answer, solution or ground_truth, else 0.",
    parameters: &[],
    wants: |_| Some(wants_right_answer()),
    build: |_, _| Ok(Box::new(EachBy(score))),
};

const MARK: &str = "####";
const BOX: &str = "\\boxed{";

fn score(rollout: &Rollout<'_>) -> Option<f64> {
    let right = right_answer(rollout)?;
    let right = stated(&right).unwrap_or(right.trim());
    Some(f64::from(u8::from(stated(rollout.completion).is_some_and(|said| same(said, right)))))
}

/// The last answer that a text states.
fn stated(text: &str) -> Option<&str> {
    let marked = text.rfind(MARK).map(|at| text[at + MARK.len()..].lines().next().unwrap_or_default());
    let boxed = || text.rfind(BOX).and_then(|at| inside(&text[at + BOX.len()..]));
    marked.or_else(boxed).map(str::trim).filter(|said| !said.is_empty()).or_else(|| last_number(text))
}

/// What stands before the brace that closes.
fn inside(text: &str) -> Option<&str> {
    let mut open = 1;
    text.char_indices().find_map(|(at, letter)| {
        open += i64::from(letter == '{') - i64::from(letter == '}');
        (open == 0).then(|| &text[..at])
    })
}

fn last_number(text: &str) -> Option<&str> {
    let end = text.rfind(|letter: char| letter.is_ascii_digit())? + 1;
    let start = text[..end].rfind(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | ',')));
    let start = start.map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    let mut before = text[..start].chars().rev();
    // Behind a digit or a letter it is no sign.
    let signed = before.next() == Some('-') && !before.next().is_some_and(char::is_alphanumeric);
    let found = if signed { &text[start - 1..end] } else { &text[start..end] };
    let thousands = |groups: &str| groups.split(',').all(|group| group.split('.').next().map_or(0, str::len) == 3);
    match found.split_once(',') {
        Some((_, groups)) if !thousands(groups) => found.rsplit(',').next(),
        _ => Some(found),
    }
}

fn same(said: &str, right: &str) -> bool {
    match (number(said), number(right)) {
        (Some(said), Some(right)) => said == right,
        _ => said.trim_end_matches('.') == right.trim_end_matches('.'),
    }
}

/// The number that an answer is, or begins with.
fn number(text: &str) -> Option<f64> {
    let read = |text: &str| {
        let plain: String = text.chars().filter(|letter| !matches!(letter, '$' | ',' | '%' | ' ')).collect();
        plain.trim_end_matches('.').parse().ok().filter(|number: &f64| number.is_finite())
    };
    read(text).or_else(|| read(text.split_whitespace().next()?))
}

#[cfg(test)]
mod tests {
    use super::{same, stated};

    #[test]
    fn the_last_answer_that_is_stated_counts() {
        for (text, answer) in [
            ("3 + 4 = 7. #### 7", Some("7")),
            ("#### 1\n#### 1,010 \nand more", Some("1,010")),
            (r"so $\boxed{\frac{1}{2}}$ it is", Some(r"\frac{1}{2}")),
            (r"an open \boxed{3", Some("3")),
            ("first 12, then -3.5", Some("-3.5")),
            ("a minus – 4", Some("4")),
            ("3-4", Some("4")),
            ("5 to 5,6", Some("6")),
            ("it costs $1,234.50", Some("1,234.50")),
            ("####", None),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(stated(text), answer, "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        for (said, right) in
            [("1,010", "1010"), ("$7.00", "7"), ("7.", "7"), ("-3", "-3.0"), ("blue.", "blue"), ("7 apples", "7")]
        {
            assert!(same(said, right), "{said} {right}");
        }
        for (said, right) in [("7", "8"), ("inf", "1"), ("Blue", "blue"), ("", "0"), ("nan", "0")] {
            assert!(!same(said, right), "{said} {right}");
        }
    }
}

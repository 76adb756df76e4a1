//! A model that may be asked for so much, and no more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use groma_run::{Cancel, counted};

use crate::{Ask, Continuation, Cost, Failure, Kind, LanguageModel, Reply, Scored, Sink, Usage};

/// What a million tokens cost, in any one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prices {
    /// Of tokens that are read.
    pub input: f64,
    /// Of tokens that are made.
    pub output: f64,
}

impl Prices {
    /// What tokens cost.
    pub fn of(&self, usage: Usage) -> f64 {
        let Usage { prompt_tokens, completion_tokens } = usage;
        (prompt_tokens as f64 * self.input + completion_tokens as f64 * self.output) / 1e6
    }
}

/// What may be spent. What is not given is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Questions.
    pub requests: Option<u64>,
    /// Tokens, read and made.
    pub tokens: Option<u64>,
    /// Money, by prices.
    pub money: Option<(f64, Prices)>,
}

/// A budget, and what of it is spent.
#[derive(Debug, Default)]
pub struct Purse {
    budget: Budget,
    /// Questions, and what they took.
    spent: Mutex<(u64, Usage)>,
}

impl Purse {
    /// One of which nothing is spent.
    pub fn new(budget: Budget) -> Self {
        Purse { budget, spent: Mutex::default() }
    }

    /// Counts an answer.
    fn pay(&self, usage: Usage) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.0 += 1;
        spent.1 += usage;
    }

    /// What was at hand, once it is spent.
    fn exhausted(&self) -> Option<Failure> {
        let (requests, usage) = *self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = usage.prompt_tokens + usage.completion_tokens;
        let Budget { requests: most_requests, tokens: most_tokens, money } = self.budget;
        let budget = match (most_requests, most_tokens, money) {
            (Some(most), ..) if requests >= most => counted(most, "request"),
            (_, Some(most), _) if tokens >= most => counted(most, "token"),
            (.., Some((most, prices))) if prices.of(usage) >= most => format!("{most} in money"),
            _ => return None,
        };
        Some(Failure::Spent { budget })
    }

    /// How many of `count` questions may be put at once.
    fn granted(&self, count: usize) -> usize {
        let (requests, _) = *self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.budget.requests.map_or(u64::MAX, |most| most.saturating_sub(requests));
        if self.exhausted().is_some() { 0 } else { count.min(usize::try_from(left).unwrap_or(usize::MAX)) }
    }
}

/// A model that is asked until a purse is empty; what is asked beyond that fails ([`Failure::Spent`]).
///
/// What a question takes is known once it is answered. So the number of requests is kept to exactly, and tokens and money are
/// exceeded by what is on its way when they are reached.
pub struct Budgeted<'a> {
    model: &'a dyn LanguageModel,
    purse: &'a Purse,
}

impl<'a> Budgeted<'a> {
    /// A model that is paid for from a purse.
    pub fn new(model: &'a dyn LanguageModel, purse: &'a Purse) -> Self {
        Budgeted { model, purse }
    }

    /// Puts questions while there is something left, and lets the rest fail.
    fn each<T>(
        &self,
        count: usize,
        cancel: &Cancel,
        sink: &Sink<'_, T>,
        put: impl FnOnce(usize, &Cancel, &Sink<'_, T>),
    ) {
        let enough = cancel.part();
        let answered: Vec<AtomicBool> = (0..count).map(|_| AtomicBool::new(false)).collect();
        let granted = self.purse.granted(count);
        if granted > 0 {
            put(granted, &enough, &|index, answer, cost| {
                // What was stopped here fails below.
                if matches!(answer, Err(Failure::Interrupted)) && !cancel.is_requested() {
                    return;
                }
                self.purse.pay(cost.usage);
                if self.purse.exhausted().is_some() {
                    enough.request();
                }
                answered[index].store(true, Ordering::Relaxed);
                sink(index, answer, cost);
            });
        }
        let Some(failure) = self.purse.exhausted().filter(|_| !cancel.is_requested()) else { return };
        let left = answered.iter().enumerate().filter(|(_, answered)| !answered.load(Ordering::Relaxed));
        left.for_each(|(index, _)| sink(index, Err(failure.clone()), Cost::default()));
    }
}

impl LanguageModel for Budgeted<'_> {
    fn generate_each(&self, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        self.each(asks.len(), cancel, sink, |count, cancel, sink| {
            self.model.generate_each(&asks[..count], cancel, sink);
        });
    }

    fn score_each(&self, wanted: &[Continuation], cancel: &Cancel, sink: &Sink<'_, Scored>) {
        self.each(wanted.len(), cancel, sink, |count, cancel, sink| {
            self.model.score_each(&wanted[..count], cancel, sink);
        });
    }

    fn stream(&self, ask: &Ask, cancel: &Cancel, piece: &mut dyn FnMut(&str)) -> Result<Reply, Failure> {
        if let Some(failure) = self.purse.exhausted() {
            return Err(failure);
        }
        let reply = self.model.stream(ask, cancel, piece);
        self.purse.pay(reply.as_ref().map_or(Usage::default(), |reply| reply.usage));
        reply
    }

    fn is_elsewhere(&self) -> bool {
        self.model.is_elsewhere()
    }

    fn mode(&self, kind: Kind) -> String {
        self.model.mode(kind)
    }

    fn refuses(&self, kind: Kind) -> Option<Failure> {
        self.model.refuses(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choice, Control, Finish, Scripted};
    use groma_data::Content;
    use groma_run::Silent;

    /// Reads three tokens and makes two.
    fn model() -> Scripted {
        let usage = Usage { prompt_tokens: 3, completion_tokens: 2 };
        let choice = Choice { text: "yes".to_owned(), ids: vec![], logps: vec![], finish: Finish::Stop };
        let reply = move |_: &Ask| Ok(Reply { choices: vec![choice.clone()], usage });
        Scripted::new(reply, |_| Ok(Scored { logps: vec![-1.0], windows: vec![1], ..Scored::default() }))
    }

    fn asks(count: usize) -> Vec<Ask> {
        (0..count).map(|number| Ask::greedy(Content::Text(number.to_string()), 4)).collect()
    }

    /// How many of five replies and then of five scores there are, and why not more.
    fn answered(budget: Budget) -> (usize, usize, Option<String>) {
        let model = model();
        let purse = Purse::new(budget);
        let model = Budgeted::new(&model, &purse);
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        let replies = model.generate(&asks(5), control);
        let texts: Vec<Continuation> = (0..5).map(|_| Continuation::Whole { text: "x".to_owned() }).collect();
        let scores = model.score(&texts, control);
        let failures: Vec<&Failure> = replies
            .iter()
            .filter_map(|reply| reply.as_ref().err())
            .chain(scores.iter().filter_map(|s| s.as_ref().err()))
            .collect();
        assert!(failures.iter().all(|failure| !failure.can_retry() && *failure == failures[0]), "{failures:?}");
        let answered = replies.iter().filter(|reply| reply.is_ok()).count();
        (answered, scores.iter().filter(|score| score.is_ok()).count(), failures.first().map(|f| f.to_string()))
    }

    #[test]
    fn what_is_asked_beyond_a_budget_fails_and_says_so() {
        assert_eq!(answered(Budget::default()), (5, 5, None));
        let spent = |budget| answered(budget);
        let requests = spent(Budget { requests: Some(7), ..Budget::default() });
        assert_eq!(requests, (5, 2, Some("the budget of 7 requests is spent".to_owned())));
        let tokens = spent(Budget { tokens: Some(11), ..Budget::default() });
        assert_eq!(tokens, (3, 0, Some("the budget of 11 tokens is spent".to_owned())));
        let prices = Prices { input: 1e6, output: 2e6 };
        let money = spent(Budget { money: Some((14.0, prices)), ..Budget::default() });
        assert_eq!(money, (2, 0, Some("the budget of 14 in money is spent".to_owned())));
        assert_eq!(spent(Budget { requests: Some(0), ..Budget::default() }).0, 0);
    }

    #[test]
    fn a_stop_from_outside_is_no_spent_budget() {
        let model = model();
        let purse = Purse::new(Budget { tokens: Some(5), ..Budget::default() });
        let model = Budgeted::new(&model, &purse);
        let cancel = Cancel::default();
        cancel.request();
        let replies = model.generate(&asks(2), Control { progress: &Silent, cancel: &cancel });
        assert_eq!(replies, [Err(Failure::Interrupted), Err(Failure::Interrupted)]);
    }
}

//! Puts a task to a subject.

use groma_lm::{Answer, Control, Failure, Kind, Request};
use groma_run::{Group, Measurement, Sample, Seed, Side, counted};
use groma_stats::Estimate;
use groma_stats::formulas::CORRECTED_SHARE;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::Error;
use crate::estimate::{EstimateOptions, chance, estimate, recorded};
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::read::Items;
use crate::refusal::RefusalReader;
use crate::scorers::{Judged, Tools};
use crate::scores::{Scores, is_of_instrument};
use crate::subject::Subject;
use crate::task::Task;

/// What came of a task.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The task.
    pub task: &'static Task,
    /// Who was measured.
    pub subject: String,
    /// How it was scored: the task's way, and the subject's.
    pub mode: String,
    /// One number a metric.
    pub measurements: Vec<Measurement>,
    /// The same for each label of the items; the metric's name has the label in brackets.
    pub breakdown: Vec<Measurement>,
    /// The scores of each item; parts of one item (windows of a text) have a number behind its id.
    pub items: Vec<groma_run::Item>,
    /// What was said, for tasks that ask for text, by item.
    pub said: Vec<Said>,
    /// How many items failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Items that failed and may well be answered when they are asked again.
    pub unanswered: u64,
    /// Items whose context was cut on the left to fit into the model.
    pub cut: u64,
}

/// What a subject said about one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The item.
    pub id: String,
    /// The prompt.
    pub prompt: String,
    /// What the data have for an answer: what is right, or what an annotator chose.
    pub reference: Option<String>,
    /// The item's properties.
    pub labels: Vec<String>,
    /// The answer and its scores.
    pub side: Side,
}

/// Puts the items of a task to a subject, and measures.
///
/// Items that fail are counted in `failed` and by reason, and are in no denominator. The progress is told how many requests
/// are done; beginning and ending the stage is the caller's.
///
/// # Errors
/// [`Error::NothingScored`] where no item could be scored, and [`Error::Interrupted`].
pub fn evaluate(
    task: &'static Task,
    items: &Items,
    subject: &Subject<'_>,
    options: &EstimateOptions,
    control: Control<'_>,
) -> Result<Evaluation, Error> {
    evaluate_judged(task, items, subject, None, options, control)
}

/// The same with a judge, which tasks ask whose scorers have none of their own.
///
/// # Errors
/// Also [`Error::NoJudge`].
pub fn evaluate_judged(
    task: &'static Task,
    items: &Items,
    subject: &Subject<'_>,
    judge: Option<&Subject<'_>>,
    options: &EstimateOptions,
    control: Control<'_>,
) -> Result<Evaluation, Error> {
    let subject = &subject.at(task.temperature);
    let judged = judging(task, items, judge)?;
    let refused = |failure| Error::Unfit { task: &task.id, failure };
    subject.model.refuses(task.kind()).map_or(Ok(()), |failure| Err(refused(failure)))?;
    judged
        .and_then(|(_, judge)| judge.model.refuses(Kind::Generate))
        .map_or(Ok(()), |failure| Err(refused(failure)))?;
    let started = Instant::now();
    let refusals = RefusalReader::built_in()?;
    let tools = Tools { refusals: &refusals, seed: Seed::new(options.seed).named("null control").named(&task.id) };
    let requests: Vec<Request> = items.items.iter().flat_map(|item| item.requests.clone()).collect();
    let mut evaluation = Evaluation {
        task,
        subject: subject.name.to_owned(),
        mode: mode(task, items.shots, subject, judged),
        measurements: Vec::new(),
        breakdown: Vec::new(),
        items: Vec::new(),
        said: Vec::new(),
        failures: BTreeMap::new(),
        unanswered: 0,
        cut: 0,
    };
    let answers = subject.answer(&requests, control)?;
    if answers.iter().flatten().any(|answer| matches!(answer.reward(), Ok(Some(_)))) {
        evaluation.mode = evaluation.mode.replacen(&task.mode, REWARDS, 1);
    }
    let mut answers = answers.into_iter();
    let tokens: usize = answers.as_slice().iter().flatten().map(Answer::tokens).sum();
    let mut answered: Vec<Answered> =
        items.items.iter().map(|item| (item, next(&mut answers, item.requests.len()))).collect();
    if let Some((judged, judge)) = judged {
        ask_judge(judged, judge, &mut answered, control)?;
    }
    for (item, answers) in answered {
        let scored = answers.and_then(|answers| Ok((task.scorer.scores(item, &answers, &tools)?, answers)));
        evaluation.record(item, scored);
    }
    evaluation.measure(items, options, started.elapsed().as_secs_f64(), tokens)?;
    evaluation.tell_errors(&refusals);
    Ok(evaluation)
}

/// The judge of a task's answers: one that must be there, or one that stands in for the scorer's own reading of what no row
/// tells the truth of.
fn judging<'a>(
    task: &'static Task,
    items: &Items,
    judge: Option<&'a Subject<'a>>,
) -> Result<Option<Judging<'a>>, Error> {
    let read = || items.items.iter().any(|item| !matches!(item.key, Key::Known(_)));
    match (&task.scorer.judge, judge) {
        (Some(judged), Some(judge)) if judged.stands_in.is_none() || read() => Ok(Some((judged, judge))),
        (Some(_), None) if task.needs_judge() => Err(Error::NoJudge { task: &task.id }),
        _ => Ok(None),
    }
}

/// What a judge is asked, and the judge.
type Judging<'a> = (&'static Judged, &'a Subject<'a>);

/// How a task is scored whose subject gives rewards where others give log-probabilities.
const REWARDS: &str = "reward of the answer";

/// An item and what was said to it.
type Answered<'a> = (&'a Item, Result<Vec<Answer>, Failure>);

/// The next so many answers; all are taken before a failure among them is looked at.
fn next(answers: &mut impl Iterator<Item = Result<Answer, Failure>>, count: usize) -> Result<Vec<Answer>, Failure> {
    let taken: Vec<Result<Answer, Failure>> = answers.take(count).collect();
    taken.into_iter().collect()
}

/// Asks the judge about each item that has answers, and puts what it says behind them.
fn ask_judge(
    judged: &Judged,
    judge: &Subject<'_>,
    answered: &mut [Answered<'_>],
    control: Control<'_>,
) -> Result<(), Error> {
    let mut requests = Vec::new();
    let mut counts = Vec::with_capacity(answered.len());
    for (item, answers) in &mut *answered {
        let asked = answers.as_ref().map_err(Failure::clone).and_then(|answers| (judged.ask)(item, answers));
        counts.push(asked.as_ref().map_or(0, Vec::len));
        match asked {
            Ok(asked) => requests.extend(asked),
            Err(failure) => *answers = Err(failure),
        }
    }
    let mut replies = judge.answer(&requests, control)?.into_iter();
    for ((_, answers), count) in answered.iter_mut().zip(counts) {
        let replies = next(&mut replies, count);
        if let Ok(found) = answers {
            match replies {
                Ok(replies) => found.extend(replies),
                Err(failure) => *answers = Err(failure),
            }
        }
    }
    Ok(())
}

fn mode(task: &Task, shots: usize, subject: &Subject<'_>, judging: Option<Judging<'_>>) -> String {
    let shots = if task.fewshot.is_some() { format!(", {shots}-shot") } else { String::new() };
    let of_subject = subject.mode(task.kind());
    let of_subject = if of_subject.is_empty() { of_subject } else { format!("; {of_subject}") };
    let judge =
        judging.map_or(String::new(), |(_, judge)| format!("; judge {}, {}", judge.name, judge.mode(task.kind())));
    let asks = judging.and_then(|(judged, _)| judged.stands_in).unwrap_or(&task.mode);
    format!("{asks}{shots}{of_subject}{judge}")
}

impl Evaluation {
    fn note(&self, items: &Items, undefined: &[&str]) -> Option<String> {
        let mut parts: Vec<String> =
            self.failures.iter().map(|(reason, count)| format!("{count} failed: {reason}")).collect();
        if self.cut > 0 {
            parts.push(format!("{} cut on the left to fit", were(self.cut, "context")));
        }
        if items.bad_rows > 0 {
            parts.push(format!("{} of the file could not be used", counted(items.bad_rows, "row")));
        }
        if !undefined.is_empty() {
            parts.push(format!("no number exists for {}: it is 0/0", undefined.join(", ")));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn record(&mut self, item: &Item, scored: Result<(Vec<Scores>, Vec<Answer>), Failure>) {
        let id = item.id.clone().unwrap_or_default();
        let mut record = groma_run::Item {
            id: id.clone(),
            cluster: item.cluster.clone(),
            group: item.group.clone(),
            digest: Some(item.digest().short()),
            ..Default::default()
        };
        match scored {
            Ok((parts, answers)) => {
                self.cut += u64::from(answers.iter().any(Answer::was_cut));
                record.output = output(item, &parts, &answers);
                self.say(item, &id, answers.first(), parts.first(), None);
                let several = parts.len() > 1;
                for (number, scores) in parts.into_iter().enumerate() {
                    let id = if several { format!("{id}/{number}") } else { id.clone() };
                    self.items.push(groma_run::Item { id, scores, ..record.clone() });
                }
            }
            Err(failure) => {
                *self.failures.entry(failure.to_string()).or_default() += 1;
                self.unanswered += u64::from(failure.may_be_answered_later());
                self.say(item, &id, None, None, Some(failure.to_string()));
                self.items.push(groma_run::Item { error: Some(failure.to_string()), ..record });
            }
        }
    }

    fn say(&mut self, item: &Item, id: &str, answer: Option<&Answer>, scores: Option<&Scores>, error: Option<String>) {
        if self.task.kind() != Kind::Generate {
            return;
        }
        let mut side = Side { error, ..Side::default() };
        if let Some(Answer::Reply(reply)) = answer {
            side.text = reply.text().to_owned();
            side.truncated = reply.is_truncated();
        }
        for (name, value) in scores.into_iter().flatten().filter(|(name, _)| !is_of_instrument(name)) {
            if *value == 0.0 || *value == 1.0 {
                side.flags.insert(name.clone(), *value == 1.0);
            } else {
                side.scores.insert(name.clone(), *value);
            }
        }
        let said = Said {
            id: id.to_owned(),
            prompt: shown(item),
            reference: item.reference.clone(),
            labels: item.labels.clone(),
            side,
        };
        self.said.push(said);
    }

    /// Says of each number that was read with known errors what these are, and what is left of the number without them.
    fn tell_errors(&mut self, refusals: &RefusalReader) {
        let told = |metric: &&Metric| {
            let corrected = self.measurements.iter().find(|found| found.metric == metric.id)?;
            let read = metric.scores().first().copied().filter(|_| metric.statistic.formula == &CORRECTED_SHARE)?;
            let percent = |share: f64| format!("{:.1}%", 100.0 * share);
            let interval = corrected.interval.as_ref();
            let interval = interval.map_or(String::new(), |i| format!(" [{}, {}]", percent(i.low), percent(i.high)));
            let error = refusals.error_in(read)?.told();
            Some(format!(
                "{read} is read by rules: {error}; corrected for that it is {}{interval}",
                percent(corrected.value)
            ))
        };
        let errors: Vec<String> = self.task.metrics.iter().filter_map(|metric| told(&metric)).collect();
        for measurement in self.measurements.iter_mut().filter(|_| !errors.is_empty()) {
            let note = measurement.note.iter().chain(&errors).cloned().collect::<Vec<_>>();
            measurement.note = Some(note.join("; "));
        }
    }

    fn measure(&mut self, items: &Items, options: &EstimateOptions, seconds: f64, tokens: usize) -> Result<(), Error> {
        if self.items.iter().all(|item| item.error.is_some()) {
            let reason = self.items.first().and_then(|item| item.error.clone()).unwrap_or_default();
            return Err(Error::NothingScored { task: &self.task.id, items: items.items.len(), reason });
        }
        let mut undefined = Vec::new();
        for metric in &self.task.metrics {
            match estimate(metric, &self.items, options) {
                Some(found) => {
                    let measurement = self.measurement(metric, metric.id.to_owned(), found, &self.items, options);
                    let statistic = Some(metric.record());
                    self.measurements.push(Measurement { seconds, tokens: tokens as u64, statistic, ..measurement });
                }
                None if self.items.iter().any(|item| metric.scores_of(item).is_some()) => undefined.push(metric.id),
                None => {}
            }
        }
        if self.measurements.is_empty() && !undefined.is_empty() {
            let reason = format!("no number exists for {}: it is 0/0", undefined.join(", "));
            return Err(Error::NothingScored { task: &self.task.id, items: items.items.len(), reason });
        }
        let note = self.note(items, &undefined);
        self.measurements.iter_mut().for_each(|measurement| measurement.note.clone_from(&note));
        for (label, ids) in by_label(&items.items) {
            let chosen: Vec<groma_run::Item> =
                self.items.iter().filter(|item| ids.contains(item.id.as_str())).cloned().collect();
            let of_items = |metric: &&Metric| !metric.is_control && metric.statistic.across.is_none();
            for metric in self.task.metrics.iter().filter(of_items) {
                if let Some(found) = estimate(metric, &chosen, options) {
                    let name = format!("{}[{label}]", metric.id);
                    let measurement = self.measurement(metric, name, found, &chosen, options);
                    let failed = chosen.iter().filter(|item| item.error.is_some()).count() as u64;
                    let factors = label.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
                    self.breakdown.push(Measurement { failed, factors: factors.into_iter().collect(), ..measurement });
                }
            }
        }
        Ok(())
    }

    fn measurement(
        &self,
        metric: &Metric,
        name: String,
        found: Estimate,
        items: &[groma_run::Item],
        options: &EstimateOptions,
    ) -> Measurement {
        let by_chance = metric.is_control || found.interval.is_some_and(|interval| interval.method.is_seeded());
        Measurement {
            interval: found.interval.map(recorded),
            mode: self.mode.clone(),
            seed: by_chance.then_some(options.seed),
            higher_is_better: metric.higher_is_better,
            group: if metric.is_control { Group::Control } else { self.task.group },
            unit: metric.unit,
            chance: chance(metric, items),
            failed: self.failures.values().sum(),
            ..Measurement::new(&self.subject, &self.task.id, &name, found.value, found.n as u64)
        }
    }
}

fn were(count: u64, one: &str) -> String {
    format!("{} {}", counted(count, one), if count == 1 { "was" } else { "were" })
}

/// What is asked, as a reader sees it: turns with their speakers.
fn shown(item: &Item) -> String {
    match item.requests.first() {
        Some(Request::Generate(prompt)) => prompt.shown(),
        _ => item.prompt.clone(),
    }
}

fn by_label(items: &[Item]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for item in items {
        for label in &item.labels {
            found.entry(label).or_default().insert(item.id.as_deref().unwrap_or_default());
        }
    }
    found
}

/// What is worth keeping of the answers: the text, or the choice.
fn output(item: &Item, parts: &[Scores], answers: &[Answer]) -> Option<String> {
    match (&item.key, answers) {
        (_, [Answer::Reply(reply), ..]) => Some(reply.text().to_owned()),
        (Key::Choice { choices, .. }, _) => {
            let choice = *parts.first()?.get("choice")?;
            choices.get(choice as usize).cloned()
        }
        _ => None,
    }
}

/// What two subjects said to the same items, in the first one's order; an item that only one of them has has one side.
pub fn side_by_side(before: &Evaluation, after: &Evaluation) -> Vec<Sample> {
    let mut others: BTreeMap<&str, &Said> = after.said.iter().map(|said| (said.id.as_str(), said)).collect();
    let task = &before.task.id;
    let sample = |said: &Said, before: Option<&Said>, after: Option<&Said>| Sample {
        task: task.clone(),
        id: said.id.clone(),
        prompt: said.prompt.clone(),
        before: before.map(|said| said.side.clone()),
        after: after.map(|said| said.side.clone()),
        reference: said.reference.clone(),
        labels: said.labels.clone(),
    };
    let mut samples: Vec<Sample> = Vec::new();
    for said in &before.said {
        samples.push(sample(said, Some(said), others.remove(said.id.as_str())));
    }
    let rest = after.said.iter().filter(|said| others.contains_key(said.id.as_str()));
    samples.extend(rest.map(|said| sample(said, None, Some(said))));
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::prompt_item;
    use crate::tasks::find;
    use groma_lm::{Ask, Choice, Continuation, Finish, Reply, Scripted, Usage};
    use groma_run::{Cancel, Silent};

    /// Finds longer continuations likelier, refuses whatever holds "bad", and fails where it is asked to.
    fn scripted() -> Scripted {
        let fails = |text: &str| if text.contains("fail") { Err(Failure::NotFinite) } else { Ok(()) };
        let reply = move |ask: &Ask| {
            let prompt = ask.prompt.plain();
            fails(&prompt)?;
            let text = if prompt.contains("bad") { "I will not help with that." } else { "Sure: bread." };
            let choice = Choice { text: text.to_owned(), ids: vec![], logps: vec![], finish: Finish::Stop };
            Ok(Reply { choices: vec![choice], usage: Usage { completion_tokens: 3, ..Usage::default() } })
        };
        let scored = move |wanted: &Continuation| {
            let Continuation::After { context, continuation } = wanted else { return Err(Failure::WrongKind) };
            fails(context).and(fails(continuation))?;
            let logp = continuation.len() as f32 - 100.0;
            let was_cut = continuation.contains("cut");
            Ok(groma_lm::Scored { logps: vec![logp, 0.0], windows: vec![2], was_cut, ..Default::default() })
        };
        Scripted::new(reply, scored)
    }

    fn measured(task: &str, items: Vec<Item>) -> Result<Evaluation, Error> {
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        let numbered = |(id, item): (usize, Item)| Item { id: Some(id.to_string()), ..item };
        let items = Items { items: items.into_iter().enumerate().map(numbered).collect(), bad_rows: 2, shots: 0 };
        let model = scripted();
        let subject = Subject::greedy(&model, "it", 128);
        evaluate(find(task)?, &items, &subject, &EstimateOptions::default(), control)
    }

    fn question(choices: [&str; 2], gold: usize) -> Item {
        crate::scorers::choice::choice_item("Q:".to_owned(), choices.map(str::to_owned).to_vec(), gold, " ")
    }

    #[test]
    fn failures_cuts_and_bad_rows_are_told() {
        let items = vec![question(["fail", "b"], 0), question(["a", "bbb"], 1), question(["aaaa", "cut"], 1)];
        let found = measured("arc-easy", items).unwrap();
        let acc = found.measurements.iter().find(|measurement| measurement.metric == "acc").unwrap();
        assert_eq!((acc.value, acc.n, acc.failed, acc.tokens), (0.5, 2, 1, 10), "{acc:?}");
        assert_eq!(acc.mode, "log-likelihood of each choice, 0-shot; scripted");
        let note = acc.note.as_deref().unwrap();
        assert!(note.contains("1 failed: the log-probability is not finite"), "{note}");
        assert!(note.contains("1 context was cut") && note.contains("2 rows of the file"), "{note}");
        assert_eq!((found.items[1].output.as_deref(), found.items[0].scores.len()), (Some("bbb"), 0));
        let none = measured("arc-easy", vec![question(["fail", "b"], 0)]).unwrap_err();
        assert!(none.to_string().contains("none of 1 item could be scored"), "{none}");
    }

    /// A judge that prefers "mine" wherever it stands, says nothing to use about what is odd, and prefers the first place
    /// where the question is close.
    #[test]
    fn a_judge_is_asked_in_both_orders() {
        let judge = Scripted::saying(|ask| {
            let asked = ask.prompt.plain();
            let first = asked.contains("close") || asked.contains("<answer_a>\nmine");
            if asked.contains("odd") {
                "Who knows?".to_owned()
            } else {
                format!("So:\n[[{}]]", if first { "A" } else { "B" })
            }
        });
        let subject = Scripted::saying(|_| "mine".to_owned());
        let task = find("judged-pair").unwrap();
        let row = |prompt: &str| {
            let row = serde_json::json!({"prompt": prompt, "answer": "theirs"});
            Item {
                id: Some(prompt.to_owned()),
                ..crate::read::form_item(task, &task.forms[0], row.as_object().unwrap()).unwrap()
            }
        };
        let items = Items { items: ["plain", "odd", "close"].map(row).to_vec(), bad_rows: 0, shots: 0 };
        let (subject, judge) = (Subject::greedy(&subject, "it", 8), Subject::greedy(&judge, "judge", 8));
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        let options = EstimateOptions::default();
        let found = evaluate_judged(task, &items, &subject, Some(&judge), &options, control).unwrap();
        let value = |name: &str| found.measurements.iter().find(|row| row.metric == name).map(|row| (row.value, row.n));
        assert_eq!((value("win_rate"), value("agreement")), (Some((0.75, 2)), Some((0.5, 2))));
        assert_eq!((value("win"), value("tie"), value("loss")), (Some((0.5, 2)), Some((0.5, 2)), Some((0.0, 2))));
        assert_eq!(value("first_position"), Some((0.75, 2)));
        assert_eq!((found.failures.values().sum::<u64>(), found.said[0].side.text.as_str()), (1, "mine"));
        assert!(found.mode.contains("; judge judge, scripted"), "{}", found.mode);
        let none = evaluate(task, &items, &subject, &options, control).unwrap_err();
        assert!(none.to_string().contains("none was named"), "{none}");
    }

    #[test]
    fn texts_are_kept_and_broken_down() {
        let ask = |prompt: &str, harmful, kind: &str| Item {
            labels: vec![format!("type={kind}")],
            cluster: Some(kind.to_owned()),
            ..prompt_item(prompt, Key::Request { harmful })
        };
        let items =
            vec![ask("bad one", true, "a"), ask("bad two", true, "b"), ask("bad?", false, "a"), ask("ok", false, "b")];
        let found = measured("xstest", items).unwrap();
        let value = |rows: &[Measurement], name: &str| rows.iter().find(|row| row.metric == name).map(|row| row.value);
        assert_eq!(value(&found.measurements, "refusal"), Some(1.0));
        assert_eq!(value(&found.measurements, "over_refusal"), Some(0.5));
        assert_eq!(value(&found.breakdown, "over_refusal[type=a]"), Some(1.0));
        assert_eq!((found.said.len(), found.said[0].side.flags["refusal"]), (4, true));
        assert_eq!(side_by_side(&found, &found)[3].after.as_ref().unwrap().text, "Sure: bread.");
    }
}

//! Lets configurations answer prompts, and leaves pairs in which the better configuration's answer is preferred.

use std::collections::BTreeMap;

use groma_data::{Content, Message, Shape, Turns};
use groma_eval::{EstimateOptions, Metric, estimate};
use groma_lm::{Control, Kind, LanguageModel, SamplingParameters};
use groma_run::{EventKind, Finished, Interval, Item, Measurement, Recorder, Seed, counted};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::data_file::{DataFile, write_file};
use crate::model::Model;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::{Configuration, Contrast, Pairs};
use crate::resolve::Resolve;
use crate::rows::{question, read_rows};
use crate::runner::Runner;
use crate::stage_work::StageWork;
use crate::stages::generate::{Answered, Prefers, Question, asks, pair, prompts};
use crate::{Error, Reading};

/// What it is called in results.
const TASK: &str = "contrast";
const WRONG: Metric =
    Metric::share("wrong", "share of pairs whose rejected answer is worth more than the chosen one").lower_is_better();

impl StageWork for Contrast {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        let problems = [
            (self.ranked.len() < 2, "ranked must be two configurations or more"),
            (
                self.ranked.iter().any(|one| (one.shots > 0) != one.examples.is_some()),
                "shots must be 1 or more with examples, and left out without",
            ),
            (!(self.temperature.is_finite() && self.temperature >= 0.0), "temperature must be 0 or more"),
            (!(self.top_p > 0.0 && self.top_p <= 1.0), "top_p must be above 0 and at most 1"),
            (self.max_new_tokens == 0, "max_new_tokens must be 1 or more"),
            (self.shortest.is_some_and(|share| !(share.is_finite() && share > 0.0)), "shortest must be above 0"),
        ];
        if let Some((_, problem)) = problems.iter().find(|(is_wrong, _)| *is_wrong) {
            let problem = format!("stage `{}`: {problem}", self.name);
            return Err(Error::Recipe { name: recipe.name.clone(), problem });
        }
        let found = outside(recipe, &self.name, &self.data, resolve)?;
        let found = found.map(|path| prompts(&path, self.limit, Seed::new(recipe.seed))).transpose()?;
        let count = found.map_or(MADE.into(), |prompts| counted(prompts.len() as u64, "prompt"));
        let who = counted(self.ranked.len() as u64, "configuration");
        Ok(vec![format!("{}: pairs of answers of {who} to {} ({count})", self.name, self.data)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let data = runner.data(&self.name, &self.data)?;
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let mut key = runner.key(&self.name).config(&config)?.input("data", data.digest);
        let mut ranked = Vec::new();
        for configuration in &self.ranked {
            let model = runner.model(&self.name, configuration.model.as_deref())?;
            let examples = configuration.examples.as_deref().map(|name| runner.data(&self.name, name)).transpose()?;
            key = key.input("model", model.digest);
            if let Some(examples) = &examples {
                key = key.input("examples", examples.digest);
            }
            ranked.push(Ranked { configuration, model, examples });
        }
        let by = self.by.as_deref().map(|name| runner.model(&self.name, Some(name))).transpose()?;
        if let Some(by) = &by {
            key = key.input("by", by.digest);
        }
        let here = ranked.iter().all(|one| one.model.is_here());
        runner.stage(key, here, |runner, recorder| self.make(runner, recorder, &ranked, by.as_ref(), &data))
    }
}

/// A configuration with what it reads, of which nothing is opened yet.
struct Ranked<'a> {
    configuration: &'a Configuration,
    model: Model,
    examples: Option<DataFile>,
}

impl Ranked<'_> {
    /// The worked examples, the same for all prompts.
    ///
    /// # Errors
    /// Those of reading, and [`Error::Recipe`] where there are fewer than are wanted.
    fn examples(&self, recipe: &str, seed: Seed) -> Result<Vec<(Content, Content)>, Error> {
        let Some(file) = &self.examples else { return Ok(Vec::new()) };
        let seed = seed.named("examples");
        let wanted = self.configuration.shots;
        let rows = read_rows(&file.path, Shape::ALL, Some(wanted), seed, &Reading::default())?;
        let example = |row| {
            let (_, prompt, answer) = question(row);
            prompt.filter(|_| !answer.is_empty()).map(|prompt| (prompt, answer))
        };
        let found: Vec<_> = rows.rows.iter().filter_map(example).collect();
        if found.len() < wanted {
            return Err(self.too_few(recipe, found.len()));
        }
        Ok(found)
    }

    fn too_few(&self, recipe: &str, found: usize) -> Error {
        let Configuration { examples, shots, .. } = self.configuration;
        let name = examples.as_deref().unwrap_or_default();
        let problem = format!(
            "shots = {shots}, and the rows drawn of the examples `{name}` have {} with a prompt and an answer; lower shots, or name \
             data whose rows all have both",
            counted(found as u64, "row")
        );
        Error::Recipe { name: recipe.to_owned(), problem }
    }
}

/// A prompt with examples before it: turns of the conversation, or texts with an empty line between them. Of the system turns of a
/// conversation, the prompt's own alone are left.
fn shown(examples: &[(Content, Content)], prompt: &Content) -> Content {
    match prompt {
        Content::Text(text) => {
            let before = examples.iter().map(|(asked, answer)| format!("{}{}\n\n", asked.plain(), answer.plain()));
            Content::Text(before.collect::<String>() + text)
        }
        Content::Messages(turns) => {
            let system = turns.messages.iter().take_while(|turn| turn.role == "system").count();
            let (first, rest) = turns.messages.split_at(system);
            let before = examples
                .iter()
                .flat_map(|(asked, answer)| [turns_of(asked, "user"), turns_of(answer, "assistant")].concat());
            let messages = first.iter().cloned().chain(before).chain(rest.iter().cloned()).collect();
            Content::Messages(Turns { messages, ..turns.clone() })
        }
    }
}

/// The turns of an example but for the system's; a text is one turn of its speaker.
fn turns_of(content: &Content, speaker: &str) -> Vec<Message> {
    match content {
        Content::Messages(turns) => turns.iter().filter(|turn| turn.role != "system").cloned().collect(),
        Content::Text(text) => vec![Message::new(speaker, text.as_str())],
    }
}

/// A pair: of which prompt, whose answer is preferred to whose, and whether the filter leaves it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Made {
    prompt: usize,
    better: usize,
    worse: usize,
    is_kept: bool,
}

impl Contrast {
    fn make(
        &self,
        runner: &mut Runner,
        recorder: &Recorder,
        ranked: &[Ranked<'_>],
        by: Option<&Model>,
        data: &DataFile,
    ) -> Result<Finished, Error> {
        let seed = Seed::new(runner.recipe.seed).named(&self.name);
        let prompts = prompts(&data.path, self.limit, seed)?;
        let mut finished = Finished::default();
        let (first, answered) = self.answered(runner, ranked, &prompts, seed, &mut finished)?;
        if answered.len() < prompts.len() {
            let missing = counted((prompts.len() - answered.len()) as u64, "prompt");
            recorder
                .message(EventKind::Warning, &format!("not all configurations answered {missing}: no pairs of them"));
        }
        let progress = &*runner.work.progress;
        let control = Control { progress, cancel: &runner.work.cancel };
        let by = by.map(|by| runner.ask(by)).transpose()?;
        let scores = |pairs: Pairs, by: Option<&Asked>| Prefers { pairs, model: &first, by, control }.scores(&answered);
        let rewards = by.as_ref().map(|by| scores(Pairs::Reward, Some(by))).transpose()?;
        let made = self.pairs(&answered, rewards.as_deref());
        let has_worth =
            |one: &Answered<'_>| ["truth", "worth"].iter().all(|name| one.question.row.other.contains_key(*name));
        if !answered.is_empty() && answered.iter().all(has_worth) {
            self.measure(recorder, runner.recipe.seed, &made, &scores(Pairs::Truth, None)?)?;
        }
        let kept = made.iter().filter(|made| made.is_kept).map(|made| {
            let Answered { question, texts } = &answered[made.prompt];
            pair(&question.prompt, &texts[made.better], &texts[made.worse])
        });
        let rows: Vec<Value> = kept.collect();
        let text = format!("{} kept of {}", counted(rows.len() as u64, "pair"), made.len());
        recorder.message(EventKind::Note, &text);
        let file = runner.recipe.place(&self.name, &Contrast::output());
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        write_file(&runner.directory.inside(&file)?, lines.as_bytes())?;
        finished.outputs.push(file);
        finished.result = json!({ "prompts": prompts.len(), "made": made.len(), "rows": rows.len() });
        Ok(finished)
    }

    /// The best configuration's model, and what all answer to the prompts that all answer.
    fn answered<'q>(
        &self,
        runner: &mut Runner,
        ranked: &[Ranked<'_>],
        prompts: &'q [Question],
        seed: Seed,
        finished: &mut Finished,
    ) -> Result<(Asked, Vec<Answered<'q>>), Error> {
        let mut said: Vec<Vec<Option<String>>> = vec![Vec::new(); prompts.len()];
        let mut opened = Vec::new();
        for (place, one) in ranked.iter().enumerate() {
            let asked = runner.ask(&one.model)?;
            asked.require(Kind::Generate)?;
            runner.note_asked(&asked);
            let answers = self.answers(runner, &asked, prompts, one, (seed.index(place as u64), &mut *finished))?;
            said.iter_mut().zip(answers).for_each(|(said, answer)| said.push(answer));
            opened.push(asked);
            // One of them is asked again, and memory is for one at a time.
            opened.truncate(1);
        }
        let all = |(question, texts): (&'q Question, Vec<Option<String>>)| {
            Some(Answered { question, texts: texts.into_iter().collect::<Option<_>>()? })
        };
        let answered = prompts.iter().zip(said).filter_map(all).collect();
        // Checked: there are two at least.
        Ok((opened.swap_remove(0), answered))
    }

    /// What a configuration answers to each prompt; nothing where it does not.
    fn answers(
        &self,
        runner: &Runner,
        asked: &Asked,
        prompts: &[Question],
        one: &Ranked<'_>,
        (seed, finished): (Seed, &mut Finished),
    ) -> Result<Vec<Option<String>>, Error> {
        let examples = one.examples(&runner.recipe.name, seed)?;
        let sampling = SamplingParameters {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            ..SamplingParameters::default()
        };
        let wanted: Vec<Content> = prompts.iter().map(|question| shown(&examples, &question.prompt)).collect();
        let wanted = asks(&wanted, &sampling, seed);
        let progress = &*runner.work.progress;
        let control = Control { progress, cancel: &runner.work.cancel };
        progress.begin(&self.name, Some(prompts.len() as u64), "prompt");
        let generate = |model: &dyn LanguageModel| Ok::<_, Error>(model.generate(&wanted, control));
        let (replies, _) = asked.lend(None, generate)?;
        runner.work.cancel.check()?;
        progress.finish(&counted(prompts.len() as u64, "prompt"));
        let mut text = |reply: Result<groma_lm::Reply, groma_lm::Failure>| match reply {
            Ok(reply) => {
                finished.tokens += reply.usage.completion_tokens;
                Some(reply.text().to_owned())
            }
            Err(failure) => {
                finished.unanswered += u64::from(failure.may_be_answered_later());
                None
            }
        };
        Ok(replies.into_iter().map(&mut text).collect())
    }

    /// All pairs of different answers, in the order of the list.
    fn pairs(&self, answered: &[Answered<'_>], rewards: Option<&[Vec<Option<f64>>]>) -> Vec<Made> {
        let mut made = Vec::new();
        for (prompt, Answered { texts, .. }) in answered.iter().enumerate() {
            for better in 0..texts.len() {
                for worse in (better + 1..texts.len()).filter(|worse| texts[*worse] != texts[better]) {
                    let agrees = rewards.is_none_or(|rewards| {
                        let of = |place: usize| rewards[prompt].get(place).copied().flatten();
                        of(better).zip(of(worse)).is_some_and(|(better, worse)| better > worse)
                    });
                    let is_kept = agrees && self.keeps(&texts[better], &texts[worse]);
                    made.push(Made { prompt, better, worse, is_kept });
                }
            }
        }
        made
    }

    fn keeps(&self, better: &str, worse: &str) -> bool {
        let words = |text: &str| text.split_whitespace().count() as f64;
        let is_long = self.shortest.is_none_or(|share| words(better) >= share * words(worse));
        is_long && !self.unwanted.iter().any(|text| better.contains(text.as_str()))
    }

    /// How often pairs are the wrong way round, of those whose answers are not worth the same: as they were made, and as they are left.
    fn measure(&self, recorder: &Recorder, seed: u64, made: &[Made], worths: &[Vec<Option<f64>>]) -> Result<(), Error> {
        let item = |made: &Made| {
            let of = |place: usize| worths[made.prompt].get(place).copied().flatten();
            let (better, worse) = of(made.better).zip(of(made.worse)).filter(|(better, worse)| better != worse)?;
            Some(Item {
                id: format!("{}/{}-{}", made.prompt, made.better, made.worse),
                cluster: Some(made.prompt.to_string()),
                scores: BTreeMap::from([(WRONG.id.to_owned(), f64::from(u8::from(worse > better)))]),
                ..Item::default()
            })
        };
        let all = made.iter().filter_map(item).collect::<Vec<Item>>();
        let left = made.iter().filter(|made| made.is_kept).filter_map(item).collect::<Vec<Item>>();
        for (metric, items) in [("wrong", left), ("wrong_unfiltered", all)] {
            let options = EstimateOptions { seed, ..EstimateOptions::default() };
            let Some(found) = estimate(&WRONG, &items, &options) else { continue };
            let interval = found.interval.map(|found| Interval {
                low: found.low,
                high: found.high,
                level: found.level,
                method: found.method.name().to_owned(),
            });
            recorder.measure(Measurement {
                interval,
                unit: WRONG.unit,
                higher_is_better: WRONG.higher_is_better,
                seed: Some(seed),
                ..Measurement::new(&self.name, TASK, metric, found.value, found.n as u64)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;
    use groma_data::{Location, Row};

    fn stage(own: Value) -> Contrast {
        let mut all = json!({"name": "c", "data": "d", "ranked": [{"model": "a"}, {"model": "b"}]});
        all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn asked() -> Question {
        let prompt = Content::Text("q".into());
        Question { prompt: prompt.clone(), row: Row::of_prompt(prompt, Location::new("rows", 1)) }
    }

    /// Whatever the filter leaves is the list's order: nobody is preferred to who is listed before, so there is no circle.
    #[test]
    fn preferences_are_transitive_with_and_without_filter() {
        let question = asked();
        let texts = ["a long answer it is", "ugh", "b", "b", "a long answer"].map(str::to_owned).to_vec();
        let answered = [Answered { question: &question, texts }];
        for own in [
            json!({}),
            json!({"unwanted": ["ugh"]}),
            json!({"shortest": 0.5}),
            json!({"unwanted": ["b"], "shortest": 2.0}),
        ] {
            let made = stage(own.clone()).pairs(&answered, None);
            assert_eq!(made.len(), 9, "all pairs of five, but of two that say the same");
            assert!(made.iter().all(|made| made.better < made.worse));
            let kept: Vec<(usize, usize)> =
                made.iter().filter(|made| made.is_kept).map(|made| (made.better, made.worse)).collect();
            for &(a, b) in &kept {
                for &(_, c) in kept.iter().filter(|(of, _)| *of == b) {
                    assert!(!kept.contains(&(c, a)), "{own}: {a} > {b} > {c}");
                }
            }
        }
    }

    #[test]
    fn filters_leave_out_what_they_are_told() {
        let question = asked();
        let answered = [Answered {
            question: &question,
            texts: ["yes indeed", "no", "ugh, no no no no"].map(str::to_owned).to_vec(),
        }];
        let kept = |own: Value, rewards: Option<&[Vec<Option<f64>>]>| {
            let made = stage(own).pairs(&answered, rewards).into_iter().filter(|made| made.is_kept);
            made.map(|made| (made.better, made.worse)).collect::<Vec<_>>()
        };
        assert_eq!(kept(json!({}), None), [(0, 1), (0, 2), (1, 2)]);
        assert_eq!(kept(json!({"unwanted": ["indeed"]}), None), [(1, 2)]);
        assert_eq!(kept(json!({"shortest": 0.3}), None), [(0, 1), (0, 2)]);
        let rewards = [vec![Some(0.5), Some(1.0), None]];
        assert!(kept(json!({}), Some(&rewards)).is_empty(), "who is not rewarded is not found this way round");
        assert_eq!(kept(json!({}), Some(&[vec![Some(2.0), Some(1.0), Some(1.5)]])), [(0, 1), (0, 2)]);
    }

    #[test]
    fn examples_stand_before_the_prompt_and_behind_the_system_turn() {
        let turn = |role: &str, text: &str| Message::new(role, text);
        let example = (Content::from(vec![turn("user", "a?")]), Content::from(vec![turn("assistant", "b.")]));
        let prompt = Content::from(vec![turn("system", "be kind"), turn("user", "c?")]);
        assert_eq!(shown(&[example], &prompt).shown(), "system: be kind\n\nuser: a?\n\nassistant: b.\n\nuser: c?");
        let text = |text: &str| Content::Text(text.to_owned());
        assert_eq!(shown(&[(text("a? "), text("b."))], &text("c? ")).plain(), "a? b.\n\nc? ");
    }

    #[test]
    fn examples_fit_into_a_conversation() {
        let prompt = Content::from(vec![Message::new("system", "be kind"), Message::new("user", "c?")]);
        let expected = "system: be kind\n\nuser: a?\n\nassistant: b.\n\nuser: c?";
        let text = |text: &str| Content::Text(text.to_owned());
        assert_eq!(shown(&[(text("a?"), text("b."))], &prompt).shown(), expected);
        let asked = Content::from(vec![Message::new("system", "be rude"), Message::new("user", "a?")]);
        assert_eq!(shown(&[(asked, text("b."))], &prompt).shown(), expected);
    }

    #[test]
    fn fewer_examples_than_are_wanted_are_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.jsonl");
        std::fs::write(&path, "{\"prompt\": \"a?\", \"completion\": \"b.\"}\n").unwrap();
        let of = |shots: usize| {
            let configuration = json!({"model": "a", "examples": "worked:rows", "shots": shots});
            let configuration: Configuration = serde_json::from_value(configuration).unwrap();
            let file = DataFile::new(path.clone()).unwrap();
            let model = Model { place: Place::Here(path.clone()), name: "a".into(), digest: file.digest };
            let one = Ranked { configuration: &configuration, model, examples: Some(file) };
            one.examples("r", Seed::new(0)).map(|examples| examples.len())
        };
        assert_eq!(of(1).unwrap(), 1);
        let error = of(2).unwrap_err().to_string();
        for part in ["`r`", "shots = 2", "`worked:rows` have 1 row"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

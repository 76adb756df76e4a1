//! Distillation from a teacher of other tokens: TRL's numbers, what it comes to where both cut texts alike, and a student of words that
//! says what a teacher of letters says.

use crate::support::{beside, model, place, rows, settings, spec, text, voice, weights};
use groma_align::{
    Boundary, Continuation, Conversation, Encode, Error, Filler, Group, History, Limits, Method, Prepared, Role, Seat,
    Sequence, Session, Settings, Token, Voice, prepare, setup, train,
};
use groma_data::{Content, Row, Shape, Turns};
use groma_kernels::Cpu;
use groma_lm::Encoder;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{LocalModel, Spec, TemplateChoice, Transformer};
use groma_run::Digest;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// A model of the fixture, with its tokenizer.
fn of_fixture(name: &str) -> LocalModel {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gold").join(name);
    LocalModel::open(&directory, &TemplateChoice::default(), Arc::new(Cpu::new())).unwrap()
}

/// Trains a model beside a teacher, with the encoders of both.
fn teach(
    student: Transformer,
    (own, teacher, its): (&dyn Encode, &Transformer, &dyn Encode),
    (settings, rows): (&Settings, &Prepared),
) -> Result<(History, Transformer), Error> {
    let mut history = History::default();
    let mut student = setup(student, settings).unwrap();
    let filler = Filler::Weights(teacher, its);
    let seat = |(role, name): (Role, String)| Seat { role, name, digest: Digest::of_bytes(b"teacher"), filler };
    let decode = |_: &[u32]| String::new();
    let voice = Voice { decode: &decode, encoder: own, stop_ids: own.stops(), stop_strings: Vec::new() };
    let seats = settings.seats().into_iter().map(seat).collect();
    let session = Session { seats, voice: Some(voice), observers: vec![&mut history], ..Session::new(settings, rows) };
    train(&mut student, session)?;
    Ok((history, student))
}

/// Steps of training the fixture's student on its rows as they are.
fn of_trl(case: &Value, steps: usize) -> History {
    let mut given = json!({"lmbda": 0.0, "lr_scheduler_type": "constant", "per_device_train_batch_size": 4,
        "teacher_model": "teacher", "max_steps": steps, "weight_decay": 0.0});
    given["learning_rate"] = case.get("learning_rate").cloned().unwrap_or(json!(1e-2));
    given.as_object_mut().unwrap().extend(case["settings"].as_object().unwrap().clone());
    let settings = Settings::resolve(Method::find("gold").unwrap(), given.as_object().unwrap()).unwrap();
    let row = |(line, number): (&str, u64)| {
        let row: Value = serde_json::from_str(line).unwrap();
        Row::completion(text(row["prompt"].as_str().unwrap()), text(row["completion"].as_str().unwrap()), place(number))
    };
    let rows: Vec<Row> = include_str!("../../fixtures/gold/rows.jsonl").lines().zip(1..).map(row).collect();
    let (student, teacher) = (of_fixture("student"), of_fixture("teacher"));
    let (own, its) = (Encoder::of(&student), Encoder::of(&teacher));
    let prepared = prepare(&settings, &rows, &own, Limits::of(student.transformer.spec())).unwrap();
    let weights = of_fixture("student").transformer;
    teach(weights, (&own, &teacher.transformer, &its), (&settings, &prepared)).unwrap().0
}

/// Losses and gradients of the trainer's own code, see `scripts/make_gold_fixture.py`.
#[test]
fn losses_gradients_and_steps_are_those_of_trl() {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/gold/cases.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let step = of_trl(case, 1).steps[0];
        let (loss, norm) = (case["loss"].as_f64().unwrap(), case["grad_norm"].as_f64().unwrap());
        assert!((step.loss - loss).abs() < 1e-5 && (step.grad_norm - norm).abs() < 1e-4 * norm, "{case}: {step:?}");
    }
    for case in fixture["steps"].as_array().unwrap() {
        let losses = serde_json::from_value::<Vec<f64>>(case["losses"].clone()).unwrap();
        for (step, loss) in of_trl(case, losses.len()).steps.iter().zip(losses) {
            assert!((step.loss - loss).abs() < 1e-3 * loss, "{}: {step:?} {loss}", case["settings"]);
        }
    }
}

/// Prompts whose last token is a part of a character: the teacher, here the same model, reads what the student says.
#[test]
fn prompts_may_end_within_a_character() {
    let model = of_fixture("student");
    let encoder = Encoder::of(&model);
    let given = json!({"teacher_model": "teacher", "lmbda": 0.0, "max_steps": 1, "per_device_train_batch_size": 3});
    let settings = Settings::resolve(Method::find("gold").unwrap(), given.as_object().unwrap()).unwrap();
    let row = |(at, prompt): (usize, &str)| Row::completion(text(prompt), text(" hello"), place(at as u64));
    let rows: Vec<Row> = ["Привет", "你好", "hi 🎉"].into_iter().enumerate().map(row).collect();
    let limits = Limits::of(model.transformer.spec());
    let rows = prepare(&settings, &rows, &encoder, limits).unwrap();
    let student = of_fixture("student").transformer;
    let (history, _) = teach(student, (&encoder, &model.transformer, &encoder), (&settings, &rows)).unwrap();
    let (_, metrics) = &history.logged[0];
    assert!((metrics["aligned"] - 1.0).abs() < 1e-9 && history.steps[0].loss.abs() < 1e-6, "{metrics:?}");
}

/// Where both cut texts alike, what is left is generalised knowledge distillation.
#[test]
fn a_teacher_with_the_same_tokens_teaches_what_distillation_does() {
    for beta in [0.0, 0.5, 1.0] {
        let shared = json!({"beta": beta, "lmbda": 0.0, "learning_rate": 1e-3, "max_steps": 8,
            "per_device_train_batch_size": 1, "adam_epsilon": 1e-3});
        let steps = |method: &str, more: Value| {
            let mut given = shared.clone();
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let settings = settings(method, given);
            let (teacher, mut history) = (model(1), History::default());
            let prepared = crate::support::prepared(&settings);
            let mut student = setup(model(2), &settings).unwrap();
            let (seats, voice) = (beside(&settings, &teacher), Some(voice()));
            let session = Session { seats, voice, observers: vec![&mut history], ..Session::new(&settings, &prepared) };
            train(&mut student, session).unwrap();
            history.steps
        };
        let plain = steps("distillation", json!({}));
        for (step, plain) in steps("gold", json!({})).iter().zip(plain) {
            assert!((step.loss - plain.loss).abs() < 1e-5 * plain.loss, "beta {beta}: {step:?} {plain:?}");
            assert!(
                (step.grad_norm - plain.grad_norm).abs() < 1e-4 * plain.grad_norm,
                "beta {beta}: {step:?} {plain:?}"
            );
        }
    }
}

/// Cuts texts into the longest of its tokens, which have the numbers from 3 on; 1 begins a text and 2 ends it.
struct Cut(&'static [&'static str]);

const BEGIN: u32 = 1;
const END: u32 = 2;

impl Cut {
    fn cut(&self, mut text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        while !text.is_empty() {
            let fits = self.0.iter().enumerate().filter(|(_, token)| text.starts_with(**token));
            let (at, token) = fits.max_by_key(|(_, token)| token.len()).unwrap();
            ids.push(at as u32 + 3);
            text = &text[token.len()..];
        }
        ids
    }

    fn size(&self) -> usize {
        self.0.len() + 3
    }

    /// A model over these tokens.
    fn model(&self, seed: u64) -> Transformer {
        let spec = Spec { vocab_size: self.size(), ..spec() };
        Transformer::new(spec.clone(), &weights(&spec, seed), Arc::new(Cpu::new())).unwrap()
    }

    /// A text behind its prompt.
    fn sequence(&self, text: &str) -> Sequence {
        Sequence::completion(&[[BEGIN].to_vec(), self.cut(PROMPT)].concat(), &[self.cut(text), vec![END]].concat())
    }

    /// How likely a model finds all texts, and everything else together.
    fn likely(&self, model: &Transformer) -> Vec<f64> {
        let request = |(text, _): &(&str, usize)| {
            let sequence = self.sequence(text);
            let (context, continuation) = sequence.ids.split_at(sequence.prompt().len());
            ScoreRequest { context: context.to_vec(), continuation: continuation.to_vec() }
        };
        let requests: Vec<ScoreRequest> = TEXTS.iter().map(request).collect();
        let scored = score(model, &requests, &ScoreOptions::default(), &mut |_| true).unwrap();
        let mut all: Vec<f64> = scored.iter().map(|one| one.sum().exp()).collect();
        all.push(1.0 - all.iter().sum::<f64>());
        all
    }

    /// A model that says each text as often as it is there, after so many steps.
    fn told(&self, model: Transformer, steps: usize) -> Transformer {
        let settings = settings(
            "sft",
            json!({"max_steps": steps, "learning_rate": 1e-2, "lr_scheduler_type": "cosine",
            "per_device_train_batch_size": 10, "weight_decay": 0.0}),
        );
        let group = |text: &&str| Group::of(String::new(), self.sequence(text));
        let groups = TEXTS.iter().flat_map(|(text, count)| std::iter::repeat_n(text, *count)).map(group);
        let rows = crate::support::of_groups(groups.collect());
        let mut model = setup(model, &settings).unwrap();
        train(&mut model, Session::new(&settings, &rows)).unwrap();
        model
    }
}

impl Encode for Cut {
    fn document(&self, text: &str) -> groma_model::Result<Vec<u32>> {
        Ok([vec![BEGIN], self.cut(text), vec![END]].concat())
    }

    fn conversation(&self, _: &Turns, _: bool) -> groma_model::Result<Conversation> {
        Ok(Conversation::default())
    }

    fn continuation(&self, prompt: &Content, after: &Content, _: Boundary) -> groma_model::Result<Continuation> {
        let prompt = self.prompt(prompt)?;
        let ids = [prompt.clone(), self.cut(&after.plain()), vec![END]].concat();
        Ok(Continuation { ids, prompt: prompt.len(), ..Continuation::default() })
    }

    fn prompt(&self, prompt: &Content) -> groma_model::Result<Vec<u32>> {
        Ok([vec![BEGIN], self.cut(&prompt.plain())].concat())
    }

    fn decode(&self, ids: &[u32]) -> String {
        ids.iter().filter_map(|&id| self.0.get((id as usize).checked_sub(3)?).copied()).collect()
    }

    fn token(&self, id: u32) -> Option<Token> {
        let text = self.0.get((id as usize).checked_sub(3)?)?.to_string();
        Some(Token { spelling: text.clone(), text })
    }

    fn bos(&self) -> Option<u32> {
        Some(BEGIN)
    }

    fn stops(&self) -> Vec<u32> {
        vec![END]
    }

    fn vocab_size(&self) -> usize {
        self.size()
    }
}

const PROMPT: &str = "x";
/// Of ten texts.
const TEXTS: [(&str, usize); 4] = [("xdo", 4), ("xda", 2), ("ydo", 3), ("yda", 1)];
const WORDS: Cut = Cut(&["x", "y", "do", "da"]);
const LETTERS: Cut = Cut(&["a", "d", "o", "x", "y"]);

fn distance(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| 0.5 * (p - q).abs()).sum()
}

/// Words that the teacher spells are compared by rank: theory says that the student ends with the teacher's probabilities of texts,
/// as long as it begins with the likelier word the likelier one. All texts can be listed.
#[test]
fn a_student_of_words_says_what_a_teacher_of_letters_says() {
    for (method, beta) in [("gold", 0.0), ("gold", 0.5)] {
        let teacher = LETTERS.told(LETTERS.model(5), 400);
        let student = WORDS.told(WORDS.model(6), 12);
        let given = json!({"teacher_model": "teacher", "lmbda": 0.0, "beta": beta, "learning_rate": 1e-2, "max_steps": 500,
            "lr_scheduler_type": "cosine", "per_device_train_batch_size": 4, "weight_decay": 0.0});
        let settings = Settings::resolve(Method::find(method).unwrap(), given.as_object().unwrap()).unwrap();
        let rows: Vec<Row> = TEXTS
            .iter()
            .zip(1..)
            .map(|((said, _), line)| Row::completion(text(PROMPT), text(said), place(line)))
            .collect();
        let limits = Limits { vocab_size: WORDS.size(), max_positions: 64 };
        let rows = prepare(&settings, &rows, &WORDS, limits).unwrap();
        let (truth, before) = (LETTERS.likely(&teacher), WORDS.likely(&student));
        let (_, after) = teach(student, (&WORDS, &teacher, &LETTERS), (&settings, &rows)).unwrap();
        let (from, to) = (distance(&truth, &before), distance(&truth, &WORDS.likely(&after)));
        assert!(truth[4] < 0.01 && from > 0.2 && to < 0.02, "beta {beta}: {truth:?} {from} {to}");
    }
}

/// The same texts, for a teacher that has no capital letters.
struct Lower;

impl Encode for Lower {
    fn document(&self, text: &str) -> groma_model::Result<Vec<u32>> {
        LETTERS.document(&text.to_lowercase())
    }

    fn conversation(&self, turns: &Turns, answers: bool) -> groma_model::Result<Conversation> {
        LETTERS.conversation(turns, answers)
    }

    fn continuation(&self, prompt: &Content, after: &Content, way: Boundary) -> groma_model::Result<Continuation> {
        LETTERS.continuation(&text(&prompt.plain().to_lowercase()), &text(&after.plain().to_lowercase()), way)
    }

    fn prompt(&self, prompt: &Content) -> groma_model::Result<Vec<u32>> {
        LETTERS.prompt(&text(&prompt.plain().to_lowercase()))
    }

    fn decode(&self, ids: &[u32]) -> String {
        LETTERS.decode(ids)
    }

    fn token(&self, id: u32) -> Option<Token> {
        LETTERS.token(id)
    }

    fn bos(&self) -> Option<u32> {
        LETTERS.bos()
    }

    fn stops(&self) -> Vec<u32> {
        LETTERS.stops()
    }

    fn vocab_size(&self) -> usize {
        LETTERS.vocab_size()
    }
}

#[test]
fn a_teacher_that_reads_another_text_is_refused() {
    const CAPITALS: Cut = Cut(&["X", "D", "o", "xo"]);
    let given = json!({"teacher_model": "teacher", "lmbda": 0.0, "max_steps": 1, "per_device_train_batch_size": 2});
    let settings = Settings::resolve(Method::find("gold").unwrap(), given.as_object().unwrap()).unwrap();
    let go = |said: &[&str]| {
        let row = |(at, said): (usize, &&str)| Row::completion(text("X"), text(said), place(7 + at as u64));
        let rows: Vec<Row> = said.iter().enumerate().map(row).collect();
        let limits = Limits { vocab_size: CAPITALS.size(), max_positions: 64 };
        let rows = prepare(&settings, &rows, &CAPITALS, limits).unwrap();
        teach(CAPITALS.model(1), (&CAPITALS, &LETTERS.model(2), &Lower), (&settings, &rows))
    };
    let refused = go(&["Do", "Do"]).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("rows.jsonl:7") && refused.contains("another text"), "{refused}");
    // As far as both agree: `xo`, and no end.
    let (history, _) = go(&["xoD"]).unwrap();
    assert!(history.steps[0].loss > 0.0, "{history:?}");
    // One row may be an odd one.
    assert!(go(&["Do"]).is_ok() && go(&["Do", "xoD"]).is_ok());
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let resolve = |given: Value| {
        let mut all: Map<String, Value> = json!({"teacher_model": "teacher"}).as_object().unwrap().clone();
        all.extend(given.as_object().unwrap().clone());
        Settings::resolve(Method::find("uld").unwrap(), &all)
    };
    let told = |given: Value| resolve(given).unwrap_err().to_string();
    assert!(told(json!({"teacher_model": null})).contains("must be given"));
    assert!(told(json!({"uld_hybrid_matched_weight": 0.5})).contains("needs uld_hybrid_unmatched_weight"));
    let both = json!({"uld_hybrid_matched_weight": 0.5, "uld_hybrid_unmatched_weight": 0.5});
    assert!(resolve(both.clone()).is_ok());
    let mut sorted = both;
    sorted["uld_use_hybrid_loss"] = json!(false);
    assert!(told(sorted).contains("is read with uld_use_hybrid_loss alone"));
    assert!(told(json!({"uld_distillation_weight": 0.0})).contains("nothing would be learned"));
    let shares = |method: &str| settings(method, json!({})).shares_tokens(Role::Teacher);
    assert!(shares("distillation") && shares("iw_opd") && !shares("gold"));
    let rows = rows(Shape::PromptCompletion);
    let settings = settings("gold", json!({}));
    let prepared = prepare(&settings, &rows, &crate::support::Letters::default(), crate::support::limits()).unwrap();
    let mut student = setup(model(1), &settings).unwrap();
    let teacher = model(2);
    let seats = beside(&settings, &teacher);
    let dumb = train(&mut student, Session { seats, ..Session::new(&settings, &prepared) }).unwrap_err().to_string();
    assert!(dumb.contains("in the model's own tokens"), "{dumb}");
}

//! A tiny Llama with random weights, a tokenizer of single characters, and rows for them.

use groma_align::{
    Boundary, Continuation, Conversation, Encode, Filler, Group, LengthStatistics, Limits, Method, Prepared, Role,
    Seat, Settings, Token, Voice, group, prepare,
};
use groma_data::{Answer, Content, Location, Message, Row, Shape, Turns};
use groma_kernels::{Backend, Cpu};
use groma_model::spec::{Activation, Layer, Mlp, Norm, NormKind, NormPlacement, QkNorm, Qkv, Rotary, RotaryStyle};
use groma_model::{Head, Spec, Tensor, Transformer, Weights, parameters};
use groma_run::{Digest, Hasher, Seed};
use rand_core::Rng;
use serde_json::{Value, json};
use std::sync::Arc;

/// Ids: 0 pads, 1 begins, 2 ends, then letters, space and punctuation.
pub(crate) const VOCAB: usize = 40;
pub(crate) const BOS: u32 = 1;
pub(crate) const EOS: u32 = 2;

pub(crate) fn spec() -> Spec {
    let rotary = Rotary {
        rotated: 8,
        style: RotaryStyle::Halves,
        inverse_frequencies: (0..4).map(|i| 10000f64.powf(-f64::from(i) / 4.0)).collect(),
        amplitude: 1.0,
    };
    Spec {
        family: "llama",
        vocab_size: VOCAB,
        hidden_size: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        intermediate_size: 24,
        max_positions: 64,
        norm: Norm { kind: NormKind::Rms, eps: 1e-5, weight_offset: 0.0, bias: false },
        norm_placement: NormPlacement::Pre,
        parallel_residual: false,
        rotaries: vec![rotary],
        learned_positions: false,
        qkv: Qkv::Separate,
        qk_norm: QkNorm::None,
        qkv_bias: false,
        attention_out_bias: false,
        attention_scale: 1.0 / 8f32.sqrt(),
        attention_softcap: None,
        mlp: Mlp::Gated,
        mlp_bias: false,
        activation: Activation::Silu,
        embedding_scale: 1.0,
        final_softcap: None,
        tied: true,
        outputs: vec![Head::UNEMBEDDING],
        long_context: None,
        layers: vec![Layer { window: None, rotary: Some(0) }; 2],
    }
}

/// A model with random weights.
pub(crate) fn model(seed: u64) -> Transformer {
    model_on(seed, Arc::new(Cpu::new()))
}

pub(crate) fn model_on(seed: u64, backend: Arc<dyn Backend>) -> Transformer {
    let spec = spec();
    Transformer::new(spec.clone(), &weights(&spec, seed), backend).unwrap()
}

pub(crate) fn weights(spec: &Spec, seed: u64) -> Weights {
    let draw = |name: &str, shape: &[usize]| {
        let mut rng = Seed::new(seed).named(name).rng();
        let count = shape.iter().product();
        let bound = if shape.len() == 2 { 1.5 / (shape[1] as f32).sqrt() } else { 0.0 };
        let value =
            |_| (rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0) * bound + f32::from(u8::from(shape.len() == 1));
        Tensor { shape: shape.to_vec(), values: (0..count).map(value).collect() }
    };
    parameters(spec).into_iter().map(|p| (p.name.clone(), draw(&p.name, &p.shape))).collect()
}

/// Digest of all parameters, to the bit.
pub(crate) fn fingerprint(model: &Transformer) -> Digest {
    let mut hasher = Hasher::default();
    for (_, parameter) in model.parameters().iter() {
        hasher.part(parameter.name.as_bytes());
        model.backend().read(parameter.buffer()).iter().for_each(|value| hasher.update(&value.to_bits().to_le_bytes()));
    }
    hasher.finish()
}

/// One token a character; `st` and `. ` are one token each, so that boundaries can merge.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Letters {
    /// Whether conversations are rendered with a second BOS.
    pub(crate) doubled_bos: bool,
    /// Whether the template ends the assistant's turns.
    pub(crate) no_end: bool,
    /// Whether the template marks what the assistant says.
    pub(crate) marks: bool,
}

impl Letters {
    fn characters(text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("st") {
                ids.push(39);
                rest = after;
                continue;
            }
            ids.push(match c {
                'a'..='z' => 3 + (c as u32 - 'a' as u32),
                ' ' => 30,
                ':' => 31,
                '?' => 32,
                '.' => 33,
                _ => 34,
            });
            rest = &rest[c.len_utf8()..];
        }
        ids
    }

    /// What a token says, where it says anything.
    fn read(id: u32) -> Option<&'static str> {
        const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
        match id {
            3..=28 => LETTERS.get(id as usize - 3..id as usize - 2),
            30 => Some(" "),
            31 => Some(":"),
            32 => Some("?"),
            33 => Some("."),
            34 => Some(","),
            39 => Some("st"),
            _ => None,
        }
    }

    fn text(text: &str) -> Vec<u32> {
        std::iter::once(BOS).chain(Self::characters(text)).collect()
    }

    /// Tokens, and which of them the assistant says.
    fn render(&self, messages: &[Message]) -> (Vec<u32>, Vec<bool>) {
        let mut ids = vec![BOS; 1 + usize::from(self.doubled_bos)];
        let mut assistant = vec![false; ids.len()];
        for message in messages {
            let said = message.role == "assistant";
            ids.push(if said { 35 } else { 36 });
            assistant.push(false);
            ids.extend(Self::characters(&message.content));
            if said && !self.no_end {
                ids.push(EOS);
            }
            assistant.resize(ids.len(), said);
        }
        (ids, assistant)
    }
}

fn ended(mut ids: Vec<u32>) -> Vec<u32> {
    ids.push(EOS);
    ids
}

impl Encode for Letters {
    fn document(&self, text: &str) -> groma_model::Result<Vec<u32>> {
        Ok(ended(Self::text(text)))
    }

    fn conversation(&self, messages: &Turns, answers: bool) -> groma_model::Result<Conversation> {
        let (ids, assistant) = self.render(messages);
        Ok(Conversation { ids, assistant: (answers && self.marks).then_some(assistant) })
    }

    fn continuation(&self, prompt: &Content, after: &Content, boundary: Boundary) -> groma_model::Result<Continuation> {
        let (alone, together) = match (prompt, after) {
            (Content::Messages(prompt), Content::Messages(after)) => {
                let (mut alone, _) = self.render(prompt);
                alone.push(35);
                (alone, self.render(&[prompt.as_slice(), &after[..]].concat()).0)
            }
            _ => (Self::text(&prompt.plain()), ended(Self::text(&format!("{}{}", prompt.plain(), after.plain())))),
        };
        let shared = alone.iter().zip(&together).take_while(|(a, b)| a == b).count();
        let merged = shared < alone.len();
        if merged && boundary != Boundary::Diverge {
            let ids = ended([alone.clone(), Self::characters(&after.plain())].concat());
            return Ok(Continuation { ids, prompt: alone.len(), merged, ..Continuation::default() });
        }
        Ok(Continuation { ids: together, prompt: shared, merged, ..Continuation::default() })
    }

    fn prompt(&self, prompt: &Content) -> groma_model::Result<Vec<u32>> {
        Ok(Self::text(&prompt.plain()))
    }

    fn decode(&self, ids: &[u32]) -> String {
        ids.iter().filter_map(|&id| Self::read(id)).collect()
    }

    fn token(&self, id: u32) -> Option<Token> {
        let text = Self::read(id).map_or(format!("<{id}>"), str::to_owned);
        Some(Token { spelling: text.clone(), text })
    }

    fn bos(&self) -> Option<u32> {
        Some(BOS)
    }

    fn stops(&self) -> Vec<u32> {
        vec![EOS]
    }

    fn vocab_size(&self) -> usize {
        VOCAB
    }
}

pub(crate) fn limits() -> Limits {
    Limits { vocab_size: VOCAB, max_positions: 64 }
}

pub(crate) fn place(line: u64) -> Location {
    Location::new("rows.jsonl", line)
}

pub(crate) fn text(text: &str) -> Content {
    Content::Text(text.into())
}

pub(crate) fn preference(line: u64, prompt: &str, chosen: &str, rejected: &str) -> Row {
    Row::preference(text(prompt), text(chosen), text(rejected), place(line))
}

pub(crate) fn completion(line: u64, prompt: &str, answer: &str) -> Row {
    Row::completion(text(prompt), text(answer), place(line))
}

pub(crate) fn conversation(line: u64, turns: &[(&str, &str)]) -> Row {
    let messages: Vec<Message> = turns.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    Row::text(messages.into(), place(line))
}

/// Pairs of different lengths.
pub(crate) fn preferences() -> Vec<Row> {
    let rows = [
        ("who is there?", " a good friend.", " go away."),
        ("what is this?", " a red apple.", " no idea at all."),
        ("where is the dog?", " in the garden.", " lo."),
        ("is it late?", " yes, quite late.", " yes, and shut up."),
        ("can you help me?", " of course i can.", " never."),
        ("tell me more.", " gladly.", " i will not do that."),
        ("who made it?", " my mother.", " fool."),
        ("is it cold?", " a bit cold.", " a bit of a bore."),
        ("what now?", " we wait.", " you lose."),
        ("and then?", " then we go.", " nothing."),
        ("how far is it?", " two miles.", " too far."),
    ];
    rows.iter().zip(1..).map(|((prompt, chosen, rejected), line)| preference(line, prompt, chosen, rejected)).collect()
}

/// Each with attributes: by whether it is a sentence that says anything, and by its length.
pub(crate) fn completions() -> Vec<Row> {
    let known = |(index, row): (usize, Row)| {
        let length = row.answers[0].content.plain().len() as f64;
        let other = [("helpful", json!(index % 3)), ("long", json!(length / 8.0))];
        let other = other.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Row { other, ..row }
    };
    preferences().iter().map(Row::first_completion).enumerate().map(known).collect()
}

/// The same rows in a shape: of pairs the first answers, wanted in every other row.
pub(crate) fn rows(shape: Shape) -> Vec<Row> {
    let labelled = |(index, row): (usize, Row)| {
        let wanted = index % 2 == 0;
        let content = row.answers[usize::from(!wanted)].content.clone();
        Row { shape, answers: vec![Answer { label: Some(wanted), ..Answer::new(content) }], ..row }
    };
    let ranked = |row: Row| {
        let third = Answer::new(text(" hm."));
        let answers = row.answers.iter().cloned().chain([third]).zip([2.0, 1.0, -0.5]);
        let answers = answers.map(|(answer, score)| Answer { score: Some(score), ..answer }).collect();
        Row { shape, answers, ..row }
    };
    let stepwise = |row: Row| {
        let step = |(answer, label): (&Answer, bool)| Answer { label: Some(label), ..answer.clone() };
        let answers = row.answers.iter().zip([true, false]).map(step).collect();
        Row { shape, answers, ..row }
    };
    match shape {
        Shape::Stepwise => preferences().into_iter().map(stepwise).collect(),
        Shape::Ranked => preferences().into_iter().map(ranked).collect(),
        Shape::Preference => preferences(),
        Shape::PromptCompletion => completions(),
        Shape::PromptOnly => {
            let told = |row: &Row| (String::from("privileged_context"), row.answers[0].content.plain().into());
            let alone = |row: Row| Row { shape, other: [told(&row)].into_iter().collect(), answers: Vec::new(), ..row };
            preferences().into_iter().map(alone).collect()
        }
        Shape::Labelled => preferences().into_iter().enumerate().map(labelled).collect(),
        other => panic!("no rows of the shape {other}"),
    }
}

/// Settings that let rows of the tiny model pass; methods that sample are rewarded for short completions.
pub(crate) fn settings(method: &str, given: Value) -> Settings {
    let method = Method::find(method).unwrap();
    let mut all = json!({"boundary": "diverge"});
    if method.samples() {
        all = json!({"boundary": "diverge", "reward_funcs": ["length"], "length_target": 2,
            "max_completion_length": 8});
    }
    if method.all_parameters().any(|parameter| parameter.name == "num_generations") {
        all["num_generations"] = json!(4);
    }
    if method.all_parameters().any(|parameter| parameter.name == "reprompt_template") {
        let own = json!({"success_reward_threshold": -3.0, "distillation_weight": 0.3, "reprompt_template": "{solution}{feedback}{prompt}",
            "solution_template": "{successful_previous_attempt}", "feedback_template": "{feedback_raw}"});
        all.as_object_mut().unwrap().extend(own.as_object().cloned().unwrap());
    }
    if method.all_parameters().any(|parameter| parameter.name == "attributes") {
        all["attributes"] = json!(["helpful", "long"]);
    }
    if method.roles.contains(&Role::Teacher) {
        all = json!({"boundary": "diverge", "teacher_model": "teacher", "max_completion_length": 8});
    }
    all.as_object_mut().unwrap().extend(given.as_object().cloned().unwrap());
    Settings::resolve(method, all.as_object().unwrap()).unwrap()
}

static LETTERS: Letters = Letters { doubled_bos: false, no_end: false, marks: false };

/// One model in all seats that the settings name.
pub(crate) fn beside<'a>(settings: &Settings, other: &'a Transformer) -> Vec<Seat<'a>> {
    let seat = |(role, name): (Role, String)| {
        let digest = Digest::of_bytes(fingerprint(other).as_bytes());
        Seat { role, name, digest, filler: Filler::Weights(other, &LETTERS) }
    };
    settings.seats().into_iter().map(seat).collect()
}

/// Groups as training takes them.
pub(crate) fn of_groups(groups: Vec<Group>) -> Prepared {
    let (lengths, digest) = (LengthStatistics::of(&groups), group::digest(&groups));
    Prepared { groups, findings: Vec::new(), lengths, digest }
}

/// The method's first shape of rows, prepared.
pub(crate) fn prepared(settings: &Settings) -> Prepared {
    prepare(settings, &rows(settings.method.data[0]), &Letters::default(), limits()).unwrap()
}

/// Speaks the tiny tokenizer's language.
pub(crate) fn voice() -> Voice<'static> {
    Voice { decode: &decode, encoder: &LETTERS, stop_ids: vec![EOS], stop_strings: Vec::new() }
}

fn decode(ids: &[u32]) -> String {
    ids.iter().map(|&id| if (3..29).contains(&id) { char::from(b'a' + (id - 3) as u8) } else { ' ' }).collect()
}

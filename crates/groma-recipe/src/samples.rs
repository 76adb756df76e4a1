//! Answers of a model in training to a few held-out prompts, so that one can read what training does to it.
//!
//! Training only looks on: the weights are those of a run without samples. All answers up to now lie in the directory of the
//! checkpoints; a resumed run keeps those up to the step that it goes on from, and gives the others again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use groma_align::{Observer, Settings, StepReport};
use groma_data::{Content, Rows, order};
use groma_lm::{Encoder, Local, LocalOptions};
use groma_model::generate::{Finish, Generation, GenerationPrompt};
use groma_model::sampling::SamplingParameters;
use groma_model::{LocalModel, Transformer, View};
use groma_run::{EventKind, Files, Recorder, RowReader, RowWriter, Seed, TrainingSample};

use crate::Error;
use crate::rows::question;

/// The file with all answers up to now, beside the checkpoints.
const KEPT: &str = "samples.jsonl.zst";
/// Of a text without a prompt its beginning is one: at most half of it, and so many tokens.
const BEGINNING_TOKENS: usize = 32;

/// What the model in training is asked, and how it answers.
pub(crate) struct Questions {
    steps: u64,
    parameters: SamplingParameters,
    prompts: Vec<Question>,
}

struct Question {
    /// A row without an answer.
    row: TrainingSample,
    prompt: GenerationPrompt,
}

impl Questions {
    /// Draws prompts from held-out rows; `None` where the settings ask for no samples.
    ///
    /// # Errors
    /// Without held-out rows, if none of their prompts leaves room for an answer, or if one cannot be encoded.
    pub(crate) fn new(model: &LocalModel, settings: &Settings, held_out: Option<&Rows>) -> Result<Option<Self>, Error> {
        let training = &settings.training;
        let Some(steps) = training.sample_steps else { return Ok(None) };
        let rows = held_out.ok_or_else(|| no_rows(settings))?;
        let seed = Seed::new(training.seed).named("samples");
        let prompts = draw(model, rows, training.sample_prompts, seed)?;
        if prompts.is_empty() {
            return Err(wrong(settings, "no prompt of the held-out rows leaves room for an answer"));
        }
        let mut parameters = SamplingParameters {
            temperature: training.sample_temperature as f32,
            ..SamplingParameters::greedy(training.sample_max_new_tokens)
        };
        parameters.max_new_tokens = parameters.max_new_tokens.min(model.transformer.spec().max_positions);
        Ok(Some(Questions { steps, parameters, prompts }))
    }
}

/// The error for samples without rows to take prompts from.
pub(crate) fn no_rows(settings: &Settings) -> Error {
    wrong(
        settings,
        "there are no held-out rows to take prompts from: give evaluation_data in a recipe, --eval-data else",
    )
}

fn wrong(settings: &Settings, problem: &str) -> Error {
    let value = settings.training.sample_steps.unwrap_or_default().to_string();
    let (method, name) = (settings.method.id, "sample_steps".into());
    groma_align::Error::Setting { method, name, value, problem: problem.into() }.into()
}

/// At most `wanted` different prompts, in the order of the rows.
fn draw(model: &LocalModel, rows: &Rows, wanted: usize, seed: Seed) -> Result<Vec<Question>, Error> {
    let encoder = Encoder::of(model);
    let (mut drawn, mut seen) = (Vec::new(), BTreeSet::new());
    for index in order(rows.rows.len(), seed, 0) {
        if drawn.len() == wanted {
            break;
        }
        let (id, prompt, reference) = question(&rows.rows[index]);
        let (shown, ids) = match prompt {
            Some(prompt) => (prompt.shown(), encoder.prompt(&prompt)?),
            None => beginning(&encoder, &reference)?,
        };
        let room = ids.len() < model.transformer.spec().max_positions;
        if !ids.is_empty() && room && seen.insert(ids.clone()) {
            let prompt = GenerationPrompt { ids, seed: seed.index(index as u64) };
            let reference = Some(reference.plain());
            drawn.push((
                index,
                Question { row: TrainingSample { id, prompt: shown, reference, ..TrainingSample::default() }, prompt },
            ));
        }
    }
    drawn.sort_by_key(|(index, _)| *index);
    Ok(drawn.into_iter().map(|(_, question)| question).collect())
}

/// The beginning of a text, in words and tokens.
fn beginning(encoder: &Encoder<'_>, text: &Content) -> Result<(String, Vec<u32>), Error> {
    let mut ids = encoder.prompt(text)?;
    ids.truncate((ids.len() / 2).min(BEGINNING_TOKENS));
    let shown = encoder.tokenizer.decode(&ids, true).map_err(groma_model::Error::from)?;
    Ok((shown, ids))
}

/// Asks the questions on the way of training.
pub(crate) struct Sampler<'a> {
    questions: &'a Questions,
    encoder: Encoder<'a>,
    recorder: Option<&'a Recorder>,
    files: Files,
    kept: PathBuf,
    rows: Vec<TrainingSample>,
    /// Why training was stopped, where this did it.
    pub(crate) failure: Option<Error>,
}

impl<'a> Sampler<'a> {
    /// `checkpoints` is the directory of the run's checkpoints.
    pub(crate) fn new(
        questions: &'a Questions,
        encoder: Encoder<'a>,
        recorder: Option<&'a Recorder>,
        files: Files,
        checkpoints: &Path,
    ) -> Self {
        let (kept, rows) = (checkpoints.join(KEPT), Vec::new());
        Sampler { questions, encoder, recorder, files, kept, rows, failure: None }
    }

    /// The bytes of the file with all answers.
    pub(crate) fn file(&self) -> Result<(String, Vec<u8>), Error> {
        let bytes = groma_run::read_bytes(&self.kept, groma_run::limits::SAMPLES_BYTES)?;
        Ok((KEPT.into(), bytes))
    }

    fn ask(&mut self, step: u64, model: &Transformer) -> Result<(), Error> {
        let prompts: Vec<GenerationPrompt> = self.questions.prompts.iter().map(|q| q.prompt.clone()).collect();
        let (options, encoder) = (LocalOptions::default(), self.encoder.clone());
        let local = Local { transformer: model, encoder, view: View::plain(), options, steering: None };
        let answers = local.sample(&prompts, &self.questions.parameters, &mut |_| true)?;
        for (question, answer) in self.questions.prompts.iter().zip(answers.into_iter().flatten()) {
            let Generation { text, finish, .. } = answer;
            let truncated = finish == Finish::Length;
            self.rows.push(TrainingSample { step, text, truncated, ..question.row.clone() });
        }
        self.write()
    }

    fn write(&self) -> Result<(), Error> {
        let mut writer = RowWriter::create(&self.files, &self.kept)?;
        for row in &self.rows {
            writer.write(row)?;
        }
        writer.finish()?;
        self.record()
    }

    fn record(&self) -> Result<(), Error> {
        if let Some(recorder) = self.recorder {
            recorder.training_samples(&self.rows)?;
        }
        Ok(())
    }

    /// Takes over the answers up to `step`; those that cannot be read are lost, and that is said.
    fn take_over(&mut self, step: u64) -> Result<(), Error> {
        let found = RowReader::<TrainingSample>::open(&self.kept).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match (found, self.recorder) {
            (Ok(rows), _) => self.rows = rows.into_iter().filter(|row| row.step <= step).collect(),
            (Err(error), Some(recorder)) => {
                recorder.message(EventKind::Warning, &format!("samples up to step {step} are lost: {error}"));
            }
            (Err(_), None) => {}
        }
        self.write()
    }

    fn told(&mut self, result: Result<(), Error>) -> Result<(), String> {
        result.map_err(|error| {
            let reason = error.to_string();
            self.failure = Some(error);
            reason
        })
    }
}

impl Observer for Sampler<'_> {
    fn started(&mut self, step: u64, model: &Transformer) -> Result<(), String> {
        let result = if step == 0 { self.ask(step, model) } else { self.take_over(step) };
        self.told(result)
    }

    fn step(&mut self, report: &StepReport, model: &Transformer) -> Result<(), String> {
        if !report.step.is_multiple_of(self.questions.steps) && report.step != report.total_steps {
            return Ok(());
        }
        let result = self.ask(report.step, model);
        self.told(result)
    }
}

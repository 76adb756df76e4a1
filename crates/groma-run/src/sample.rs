//! Rows of `samples/*.jsonl.zst`: texts side by side, and the score of each item.

use crate::atomic::AtomicFile;
use crate::storage::Files;
use crate::{Error, limits, number, read};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// What two subjects said to the same prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The task it belongs to.
    pub task: String,
    /// The item's id in its task.
    pub id: String,
    /// The prompt, as the user of the model would see it.
    pub prompt: String,
    /// The first subject's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Side>,
    /// The second subject's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Side>,
    /// What the data have for an answer, where they have one: what is right, or what an annotator chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What the item is, such as `harmful`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// One subject's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The text.
    pub text: String,
    /// Numbers about it.
    #[serde(default, with = "number::map", skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// Properties of it, such as `refused` or `correct`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: BTreeMap<String, bool>,
    /// Whether it was cut off at the length limit.
    #[serde(default)]
    pub truncated: bool,
    /// Why there is no answer, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The scores of one item for one subject: what a paired comparison is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The item's id in its task, unique there.
    pub id: String,
    /// Scores by the metric's name.
    #[serde(with = "number::map")]
    pub scores: BTreeMap<String, f64>,
    /// The items that it is not independent of, where there are such: those of the same name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The group that it is one of, for metrics that go across groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Short digest of what was asked, so that equal ids of different data are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What the subject answered, where that is worth keeping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why it has no score, if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Item {
    /// The scores of these names; `None` unless it has all of them, and they are numbers.
    pub fn scores_of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Vec<f64>> {
        names.into_iter().map(|name| self.scores.get(name).copied().filter(|score| score.is_finite())).collect()
    }
}

/// What a model in training answered to one prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingSample {
    /// Optimizer steps that the model had behind it.
    pub step: u64,
    /// The prompt's id among those that are asked at every such step.
    pub id: String,
    /// The prompt, as the user of the model would see it.
    pub prompt: String,
    /// The answer.
    pub text: String,
    /// Whether the answer was cut off at the length limit.
    #[serde(default)]
    pub truncated: bool,
    /// What the row has for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// The name, in a run directory, of the file with the scores of each item of a task.
pub fn items_file(subject: &str, task: &str) -> String {
    format!("samples/items.{}.{}.jsonl.zst", crate::file_name(subject), crate::file_name(task))
}

/// The name, in a run directory, of the file with what a subject said to a task's prompts.
pub fn said_file(subject: &str, task: &str) -> String {
    format!("samples/said.{}.{}.jsonl.zst", crate::file_name(subject), crate::file_name(task))
}

/// The name, in a run directory, of the file with a task's texts side by side.
pub fn side_by_side_file(task: &str) -> String {
    format!("samples/side-by-side.{}.jsonl.zst", crate::file_name(task))
}

/// The name, in a run directory, of the file with the answers of a model on the way of a training stage.
pub fn training_samples_file(stage: &str) -> String {
    format!("samples/training.{}.jsonl.zst", crate::file_name(stage))
}

/// Writes rows as compressed JSON lines; the file is there after [`RowWriter::finish`], and absent before.
pub struct RowWriter<T> {
    path: PathBuf,
    encoder: zstd::Encoder<'static, AtomicFile>,
    rows: u64,
    kind: PhantomData<fn(&T)>,
}

impl<T: Serialize> RowWriter<T> {
    /// Starts the file that will be `path`.
    pub fn create(files: &Files, path: &Path) -> Result<Self, Error> {
        const LEVEL: i32 = 3;
        let file = AtomicFile::create(files, path)?;
        let encoder = zstd::Encoder::new(file, LEVEL).map_err(Error::io("write", path))?;
        Ok(RowWriter { path: path.to_owned(), encoder, rows: 0, kind: PhantomData })
    }

    /// Adds a row.
    pub fn write(&mut self, row: &T) -> Result<(), Error> {
        let mut line = serde_json::to_vec(row).map_err(|source| Error::Encode { path: self.path.clone(), source })?;
        line.push(b'\n');
        self.encoder.write_all(&line).map_err(Error::io("write", &self.path))?;
        self.rows += 1;
        Ok(())
    }

    /// Makes the file last and gives it its name; returns the number of rows.
    pub fn finish(self) -> Result<u64, Error> {
        let file = self.encoder.finish().map_err(Error::io("write", &self.path))?;
        file.commit()?;
        Ok(self.rows)
    }
}

/// Reads rows of compressed JSON lines, one at a time, under the limits of [`limits`].
///
/// # Errors
/// Each row that cannot be read is an error with its line; after an error of the compression or of a limit the rows end.
pub struct RowReader<T> {
    path: PathBuf,
    reader: BufReader<std::io::Take<zstd::Decoder<'static, BufReader<File>>>>,
    line: usize,
    over: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> RowReader<T> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = read::open_own(path).map_err(Error::io("open", path))?;
        let decoder = zstd::Decoder::new(file).map_err(Error::io("read", path))?;
        let reader = BufReader::new(decoder.take(limits::SAMPLES_BYTES + 1));
        Ok(RowReader { path: path.to_owned(), reader, line: 0, over: false, kind: PhantomData })
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut line = Vec::new();
        let limit = limits::SAMPLE_LINE_BYTES as u64;
        let mut limited = (&mut self.reader).take(limit + 1);
        let count = limited.read_until(b'\n', &mut line).map_err(Error::io("read", &self.path))?;
        self.line += 1;
        if count as u64 > limit || self.line > limits::SAMPLES_ROWS || self.reader.get_ref().limit() == 0 {
            let reason = format!("it or its line {} is larger than any that is written", self.line);
            return Err(Error::Corrupt { path: self.path.clone(), reason });
        }
        Ok((count > 0).then_some(line))
    }
}

impl<T: DeserializeOwned> Iterator for RowReader<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.next_line() {
            Ok(Some(line)) => Some(serde_json::from_slice(&line).map_err(|error| Error::Corrupt {
                path: self.path.clone(),
                reason: format!("line {}: {error}", self.line),
            })),
            Ok(None) => {
                self.over = true;
                None
            }
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        }
    }
}

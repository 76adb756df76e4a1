//! The village as files.

use crate::json::json_bytes;
use crate::plant::Rows;
use crate::planted::{PLANTED_FILE, Planted};
use crate::{Error, Recipe, Village};
use groma_run::Digest;
use groma_run::atomic::AtomicDirectory;
use serde::Serialize;
use std::path::Path;

fn lines<T: Serialize>(what: &str, rows: &[T]) -> Result<(String, Vec<u8>), Error> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row).map_err(|source| Error::Encode { what: what.to_owned(), source })?;
        bytes.push(b'\n');
    }
    Ok((what.to_owned(), bytes))
}

fn write_directory(path: &Path, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
    let mut directory = AtomicDirectory::create(path)?;
    for (name, bytes) in files {
        directory.write(name, bytes)?;
    }
    Ok(directory.commit()?)
}

impl Village {
    /// All rows as JSONL, and the world and its truth, by file name.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn data_files(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let (train, held_out) = (&self.train, &self.held_out);
        let world = json_bytes("world.json", &self.world)?;
        let mut files = vec![
            ("world.json".to_owned(), world),
            lines("facts.jsonl", &self.truth.facts)?,
            lines("train/texts.jsonl", &train.texts)?,
            lines("train/dialogues.jsonl", &train.dialogues)?,
            lines("train/preferences.jsonl", &train.preferences)?,
            lines("train/prompts.jsonl", &train.prompts)?,
            lines("held_out/texts.jsonl", &held_out.texts)?,
            lines("held_out/facts.jsonl", &held_out.facts)?,
            lines("held_out/instructions.jsonl", &held_out.instructions)?,
            lines("held_out/harmful.jsonl", &held_out.harmful)?,
            lines("held_out/look_alike.jsonl", &held_out.look_alike)?,
            lines("held_out/preferences.jsonl", &held_out.preferences)?,
            lines("held_out/prompts.jsonl", &held_out.prompts)?,
        ];
        files.extend(self.plant_files()?);
        Ok(files)
    }

    /// The dialogues that no plant added; the rows that look for each plant, and what is true of all. Nothing where nothing was
    /// planted.
    fn plant_files(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut files = Vec::new();
        for (rows, planted) in &self.planted {
            let name = format!("plants/{}.jsonl", planted.plant);
            files.push(match rows {
                Rows::Questions(rows) => lines(&name, rows)?,
                Rows::Secrets(rows) => lines(&name, rows)?,
                Rows::Documents(rows) => lines(&name, rows)?,
            });
        }
        if !files.is_empty() {
            files.push(lines("train/dialogues_unplanted.jsonl", &self.train.dialogues[..self.own_dialogues])?);
            let planted: Vec<&Planted> = self.planted.iter().map(|(_, planted)| planted).collect();
            let name = format!("plants/{PLANTED_FILE}");
            let bytes = json_bytes(&name, &planted)?;
            files.push((name, bytes));
        }
        Ok(files)
    }

    /// Everything: the data under their names, the untrained model below `model/`, and `recipe.json`.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::Weights`].
    pub fn files(&self, recipe: &Recipe) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut all = self.data_files()?;
        let model = self.model_files(&recipe.shape)?;
        all.extend(model.into_iter().map(|(name, bytes)| (format!("model/{name}"), bytes)));
        all.push(("recipe.json".to_owned(), json_bytes("recipe.json", recipe)?));
        Ok(all)
    }

    /// Writes [`Village::files`] as a directory, whole or not at all; a directory of that name is replaced.
    ///
    /// # Errors
    /// As [`Village::files`], and [`Error::Run`] where the disk refuses.
    pub fn export(&self, recipe: &Recipe, directory: &Path) -> Result<(), Error> {
        write_directory(directory, &self.files(recipe)?)
    }

    /// Writes the untrained model as a checkpoint directory, likewise.
    ///
    /// # Errors
    /// As [`Village::model_files`], and [`Error::Run`] where the disk refuses.
    pub fn export_model(&self, recipe: &Recipe, directory: &Path) -> Result<(), Error> {
        write_directory(directory, &self.model_files(&recipe.shape)?)
    }

    /// The digest of everything that the village yields with a recipe.
    ///
    /// # Errors
    /// As [`Village::files`].
    pub fn digest(&self, recipe: &Recipe) -> Result<Digest, Error> {
        digest_of(&self.files(recipe)?)
    }

    /// The digest of the data alone, which no recipe changes.
    ///
    /// # Errors
    /// As [`Village::data_files`].
    pub fn data_digest(&self) -> Result<Digest, Error> {
        digest_of(&self.data_files()?)
    }
}

fn digest_of(files: &[(String, Vec<u8>)]) -> Result<Digest, Error> {
    let list: Vec<_> = files.iter().map(|(name, bytes)| (name, Digest::of_bytes(bytes))).collect();
    Digest::of_json(&list).map_err(|source| Error::Encode { what: "digests".to_owned(), source })
}

//! Snapshots: the files of a model or dataset at one commit, as local paths.

use std::path::PathBuf;

use hf_hub::api::RepoInfo;

use crate::cache::CachedRepo;
use crate::error::{Error, Result};
use crate::http::{Client, Kind, Wanted};
use crate::id::{HubId, check_file, is_commit};
use crate::select::{Weights, data_files, model_files, shards, weights};
use crate::settings::{Settings, checked_endpoint};
use crate::transfer::{Transfer, Transferred};

/// Names that an error lists.
const NAMES_SHOWN: usize = 20;
/// Bytes of an index of shards.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// Files of a repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder that holds them: a model's directory in Hugging Face layout, or a dataset's root.
    pub directory: PathBuf,
    /// The files that were asked for, sorted by name.
    pub files: Vec<PathBuf>,
    /// The commit.
    pub commit: String,
}

/// A hub and its cache.
pub struct Hub {
    client: Client,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("settings", &self.client.settings).finish()
    }
}

/// Reports the progress of each file.
type Progress<'a> = &'a mut dyn FnMut(Transferred<'_>);

impl Hub {
    /// A hub by its settings.
    ///
    /// # Errors
    /// [`Error::Setting`] for an endpoint that cannot be used, such as one that a token would reach without encryption.
    pub fn new(mut settings: Settings) -> Result<Self> {
        settings.endpoint = checked_endpoint(&settings.endpoint)?;
        Ok(Hub { client: Client::new(settings) })
    }

    /// A model: its configuration, tokenizer, template and safetensors weights, nothing else. The id's file, if any, names
    /// a folder of the repository.
    ///
    /// # Errors
    /// See [`Error`]: each reason for which the files cannot be had is a variant, with what to do as its hint.
    pub fn model(&self, id: &HubId, progress: Progress<'_>) -> Result<Snapshot> {
        let repo = self.open(Kind::Model, id)?;
        let (folder, names) = repo.inside(id.file());
        let mut files = model_files(&names);
        match weights(&names) {
            Weights::Files(weights) => files.extend(weights),
            Weights::Index(index) => {
                let path = repo.fetch(&format!("{folder}{index}"), progress)?;
                files.extend(repo.shards(&path)?);
                files.push(index);
            }
            Weights::Pickle(found) => return Err(Error::OnlyPickle { id: id.repository(), found }),
            Weights::Missing => return Err(repo.missing("safetensors weights")),
        }
        if !files.iter().any(|file| file == "config.json" || file == "adapter_config.json") {
            return Err(repo.missing("config.json"));
        }
        files.sort();
        repo.take(folder, &files, progress)
    }

    /// A dataset: the data files that the id's file, folder or pattern names; without one the only data file, or the
    /// numbered pieces of the only one.
    ///
    /// # Errors
    /// As for [`Hub::model`]; [`Error::NoFile`] lists the data files if there is a choice.
    pub fn dataset(&self, id: &HubId, progress: Progress<'_>) -> Result<Snapshot> {
        let repo = self.open(Kind::Dataset, id)?;
        let files = data_files(&repo.names, id.file()).map_err(|choice| repo.choice(id.file(), &choice))?;
        repo.take(String::new(), &files, progress)
    }

    /// Resolves the id's revision, by the network or, offline, by the cache.
    fn open<'a>(&'a self, kind: Kind, id: &'a HubId) -> Result<OpenRepo<'a>> {
        let cache = CachedRepo::new(&self.client.settings.cache, kind, id);
        let wanted = Wanted { kind, id };
        if self.client.settings.offline {
            return self.open_offline(cache, wanted);
        }
        let info = match self.client.retried(|| self.info(wanted)) {
            Err(Error::Unreachable { host, why, .. }) => {
                return Err(Error::Unreachable { host, why, cached: cache.commit(id.revision()) });
            }
            info => info?,
        };
        let names = info.siblings.into_iter().map(|file| file.rfilename).filter(|name| check_file(name).is_ok());
        Ok(OpenRepo { client: &self.client, cache, wanted, commit: info.sha, names: names.collect() })
    }

    fn open_offline<'a>(&'a self, cache: CachedRepo, wanted: Wanted<'a>) -> Result<OpenRepo<'a>> {
        let revision = wanted.id.revision();
        match cache.commit(revision) {
            Some(commit) => {
                let names = cache.files(&commit);
                Ok(OpenRepo { client: &self.client, cache, wanted, commit, names })
            }
            None => Err(Error::Offline {
                id: wanted.id.to_string(),
                cache: cache.root().to_owned(),
                why: format!("revision {revision} was never downloaded"),
            }),
        }
    }

    fn info(&self, wanted: Wanted<'_>) -> Result<RepoInfo> {
        let repo = wanted.kind.repo(wanted.id, wanted.id.revision());
        let bytes = self.client.small(&format!("api/{}", repo.api_url()), wanted)?;
        let info: RepoInfo = serde_json::from_slice(&bytes)
            .map_err(|error| self.client.suspicious(wanted, format!("its list of files is none ({error})")))?;
        if !is_commit(&info.sha) || (wanted.id.is_pinned() && info.sha != wanted.id.revision()) {
            return Err(self.client.suspicious(wanted, "its commit is not the one asked for"));
        }
        Ok(info)
    }
}

/// A repository whose commit is known.
struct OpenRepo<'a> {
    client: &'a Client,
    cache: CachedRepo,
    wanted: Wanted<'a>,
    commit: String,
    names: Vec<String>,
}

impl OpenRepo<'_> {
    /// A folder with its slash, and the names below it.
    fn inside(&self, folder: Option<&str>) -> (String, Vec<String>) {
        let folder = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
        let names = self.names.iter().filter_map(|name| name.strip_prefix(&folder)).map(str::to_owned).collect();
        (folder, names)
    }

    /// Fetches the files of a folder, and remembers what its revision was.
    fn take(&self, folder: String, files: &[String], progress: Progress<'_>) -> Result<Snapshot> {
        let fetched = files.iter().map(|file| self.fetch(&format!("{folder}{file}"), progress));
        let files = fetched.collect::<Result<Vec<PathBuf>>>()?;
        if !self.client.settings.offline {
            self.cache.remember(self.wanted.id.revision(), &self.commit)?;
        }
        let directory = self.cache.snapshot(&self.commit).join(folder.trim_end_matches('/'));
        Ok(Snapshot { directory, files, commit: self.commit.clone() })
    }

    fn fetch(&self, file: &str, progress: Progress<'_>) -> Result<PathBuf> {
        if self.client.settings.offline {
            let path = self.cache.snapshot(&self.commit).join(file);
            return if path.is_file() { Ok(path) } else { Err(self.missing(file)) };
        }
        let transfer = Transfer { client: self.client, cache: &self.cache, wanted: self.wanted, commit: &self.commit };
        transfer.file(file, progress)
    }

    fn shards(&self, index: &std::path::Path) -> Result<Vec<String>> {
        let text = groma_run::read_bytes(index, MAX_INDEX_BYTES);
        let text =
            text.map_err(|error| self.client.suspicious(self.wanted, format!("its index of shards: {error}")))?;
        shards(&text).map_err(|why| self.client.suspicious(self.wanted, why))
    }

    /// The error for something that the repository, or offline the cache, does not have.
    fn missing(&self, what: &str) -> Error {
        let id = self.wanted.id.to_string();
        if self.client.settings.offline {
            let why = format!("the cached snapshot {} has no {what}", self.commit);
            return Error::Offline { id, cache: self.cache.root().to_owned(), why };
        }
        Error::NoFile { id, what: what.to_owned() }
    }

    fn choice(&self, wanted: Option<&str>, names: &[String]) -> Error {
        let shown = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        let rest = names.len().saturating_sub(NAMES_SHOWN);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let what = match (wanted, names) {
            (_, []) => "data files that can be read".to_owned(),
            (Some(wanted), _) => format!("file {wanted:?}; its data files are {shown}{more}"),
            (None, _) => {
                let id = self.wanted.id.repository();
                format!("single data file; name one as {id}:FILE, of {shown}{more}")
            }
        };
        self.missing(&what)
    }
}

//! What an attack keeps on disk while it works, so that a goal that is finished is not attacked again and one that was
//! interrupted goes on to the same bits.

use std::path::PathBuf;

use groma_run::{Digest, Files, atomic, file_name, limits, read_json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// A folder of an attack's own, one file a goal; nothing is kept where there is none.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    place: Option<(Files, PathBuf)>,
}

/// A file: what is kept, and its digest, so that what was changed or torn is not gone on with.
#[derive(Serialize, Deserialize)]
struct Kept {
    digest: Digest,
    state: Value,
}

impl Keep {
    /// Keeps files in `folder`, which is made where it is not there. It belongs to one attack on one target with one set of
    /// settings: whoever gives it names it after all of them.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(files: &Files, folder: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder).map_err(groma_run::Error::io("create", &folder))?;
        Ok(Keep { place: Some((files.clone(), folder)) })
    }

    /// What was kept of a goal; nothing where it is damaged.
    pub(crate) fn load<T: DeserializeOwned>(&self, goal: &str) -> Option<T> {
        let (_, folder) = self.place.as_ref()?;
        let kept: Kept = read_json(&folder.join(name(goal)), limits::MANIFEST_BYTES).ok()?;
        let whole = Digest::of_json(&kept.state).ok()? == kept.digest;
        whole.then(|| serde_json::from_value(kept.state).ok()).flatten()
    }

    /// Keeps what there is of a goal, in place of what there was.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save<T: Serialize>(&self, goal: &str, state: &T) -> Result<(), Error> {
        let Some((files, folder)) = &self.place else { return Ok(()) };
        let path = folder.join(name(goal));
        let encode = |source| groma_run::Error::Encode { path: path.clone(), source };
        let state = serde_json::to_value(state).map_err(encode)?;
        let digest = Digest::of_json(&state).map_err(encode)?;
        Ok(atomic::write_json(files, &path, &Kept { digest, state })?)
    }
}

fn name(goal: &str) -> String {
    format!(
        "{}-{}.json",
        file_name(goal).chars().take(40).collect::<String>(),
        Digest::of_bytes(goal.as_bytes()).short()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Disk;

    #[test]
    fn what_is_damaged_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::new(&Disk::files(), folder.path().join("a")).unwrap();
        assert_eq!(keep.load::<Vec<u32>>("one"), None);
        keep.save("one", &vec![1, 2, 3]).unwrap();
        keep.save("../two", &vec![4]).unwrap();
        assert_eq!((keep.load("one"), keep.load("../two")), (Some(vec![1, 2, 3]), Some(vec![4])));
        let path = folder.path().join("a").join(name("one"));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace('3', "5")).unwrap();
        assert_eq!(keep.load::<Vec<u32>>("one"), None);
        let none = Keep::default();
        none.save("one", &1).unwrap();
        assert_eq!(none.load::<i32>("one"), None);
    }
}

//! A disk that follows no link below a directory: a run directory may come from anybody.
//!
//! Each operation opens the directories that lead to its file one by one, each relative to the one before, so that a link
//! among them is an error at whatever moment it was put there.

use crate::storage::{Files, Storage, StoredFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The real disk, of which nothing is followed out of `root`. What does not lie below it is the business of `elsewhere`.
#[derive(Clone, Debug)]
pub(crate) struct Confined {
    root: PathBuf,
    elsewhere: Files,
}

impl Confined {
    pub(crate) fn files(root: &Path, elsewhere: Files) -> Files {
        Arc::new(Confined { root: root.to_owned(), elsewhere })
    }

    fn at(&self, path: &Path) -> io::Result<Option<place::Place>> {
        match path.strip_prefix(&self.root) {
            Ok(relative) if !relative.as_os_str().is_empty() => place::Place::find(&self.root, relative).map(Some),
            _ => Ok(None),
        }
    }
}

impl Storage for Confined {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.at(path)?.map_or_else(|| self.elsewhere.create_directory(path), |place| place.create_directory())
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        match self.at(path)? {
            Some(place) => Ok(Box::new(place.create_file()?)),
            None => self.elsewhere.create_file(path),
        }
    }

    fn append_file(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        match self.at(path)? {
            Some(place) => Ok(Box::new(place.append_file()?)),
            None => self.elsewhere.append_file(path),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match (self.at(from)?, self.at(to)?) {
            (Some(from), Some(to)) => from.rename(&to),
            _ => self.elsewhere.rename(from, to),
        }
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        match (self.at(one)?, self.at(other)?) {
            (Some(one), Some(other)) => one.exchange(&other),
            _ => self.elsewhere.exchange(one, other),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.at(path)?.map_or_else(|| self.elsewhere.remove_file(path), |place| place.remove_file())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.at(path)?.map_or_else(|| self.elsewhere.remove_directory(path), |place| place.remove_directory())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.at(path)?.map_or_else(|| self.elsewhere.sync_directory(path), |place| place.sync_directory())
    }

    fn below(&self, root: &Path) -> Files {
        Confined::files(root, self.elsewhere.clone())
    }
}

#[cfg(unix)]
mod place {
    use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, open, openat, renameat, statat, unlinkat};
    use rustix::io::Errno;
    use std::ffi::{OsStr, OsString};
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Component, Path};

    /// More directories inside each other than anything that groma writes.
    const DEPTH: usize = 64;
    const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    /// A name in an open directory.
    pub(super) struct Place {
        parent: OwnedFd,
        name: OsString,
    }

    impl Place {
        pub(super) fn find(root: &Path, relative: &Path) -> io::Result<Self> {
            let mut parent = open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            let mut parts = relative.components().peekable();
            while let Some(part) = parts.next() {
                let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
                if parts.peek().is_none() {
                    return Ok(Place { parent, name: name.to_owned() });
                }
                parent =
                    openat(&parent, name, DIRECTORY, Mode::empty()).map_err(|no| refused(parent.as_fd(), name, no))?;
            }
            Err(io::ErrorKind::InvalidInput.into())
        }

        pub(super) fn create_directory(&self) -> io::Result<()> {
            Ok(mkdirat(&self.parent, &self.name, Mode::from_raw_mode(0o777))?)
        }

        pub(super) fn create_file(&self) -> io::Result<File> {
            self.open(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
        }

        pub(super) fn append_file(&self) -> io::Result<File> {
            // A pipe that nobody reads is an error and not a wait.
            let file = self.open(OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK)?;
            match file.metadata()?.is_file() {
                true => Ok(file),
                false => Err(io::Error::other(format!("{} is no file", self.name.display()))),
            }
        }

        fn open(&self, flags: OFlags) -> io::Result<File> {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = openat(&self.parent, &self.name, flags, Mode::from_raw_mode(0o666));
            Ok(opened.map_err(|no| refused(self.parent.as_fd(), &self.name, no))?.into())
        }

        pub(super) fn rename(&self, to: &Place) -> io::Result<()> {
            Ok(renameat(&self.parent, &self.name, &to.parent, &to.name)?)
        }

        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        pub(super) fn exchange(&self, other: &Place) -> io::Result<()> {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            Ok(rustix::fs::renameat_with(&self.parent, &self.name, &other.parent, &other.name, flags)?)
        }

        #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
        pub(super) fn exchange(&self, _: &Place) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn remove_file(&self) -> io::Result<()> {
            Ok(unlinkat(&self.parent, &self.name, AtFlags::empty())?)
        }

        pub(super) fn remove_directory(&self) -> io::Result<()> {
            remove_tree(self.parent.as_fd(), &self.name, 0)
        }

        pub(super) fn sync_directory(&self) -> io::Result<()> {
            let directory = openat(&self.parent, &self.name, DIRECTORY, Mode::empty());
            File::from(directory.map_err(|no| refused(self.parent.as_fd(), &self.name, no))?).sync_all()
        }
    }

    fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> io::Result<()> {
        if depth > DEPTH {
            return Err(io::Error::other("directories are nested too deeply"));
        }
        let directory = openat(parent, name, DIRECTORY, Mode::empty()).map_err(|no| refused(parent, name, no))?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            match unlinkat(&directory, name, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::ISDIR | Errno::PERM) => remove_tree(directory.as_fd(), name, depth + 1)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
    }

    /// The error of opening a name, in words where a link stands there.
    fn refused(parent: BorrowedFd<'_>, name: &OsStr, error: Errno) -> io::Error {
        let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        let is_link = found.is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_symlink());
        match is_link {
            true => io::Error::other(format!("{} is a link, and none is followed here", name.display())),
            false => error.into(),
        }
    }
}

/// Where directories cannot be opened relative to each other, the way is looked at before each operation.
#[cfg(not(unix))]
mod place {
    use crate::storage::sync_names;
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::path::{Path, PathBuf};

    pub(super) struct Place(PathBuf);

    impl Place {
        pub(super) fn find(root: &Path, relative: &Path) -> io::Result<Self> {
            let mut path = root.to_owned();
            for part in relative.components() {
                path.push(part);
                if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
                    let what = format!("{} is a link, and none is followed here", path.display());
                    return Err(io::Error::other(what));
                }
            }
            Ok(Place(path))
        }

        pub(super) fn create_directory(&self) -> io::Result<()> {
            fs::create_dir(&self.0)
        }

        pub(super) fn create_file(&self) -> io::Result<File> {
            File::create_new(&self.0)
        }

        pub(super) fn append_file(&self) -> io::Result<File> {
            OpenOptions::new().append(true).create(true).open(&self.0)
        }

        pub(super) fn rename(&self, to: &Place) -> io::Result<()> {
            fs::rename(&self.0, &to.0)
        }

        pub(super) fn exchange(&self, _: &Place) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn remove_file(&self) -> io::Result<()> {
            fs::remove_file(&self.0)
        }

        pub(super) fn remove_directory(&self) -> io::Result<()> {
            fs::remove_dir_all(&self.0)
        }

        pub(super) fn sync_directory(&self) -> io::Result<()> {
            sync_names(&self.0)
        }
    }
}

//! The seam between groma and the disk, so that a test can make any single operation fail.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Everything that changes a disk. [`crate::Disk`] does it; [`crate::FaultyDisk`] does it until told to fail.
pub trait Storage: Debug + Send + Sync {
    /// Creates a directory whose parent exists; an error if it is there already.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Creates a file; an error if it is there already.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn StoredFile>>;
    /// Opens a file for appending and creates it where it is missing.
    fn append_file(&self, path: &Path) -> io::Result<Box<dyn StoredFile>>;
    /// Renames a file or directory; a file replaces a file, a directory an empty directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Lets two files or directories exchange their names in one step.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`], `InvalidInput` and their like where the system or the file system cannot do that.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all that is in it.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory last through a power cut.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// The same storage, which follows no link below `root`: where one stands in the way, an operation fails.
    fn below(&self, root: &Path) -> Files;
}

/// An open file of a [`Storage`].
pub trait StoredFile: Write + Debug + Send {
    /// Makes the content last through a power cut.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to so many bytes.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
    /// How many bytes the file has.
    fn bytes(&self) -> io::Result<u64>;
}

/// A shared storage.
pub type Files = Arc<dyn Storage>;

impl StoredFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Makes the names in a directory of the real disk last through a power cut.
pub(crate) fn sync_names(directory: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(()); // a directory has no handle to flush there
    }
    File::open(directory)?.sync_all()
}

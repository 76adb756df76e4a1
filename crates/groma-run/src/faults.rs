//! A disk that fails on command: the tool for sweeps over "operation N fails, for N = 1, 2, ... until the run passes".

use crate::disk::Disk;
use crate::storage::{Files, Storage, StoredFile};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which operation fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The operation that fails, counted from 1.
    pub operation: u64,
    /// The error it fails with.
    pub kind: ErrorKind,
    /// Whether all later operations fail as well.
    pub sticky: bool,
}

/// The real disk, whose operations are counted and of which some fail. A write that fails leaves half of its bytes.
#[derive(Clone, Debug)]
pub struct FaultyDisk {
    fault: Fault,
    count: Arc<AtomicU64>,
    inner: Files,
}

impl FaultyDisk {
    /// A disk that fails as told.
    pub fn new(fault: Fault) -> Self {
        FaultyDisk { fault, count: Arc::default(), inner: Disk::files() }
    }

    /// The same disk as a shared storage.
    pub fn files(&self) -> Files {
        Arc::new(self.clone())
    }

    /// How many operations were asked for up to now.
    pub fn operations(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    fn step(&self) -> io::Result<()> {
        let now = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = now == self.fault.operation || (self.fault.sticky && now > self.fault.operation);
        if fails { Err(self.fault.kind.into()) } else { Ok(()) }
    }

    fn wrap(&self, inner: Box<dyn StoredFile>) -> Box<dyn StoredFile> {
        Box::new(FaultyFile { inner, disk: self.clone() })
    }
}

impl Storage for FaultyDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.inner.create_directory(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        self.step()?;
        Ok(self.wrap(self.inner.create_file(path)?))
    }

    fn append_file(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        self.step()?;
        Ok(self.wrap(self.inner.append_file(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.inner.rename(from, to))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.inner.exchange(one, other))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.inner.remove_file(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.inner.remove_directory(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| self.inner.sync_directory(path))
    }

    fn below(&self, root: &Path) -> Files {
        Arc::new(FaultyDisk { inner: self.inner.below(root), ..self.clone() })
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn StoredFile>,
    disk: FaultyDisk,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.disk.step() {
            // A full disk takes what still fits.
            self.inner.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl StoredFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.step().and_then(|()| self.inner.sync())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.disk.step().and_then(|()| self.inner.truncate(bytes))
    }

    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }
}

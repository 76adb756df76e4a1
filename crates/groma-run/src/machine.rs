//! The machine that a run ran on.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// A machine, as far as numbers and times depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Operating system and architecture, such as `linux x86_64`.
    pub system: String,
    /// The processor's name, where it is known.
    pub cpu: Option<String>,
    /// The processor's features that kernels are chosen by, sorted.
    pub cpu_features: Vec<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Threads that this run used.
    pub threads: usize,
    /// Memory that this process may use, where it is known.
    pub memory_bytes: Option<u64>,
}

const FEATURES: [&str; 14] = [
    "amx_bf16",
    "amx_int8",
    "amx_tile",
    "asimd",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_vnni",
    "avx512bw",
    "avx512f",
    "bf16",
    "f16c",
    "fma",
    "sve",
];

impl Machine {
    /// Describes this machine; the run uses so many threads.
    pub fn describe(threads: usize) -> Self {
        let cpu_info = read_text("/proc/cpuinfo");
        let mut cpu_features: Vec<String> = ["flags", "Features"]
            .iter()
            .filter_map(|key| field(&cpu_info, key))
            .flat_map(str::split_whitespace)
            .filter(|flag| FEATURES.contains(flag))
            .map(str::to_owned)
            .collect();
        cpu_features.sort();
        Machine {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu: field(&cpu_info, "model name").map(str::to_owned),
            cpu_features,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            memory_bytes: memory_bytes(),
        }
    }
}

/// Memory that this process may use: the machine's, or less where a control group limits it.
pub fn memory_bytes() -> Option<u64> {
    let total = kibibytes(field(&read_text("/proc/meminfo"), "MemTotal")?)?;
    let limit = read_text("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(u64::MAX);
    Some(total.min(limit))
}

/// Memory that is free to take now, by the system's own estimate.
pub fn available_memory_bytes() -> Option<u64> {
    let free = kibibytes(field(&read_text("/proc/meminfo"), "MemAvailable")?)?;
    let limit: u64 = read_text("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(u64::MAX);
    let used: u64 = read_text("/sys/fs/cgroup/memory.current").trim().parse().unwrap_or(0);
    Some(free.min(limit.saturating_sub(used)))
}

fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn read_text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first `key : value` line.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == key).map(|(_, v)| v.trim())
}

/// Bytes that this user may still write on the disk that holds `path` or, where that is missing, its nearest ancestor.
#[cfg(unix)]
pub fn free_disk_bytes(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|part| part.exists())?;
    let status = rustix::fs::statvfs(existing).ok()?;
    status.f_bavail.checked_mul(status.f_frsize)
}

/// Bytes free on the disk that holds `path`; not known on this system.
#[cfg(not(unix))]
pub fn free_disk_bytes(_path: &Path) -> Option<u64> {
    None
}

/// The machine's name on its network; empty where unknown.
#[cfg(unix)]
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The machine's name on its network; empty where unknown.
#[cfg(not(unix))]
pub(crate) fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described() {
        let machine = Machine::describe(3);
        assert!(machine.cores >= 1 && machine.threads == 3 && !machine.system.is_empty());
        if cfg!(target_os = "linux") {
            let total = machine.memory_bytes.unwrap();
            assert!(available_memory_bytes().unwrap() <= total);
        }
    }

    #[cfg(unix)]
    #[test]
    fn free_space_is_that_of_the_nearest_existing_ancestor() {
        let root = tempfile::tempdir().unwrap();
        assert!(free_disk_bytes(&root.path().join("not/yet/there")).unwrap() > 0);
    }
}

//! `groma doctor`: what this machine offers, what is missing, and what to do about it.

use std::path::Path;
use std::process::ExitCode;

use groma_hub::Settings;
use groma_kernels::{Backend, Cpu, Level, Precision};
use groma_run::{Machine, available_memory_bytes, counted, free_disk_bytes};
use serde::Serialize;

use crate::failure::Result;
use crate::terminal::{Context, print, print_json};

/// Memory and disk below which the built-in recipe is at risk.
const LITTLE_BYTES: u64 = 2 << 30;

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    state: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl Finding {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Finding { name, state: "ok", detail: detail.into(), hint: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Finding { name, state: "warn", detail: detail.into(), hint: Some(hint) }
    }
}

pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let findings = findings(context);
    if context.json {
        print_json(&findings)?;
    } else {
        for finding in findings {
            print(&format!(
                "{:<5}{:<10} {}\n",
                finding.state,
                finding.name,
                groma_report::for_terminal(&finding.detail)
            ));
            if let Some(hint) = finding.hint {
                print(&format!("     {:<10} hint: {hint}\n", ""));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn findings(context: &Context) -> Vec<Finding> {
    let machine = Machine::describe(context.work.threads);
    let cpu = machine.cpu.unwrap_or_else(|| "unknown".into());
    let mut findings = vec![
        Finding::ok("groma", format!("{} ({})", env!("CARGO_PKG_VERSION"), machine.system)),
        Finding::ok(
            "cpu",
            format!("{cpu}, {}, {}", counted(machine.cores, "core"), counted(machine.threads, "thread")),
        ),
        Finding::ok("features", machine.cpu_features.join(" ")),
        kernels(&Cpu::new()),
        bf16(),
        Finding::ok("gpu", "not used by this version"),
        bytes("memory", available_memory_bytes(), "close other programs, or use a smaller model or batch"),
        bytes("disk", free_disk_bytes(Path::new(".")), "free space where runs are written, or choose --runs elsewhere"),
    ];
    findings.extend(hub());
    findings
}

fn kernels(cpu: &Cpu) -> Finding {
    if cpu.level() > Level::Portable {
        return Finding::ok("kernels", cpu.name());
    }
    Finding::warn("kernels", cpu.name(), "this processor, or GROMA_CPU, allows no vector kernels; work will be slow")
}

/// What `--precision bf16` would use.
fn bf16() -> Finding {
    let cpu = Cpu::new().with_precision(Precision::Bf16);
    match cpu.precision() {
        Precision::Bf16 => Finding::ok("bf16", format!("{} (with --precision bf16)", cpu.name())),
        Precision::F32 => Finding::ok(
            "bf16",
            "this processor, or GROMA_CPU, has no instructions for it; --precision bf16 computes in f32",
        ),
    }
}

fn bytes(name: &'static str, found: Option<u64>, hint: &'static str) -> Finding {
    match found {
        None => Finding::warn(name, "cannot be told on this system", "keep an eye on it"),
        Some(bytes) => {
            let detail = format!("{:.1} GiB free", bytes as f64 / (1u64 << 30) as f64);
            if bytes < LITTLE_BYTES { Finding::warn(name, detail, hint) } else { Finding::ok(name, detail) }
        }
    }
}

fn hub() -> Vec<Finding> {
    match Settings::from_environment() {
        Ok(settings) => {
            let token = if settings.token.is_some() { "a token is set" } else { "no token" };
            let mode = if settings.offline { "offline" } else { "online, when a hub id is named" };
            let cache = settings.cache.display();
            vec![Finding::ok("hub", format!("{}, {mode}, {token}, cache {cache}", settings.endpoint))]
        }
        Err(error) => vec![Finding::warn("hub", error.to_string(), "correct the HF_ variables")],
    }
}

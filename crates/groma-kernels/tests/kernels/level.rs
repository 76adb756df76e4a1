//! The environment variable that limits the instructions used.
use groma_kernels::{Backend, Cpu, Level};
use std::process::Command;

#[test]
fn the_level_used_is_supported() {
    let cpu = Cpu::new();
    println!("uses {}", cpu.name());
    assert!(cpu.level().is_supported());
}

/// What a test of this file prints with the instructions limited.
#[allow(clippy::expect_used, reason = "tests fail by panicking")]
fn printed_at(level: Level, test: &str) -> String {
    let program = std::env::current_exe().expect("the test program has a path");
    let output = Command::new(&program)
        .args(["--exact", &format!("level::{test}"), "--nocapture"])
        .env("GROMA_CPU", level.name())
        .output()
        .expect("the test program runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}");
    printed
}

#[test]
fn the_environment_limits_the_level() {
    for level in Level::ALL {
        let want = format!("uses cpu {}", level.min(Level::detected()).min(Level::Avx512).name());
        let printed = printed_at(level, "the_level_used_is_supported");
        assert!(printed.contains(&want), "{want} {printed}");
    }
}

#[test]
fn bf16_is_what_the_environment_leaves() {
    let cpu = Cpu::new().with_precision(groma_kernels::Precision::Bf16);
    println!("products: {}", cpu.name());
    assert!(cpu.level().is_supported());
}

#[test]
fn masked_features_are_not_used_for_bf16() {
    for level in Level::ALL {
        let used = level.min(Level::detected());
        let suffix = if used >= Level::Avx512Bf16 { " bf16" } else { "" };
        let want = format!("products: cpu {}{suffix}\n", used.name());
        let printed = printed_at(level, "bf16_is_what_the_environment_leaves");
        assert!(printed.contains(&want), "{want} {printed}");
    }
}

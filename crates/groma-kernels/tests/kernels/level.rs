//! The environment variable that limits the instructions used.
use groma_kernels::{Backend, Cpu, Level};
use std::process::Command;

#[test]
fn the_level_used_is_supported() {
    let cpu = Cpu::new();
    println!("uses {}", cpu.name());
    assert!(cpu.level().is_supported());
}

#[test]
fn the_environment_limits_the_level() {
    let program = std::env::current_exe().expect("the test program has a path");
    for level in Level::ALL {
        let output = Command::new(&program)
            .args(["--exact", "level::the_level_used_is_supported", "--nocapture"])
            .env("GROMA_CPU", level.name())
            .output()
            .expect("the test program runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let want = format!("uses cpu {}", level.min(Level::detected()).min(Level::Avx512).name());
        assert!(output.status.success() && printed.contains(&want), "{printed}");
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
    let program = std::env::current_exe().expect("the test program has a path");
    for level in Level::ALL {
        let output = Command::new(&program)
            .args(["--exact", "level::bf16_is_what_the_environment_leaves", "--nocapture"])
            .env("GROMA_CPU", level.name())
            .output()
            .expect("the test program runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let used = level.min(Level::detected());
        let suffix = if used >= Level::Avx512Bf16 { " bf16" } else { "" };
        let want = format!("products: cpu {}{suffix}\n", used.name());
        assert!(output.status.success() && printed.contains(&want), "{want} {printed}");
    }
}

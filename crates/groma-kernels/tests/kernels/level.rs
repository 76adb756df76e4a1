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
        let want = format!("uses cpu {}", level.min(Level::detected()).name());
        assert!(output.status.success() && printed.contains(&want), "{printed}");
    }
}

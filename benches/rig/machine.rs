//! Where it was measured: a number without its machine says nothing.

use std::{fs, process::Command};

/// The machine and the versions that ran on it.
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) system: String,
    pub(crate) rustc: String,
    pub(crate) redis: String,
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu_model().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            system: first_line("uname", "-sr"),
            rustc: first_line("rustc", "--version"),
            redis: first_line("redis-server", "--version"),
            date: jiff::Zoned::now().date().to_string(),
        }
    }
}

fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What a program says of itself.
pub(crate) fn first_line(program: &str, argument: &str) -> String {
    let said = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&said);
    text.lines().next().map_or_else(|| format!("{program}: unknown"), str::to_owned)
}

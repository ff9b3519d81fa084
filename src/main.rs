//! The `stockgate` binary: reads the command line, runs the command, turns its end into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use stockgate::cli::Cli;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().execute() {
        Ok(verdict) => verdict.exit_code(),
        Err(error) => error.report(),
    }
}

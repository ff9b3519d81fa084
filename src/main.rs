//! The `stockgate` binary: reads the command line, runs the command, turns its end into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use stockgate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread: a command waits for one answer at a time.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::from(3);
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(verdict) => verdict.exit_code(),
        Err(error) => error.report(),
    }
}

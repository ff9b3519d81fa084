//! `stockgate completions`: the script that teaches a shell our commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Verdict, failure::CliError, output::print_line};

/// Prints a completion script.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Verdict, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "stockgate", &mut script);
        print_line(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Verdict::Fine)
    }
}

//! What can go wrong in a command, in words that help, and the exit code for it.

use std::{error::Error as _, io, path::PathBuf, process::ExitCode, time::Duration};

use tonic::{Code, Status};

use super::explain::explain;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// An argument is wrong; nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// What was asked for cannot be done as things are; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// No gateway answers there; nothing was sent.
    #[error(
        "cannot reach the gateway at {gateway}: start one with `stockgate serve`, or name another with --gateway"
    )]
    Unreachable {
        /// Where it was looked for.
        gateway: String,
        /// What the transport said.
        #[source]
        source: tonic::transport::Error,
    },
    /// The gateway did not take the connection in time; nothing was sent.
    #[error(
        "the gateway at {gateway} did not take the connection within {waited:?}: is it up? else raise --timeout"
    )]
    ConnectTimeout {
        /// Where it was looked for.
        gateway: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The gateway answered with a status, or its answer was lost on the way.
    #[error("{}", explain(status, repeat.as_deref()))]
    Status {
        /// What came.
        status: Box<Status>,
        /// The flags that repeat the very same call, when it was one that changes something.
        repeat: Option<String>,
    },
    /// A file could not be read.
    #[error("cannot read {what}")]
    Input {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The answer could not be printed.
    #[error("cannot print the answer")]
    Output(#[source] io::Error),
    /// The page of a load could not be written when it was over.
    #[error("--html {}: the file could be written before the run and cannot be now", path.display())]
    Page {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The gateway itself could not run.
    #[error("{0:#}")]
    Gateway(anyhow::Error),
    /// The answer lacks a part the contract promises.
    #[error("the gateway's answer has no {0}: it speaks another version of the contract")]
    Incomplete(&'static str),
}

impl From<Status> for CliError {
    /// For calls that change nothing: there is nothing to repeat.
    fn from(status: Status) -> Self {
        Self::Status { status: Box::new(status), repeat: None }
    }
}

impl CliError {
    /// Prints what went wrong, with its causes, on stderr; returns the exit code of the process.
    pub fn report(&self) -> ExitCode {
        // The reader of our output went away (`| head`): he has what he wanted.
        if matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {self}");
        let mut said = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let because = error.to_string();
            // The transport wraps the same words more than once.
            if because != said {
                eprintln!("  because: {because}");
            }
            said = because;
            cause = error.source();
        }
        ExitCode::from(self.exit_code())
    }

    /// The exit code of the process.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) | Self::Input { .. } => 2,
            Self::Unreachable { .. } | Self::ConnectTimeout { .. } => 3,
            Self::Status { status, .. } => exit_code_of(status.code()),
            Self::Output(_) | Self::Page { .. } | Self::Incomplete(_) | Self::Gateway(_) => 3,
        }
    }
}

fn exit_code_of(code: Code) -> u8 {
    match code {
        Code::InvalidArgument | Code::OutOfRange => 2,
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        // This client cancels nothing: tonic says CANCELLED when our own deadline passed.
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_refused_wrong_and_unknown_apart() {
        let check = |code, exit| {
            assert_eq!(CliError::from(Status::new(code, "x")).exit_code(), exit, "{code:?}");
        };
        check(Code::FailedPrecondition, 1);
        check(Code::NotFound, 1);
        check(Code::Aborted, 1);
        check(Code::AlreadyExists, 1);
        check(Code::PermissionDenied, 1);
        check(Code::InvalidArgument, 2);
        check(Code::Unavailable, 3);
        check(Code::DeadlineExceeded, 3);
        check(Code::Cancelled, 3);
        check(Code::ResourceExhausted, 3);
    }
}

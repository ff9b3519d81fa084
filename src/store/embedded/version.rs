//! Is the configured program a redis-server, and one that will do?

use std::{io, path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use super::EmbeddedError;
use crate::store::inspect::is_served;

/// `redis-server --version` prints a line and ends.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the program itself.
pub(super) async fn check_version(program: &Path) -> Result<(), EmbeddedError> {
    let unknown =
        |source| EmbeddedError::VersionUnknown { program: program.to_owned(), source: Some(source) };
    let asked = Command::new(program).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = match tokio::time::timeout(VERSION_TIMEOUT, asked).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EmbeddedError::NotFound { program: program.to_owned() });
        }
        Ok(Err(error)) => return Err(unknown(error)),
        Err(elapsed) => return Err(unknown(elapsed.into())),
    };
    judge_version(program, &String::from_utf8_lossy(&output.stdout))
}

/// `said` is like "Redis server v=7.0.15 sha=…" or "Valkey server v=8.0.1 sha=…".
fn judge_version(program: &Path, said: &str) -> Result<(), EmbeddedError> {
    let program = program.to_owned();
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="));
    match version.and_then(|version| Some((version, is_served(version)?))) {
        Some((_, true)) => Ok(()),
        Some((version, false)) => Err(EmbeddedError::TooOld { program, version: version.to_owned() }),
        None => Err(EmbeddedError::VersionUnknown { program, source: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged() {
        let judge = |said| judge_version(Path::new("redis-server"), said);
        for good in
            ["Redis server v=7.0.15 sha=00000000:0 bits=64", "Valkey server v=8.0.1 sha=0", "v=10.0.0"]
        {
            judge(good).expect(good);
        }
        let error = judge("Redis server v=6.2.14 sha=00000000:0").expect_err("is too old");
        assert!(matches!(&error, EmbeddedError::TooOld { version, .. } if version == "6.2.14"), "{error}");
        for odd in ["", "--version", "Redis server v=unstable"] {
            let error = judge(odd).expect_err(odd);
            assert!(matches!(error, EmbeddedError::VersionUnknown { .. }), "{odd}: {error}");
        }
    }
}

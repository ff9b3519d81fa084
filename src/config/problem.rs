//! What is wrong with the settings, all of it at once.

use std::{fmt, io, path::PathBuf};

/// Where a setting was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in default stands.
    Defaults,
    /// A settings file, as it was named.
    File(String),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("the defaults"),
            Self::File(path) => f.write_str(path),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Everything that is wrong with the settings; at least one problem.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(problems))]
pub struct ConfigError {
    /// In the order of the manual, file problems first.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A settings file or a secret file cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    Unreadable {
        /// What the file is for.
        what: String,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The settings file is not TOML.
    #[error("{file} is not valid TOML: {detail}")]
    Syntax {
        /// Which file.
        file: String,
        /// Where and why; never the line itself, since it may hold a secret.
        detail: String,
    },
    /// A setting nobody reads.
    #[error("unknown setting {setting} in {origin}: {}", hint(nearest.as_deref()))]
    Unknown {
        /// Its name.
        setting: String,
        /// Where it was set.
        origin: Origin,
        /// What was probably meant, spelled for the same origin.
        nearest: Option<String>,
    },
    /// A setting that has a value it cannot have.
    #[error("{setting} in {origin} {detail}")]
    Invalid {
        /// Its name.
        setting: String,
        /// Where it was set.
        origin: Origin,
        /// What it must be, what it is, and how to mend it; never a secret.
        detail: String,
    },
    /// A setting that must be set and is not.
    #[error("{setting} is not set: {fix}")]
    Missing {
        /// Its name.
        setting: String,
        /// What to write.
        fix: String,
    },
    /// A variable that sets something of a channel or a source that is not there.
    #[error("environment variable {variable} {detail}")]
    NoSuchId {
        /// The variable.
        variable: String,
        /// What there is instead.
        detail: String,
    },
    /// The settings do not fit together in a way the schema does not know.
    #[error("the settings cannot be read: {source}")]
    Unfit {
        /// What the deserializer said.
        source: ::config::ConfigError,
    },
    /// Two variables that set the same thing differently.
    #[error("{first} and {second} set the same setting to different values: keep one of them")]
    Twice {
        /// One variable.
        first: String,
        /// The other.
        second: String,
    },
}

impl Problem {
    /// Whether it is a value that the setting of this name cannot have.
    pub(super) fn is_about(&self, name: &str) -> bool {
        matches!(self, Self::Invalid { setting, .. } if setting == name)
    }
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "all settings are listed in config.default.toml".to_owned(),
    }
}

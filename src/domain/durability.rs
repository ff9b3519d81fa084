//! How durable a change must be before it is answered, and how durable it was when it was.

use std::{fmt, str::FromStr};

/// More copies than anybody keeps; a larger number is a mistake that every call would wait for.
const REPLICAS_MAX: u8 = 16;

/// How many replicas must have a change: 1 to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replicas(u8);

impl Replicas {
    /// Accepts 1 to 16.
    pub fn parse(count: i64) -> Result<Self, DurabilityProblem> {
        match u8::try_from(count) {
            Ok(known @ 1..=REPLICAS_MAX) => Ok(Self(known)),
            _ => Err(DurabilityProblem::Replicas { given: count }),
        }
    }

    /// The number.
    pub fn count(self) -> u32 {
        u32::from(self.0)
    }
}

/// What a change must have reached before it is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// The memory of the master.
    #[default]
    Memory,
    /// The memory of so many replicas too.
    Replicated(Replicas),
    /// The disk of the master.
    Fsync,
}

impl Durability {
    /// Its name, without the replicas.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Replicated(_) => "replicated",
            Self::Fsync => "fsync",
        }
    }

    /// How many replicas it asks for.
    pub fn replicas(self) -> u32 {
        match self {
            Self::Replicated(replicas) => replicas.count(),
            Self::Memory | Self::Fsync => 0,
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicated(replicas) => write!(f, "replicated={}", replicas.count()),
            Self::Memory | Self::Fsync => f.write_str(self.name()),
        }
    }
}

impl FromStr for Durability {
    type Err = DurabilityProblem;

    /// Reads `memory`, `replicated=2`, `replicated` (one) or `fsync`.
    fn from_str(text: &str) -> Result<Self, DurabilityProblem> {
        let unknown = || DurabilityProblem::Level { given: text.to_owned() };
        match text.split_once('=') {
            None if text == "memory" => Ok(Self::Memory),
            None if text == "fsync" => Ok(Self::Fsync),
            None if text == "replicated" => Ok(Self::Replicated(Replicas(1))),
            Some(("replicated", digits)) => {
                Replicas::parse(digits.parse().map_err(|_| unknown())?).map(Self::Replicated)
            }
            _ => Err(unknown()),
        }
    }
}

/// Why a level is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurabilityProblem {
    /// Too few or too many replicas.
    #[error("must be 1 to {REPLICAS_MAX} replicas, is {given}")]
    Replicas {
        /// What was given.
        given: i64,
    },
    /// No such level.
    #[error("must be memory, replicated=N or fsync, is {given:?}")]
    Level {
        /// What was given.
        given: String,
    },
}

/// What a change had reached when it was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Achieved {
    /// What was asked.
    pub asked: Durability,
    /// Replicas that had it, as far as was asked for.
    pub replicas: u32,
    /// Whether the master had it on disk, as far as was asked for.
    pub is_on_disk: bool,
}

impl Achieved {
    /// What both have reached.
    pub fn and(self, other: Self) -> Self {
        Self {
            asked: self.asked,
            replicas: self.replicas.min(other.replicas),
            is_on_disk: self.is_on_disk && other.is_on_disk,
        }
    }

    /// Whether it is what was asked.
    pub fn is_enough(self) -> bool {
        match self.asked {
            Durability::Memory => true,
            Durability::Replicated(replicas) => self.replicas >= replicas.count(),
            Durability::Fsync => self.is_on_disk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_shown_alike() {
        for (text, shown) in [
            ("memory", "memory"),
            ("fsync", "fsync"),
            ("replicated", "replicated=1"),
            ("replicated=16", "replicated=16"),
        ] {
            assert_eq!(text.parse::<Durability>().expect("legal").to_string(), shown);
        }
        for bad in ["", "disk", "memory=1", "fsync=1", "replicated=", "replicated=x", "Memory"] {
            assert!(matches!(bad.parse::<Durability>(), Err(DurabilityProblem::Level { .. })), "{bad}");
        }
        for bad in [0, -1, 17, i64::MAX] {
            assert_eq!(Replicas::parse(bad), Err(DurabilityProblem::Replicas { given: bad }));
            assert!(format!("replicated={bad}").parse::<Durability>().is_err());
        }
    }

    #[test]
    fn enough_is_what_was_asked() {
        let two = "replicated=2".parse().expect("legal");
        for (asked, replicas, is_on_disk, is_enough) in [
            (Durability::Memory, 0, false, true),
            (two, 1, true, false),
            (two, 2, false, true),
            (two, 3, false, true),
            (Durability::Fsync, 3, false, false),
            (Durability::Fsync, 0, true, true),
        ] {
            let achieved = Achieved { asked, replicas, is_on_disk };
            assert_eq!(achieved.is_enough(), is_enough, "{achieved:?}");
        }
    }
}

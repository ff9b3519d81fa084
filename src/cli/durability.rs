//! How durable a change must be, as people write it, and how durable it was, as it is shown.

use clap::Args;
use serde::Serialize;

use crate::{
    domain,
    proto::{Durability, DurabilityAchieved, DurabilityLevel},
};

/// `--durability`, on every command that changes stock.
#[derive(Debug, Args)]
pub(super) struct DurabilityArgs {
    /// How durable it must be before it is answered: memory, replicated=N or fsync [default: as the gateway is set]
    #[arg(long, value_name = "LEVEL")]
    durability: Option<domain::Durability>,
}

impl DurabilityArgs {
    /// What a request says.
    pub(super) fn level(&self) -> Option<DurabilityLevel> {
        let asked = self.durability?;
        let level = match asked {
            domain::Durability::Memory => Durability::Memory,
            domain::Durability::Replicated(_) => Durability::Replicated,
            domain::Durability::Fsync => Durability::Fsync,
        };
        let replicas = i32::try_from(asked.replicas()).expect("16 at most");
        Some(DurabilityLevel { level: level.into(), replicas })
    }

    /// What is shown of an answer: nothing unless a level was asked for, or was not reached.
    pub(super) fn shown(&self, achieved: Option<DurabilityAchieved>) -> Option<DurabilityShown> {
        let achieved = achieved?;
        (self.durability.is_some() || !achieved.reached).then(|| achieved.into())
    }
}

/// How durable a change was when it was answered.
#[derive(Debug, Serialize)]
pub(super) struct DurabilityShown {
    level: &'static str,
    replicas: i32,
    reached: bool,
}

impl From<DurabilityAchieved> for DurabilityShown {
    fn from(achieved: DurabilityAchieved) -> Self {
        let level = match achieved.level() {
            Durability::Memory => "memory",
            Durability::Replicated => "replicated",
            Durability::Fsync => "fsync",
            Durability::Unspecified => "unspecified",
        };
        Self { level, replicas: achieved.replicas, reached: achieved.reached }
    }
}

impl DurabilityShown {
    /// For people.
    pub(super) fn text(&self) -> String {
        let replicas = if self.replicas > 0 { format!("={}", self.replicas) } else { String::new() };
        let short = if self.reached { "" } else { "  (less than asked; the change is made)" };
        format!("durability {}{replicas}{short}", self.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_when_asked_for_or_short() {
        let args =
            |text: Option<&str>| DurabilityArgs { durability: text.map(|text| text.parse().expect("legal")) };
        let achieved = |level: Durability, replicas, reached| {
            Some(DurabilityAchieved { level: level.into(), replicas, reached })
        };
        let text = |args: DurabilityArgs, achieved| args.shown(achieved).map(|shown| shown.text());
        assert_eq!(text(args(None), achieved(Durability::Memory, 0, true)), None);
        assert_eq!(
            text(args(None), achieved(Durability::Memory, 0, false)).as_deref(),
            Some("durability memory  (less than asked; the change is made)")
        );
        assert_eq!(
            text(args(Some("replicated=2")), achieved(Durability::Replicated, 2, true)).as_deref(),
            Some("durability replicated=2")
        );
        assert_eq!(
            args(Some("replicated=2")).level(),
            Some(DurabilityLevel { level: Durability::Replicated.into(), replicas: 2 })
        );
        assert_eq!(args(None).level(), None);
    }
}

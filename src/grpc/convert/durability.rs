//! How durable a change must be, as asked; and how durable it was, as answered.

use crate::{
    domain::{Achieved, Durability, Replicas},
    proto,
};

use super::violations::Violations;

/// Reads a level; Some(None) leaves it to the gateway.
pub(super) fn durability(
    bad: &mut Violations,
    asked: Option<proto::DurabilityLevel>,
) -> Option<Option<Durability>> {
    let Some(proto::DurabilityLevel { level, replicas }) = asked else { return Some(None) };
    let level = match proto::Durability::try_from(level) {
        Ok(proto::Durability::Unspecified) => None,
        Ok(proto::Durability::Memory) => Some(Durability::Memory),
        Ok(proto::Durability::Fsync) => Some(Durability::Fsync),
        Ok(proto::Durability::Replicated) => {
            let replicas = bad.take("durability.replicas", Replicas::parse(replicas.into()))?;
            return Some(Some(Durability::Replicated(replicas)));
        }
        Err(_) => {
            bad.add(
                "durability.level",
                format_args!(
                    "must be DURABILITY_MEMORY (1), DURABILITY_REPLICATED (2), DURABILITY_FSYNC (3) or left out, \
                     is {level}"
                ),
            );
            return None;
        }
    };
    if replicas == 0 {
        return Some(level);
    }
    bad.add(
        "durability.replicas",
        format_args!("must be 0 unless level is DURABILITY_REPLICATED, is {replicas}"),
    );
    None
}

/// Shows what was achieved.
pub fn achieved(achieved: Achieved) -> proto::DurabilityAchieved {
    use proto::Durability::{Fsync, Memory, Replicated};
    let level = match achieved.asked {
        Durability::Replicated(_) if achieved.replicas > 0 => Replicated,
        Durability::Fsync if achieved.is_on_disk => Fsync,
        Durability::Memory | Durability::Replicated(_) | Durability::Fsync => Memory,
    };
    proto::DurabilityAchieved {
        level: level.into(),
        replicas: match level {
            Replicated => i32::try_from(achieved.replicas).unwrap_or(i32::MAX),
            _ => 0,
        },
        reached: achieved.is_enough(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(level: i32, replicas: i32) -> (Option<Option<Durability>>, bool) {
        let mut bad = Violations::default();
        let read = durability(&mut bad, Some(proto::DurabilityLevel { level, replicas }));
        (read, bad.is_empty())
    }

    #[test]
    fn levels_are_read_and_bad_ones_refused() {
        let two = "replicated=2".parse().expect("legal");
        assert_eq!(durability(&mut Violations::default(), None), Some(None));
        assert_eq!(asked(0, 0), (Some(None), true));
        assert_eq!(asked(1, 0), (Some(Some(Durability::Memory)), true));
        assert_eq!(asked(2, 2), (Some(Some(two)), true));
        assert_eq!(asked(3, 0), (Some(Some(Durability::Fsync)), true));
        for (level, replicas) in [(0, 1), (1, 1), (2, 0), (2, 17), (2, -1), (3, 1), (4, 0), (-1, 0)] {
            assert_eq!(asked(level, replicas), (None, false), "{level} {replicas}");
        }
    }

    #[test]
    fn what_was_not_confirmed_is_memory() {
        let two: Durability = "replicated=2".parse().expect("legal");
        for (asked, replicas, is_on_disk, expected) in [
            (Durability::Memory, 3, true, (proto::Durability::Memory, 0, true)),
            (two, 0, true, (proto::Durability::Memory, 0, false)),
            (two, 1, false, (proto::Durability::Replicated, 1, false)),
            (two, 3, false, (proto::Durability::Replicated, 3, true)),
            (Durability::Fsync, 1, false, (proto::Durability::Memory, 0, false)),
            (Durability::Fsync, 1, true, (proto::Durability::Fsync, 0, true)),
        ] {
            let shown = achieved(Achieved { asked, replicas, is_on_disk });
            assert_eq!((shown.level(), shown.replicas, shown.reached), expected, "{asked}");
        }
    }
}

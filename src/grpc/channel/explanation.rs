//! "Why is this SKU stale there", in one sentence for people.

use crate::domain::DISCARDED;

/// When a SKU will be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing is to be told, or a worker is at it.
    Not,
    /// At this ms of the Redis clock.
    At(i64),
    /// When nothing live is due.
    Behind,
}

/// What keeps a channel from being told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance<'a> {
    /// Nothing.
    None,
    /// An operator paused it.
    Paused {
        /// Who.
        by: &'a str,
        /// Why; may be empty.
        reason: &'a str,
    },
    /// It fails, and is left alone until its next probe at this ms of the Redis clock.
    BreakerOpen(i64),
    /// It asked for no calls before this ms of the Redis clock.
    Throttled(i64),
}

/// Where one SKU stands on one channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    pub(super) now_ms: i64,
    /// It has confirmed what it should show, and nothing is to be told.
    pub(super) in_sync: bool,
    /// A worker is telling it.
    pub(super) leased: bool,
    pub(super) due: Due,
    pub(super) dead_ms: Option<i64>,
    /// Failures since the last success.
    pub(super) attempts: u32,
    /// May be empty.
    pub(super) last_error: &'a str,
    pub(super) oldest_unconfirmed_ms: Option<i64>,
    pub(super) hindrance: Hindrance<'a>,
}

/// Says why, the strongest reason first.
pub(super) fn explain(standing: &Standing<'_>) -> String {
    if standing.in_sync {
        return "in sync".to_owned();
    }
    if let Some(dead_ms) = standing.dead_ms {
        return dead(standing, dead_ms);
    }
    if standing.leased {
        return format!("being told now{}", behind(standing));
    }
    if standing.due == Due::Not {
        return idle(standing);
    }
    match standing.hindrance {
        Hindrance::Paused { by, reason } => {
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("the channel is paused by {by}{why}{}", behind(standing))
        }
        Hindrance::BreakerOpen(probe_ms) => {
            let probe = until(standing, probe_ms);
            with_error(standing, format!("the channel fails, next probe {probe}{}", behind(standing)))
        }
        Hindrance::Throttled(until_ms) => {
            format!(
                "the channel asked to be called {} at the earliest{}",
                until(standing, until_ms),
                behind(standing)
            )
        }
        Hindrance::None => waiting(standing),
    }
}

fn dead(standing: &Standing<'_>, dead_ms: i64) -> String {
    // The range of a timestamp is wider than that of any clock.
    let since = jiff::Timestamp::from_millisecond(dead_ms).unwrap_or_default();
    let next = match (standing.leased, standing.due) {
        (true, _) => "and being told now, since it changed".to_owned(),
        (false, Due::At(at_ms)) => {
            format!("and tried once more {}, since it changed", until(standing, at_ms))
        }
        (false, Due::Behind) => "and told again when nothing live is due".to_owned(),
        (false, Due::Not) => "replay or discard it".to_owned(),
    };
    with_error(standing, format!("dead since {since}, {next}"))
}

/// Neither in sync nor due, leased or dead.
fn idle(standing: &Standing<'_>) -> String {
    if standing.last_error.starts_with(DISCARDED) {
        return format!("{}; told when it changes again", standing.last_error);
    }
    "its last change is on its way to the channel's queue".to_owned()
}

fn waiting(standing: &Standing<'_>) -> String {
    let times = match standing.attempts {
        0 if standing.due == Due::Behind => {
            return format!("waiting to be told when nothing live is due{}", behind(standing));
        }
        0 => return with_error(standing, format!("waiting to be told{}", behind(standing))),
        1 => "once".to_owned(),
        attempts => format!("{attempts} times"),
    };
    let next = match standing.due {
        Due::At(at_ms) => until(standing, at_ms),
        Due::Behind | Due::Not => "when nothing live is due".to_owned(),
    };
    with_error(standing, format!("told {times} without success, next attempt {next}"))
}

fn with_error(standing: &Standing<'_>, text: String) -> String {
    if standing.last_error.is_empty() { text } else { format!("{text}: {}", standing.last_error) }
}

fn behind(standing: &Standing<'_>) -> String {
    let since = standing.oldest_unconfirmed_ms;
    since.map_or_else(String::new, |since_ms| format!(", behind for {}", length(standing.now_ms - since_ms)))
}

fn until(standing: &Standing<'_>, at_ms: i64) -> String {
    let left_ms = at_ms - standing.now_ms;
    if left_ms <= 0 { "now".to_owned() } else { format!("in {}", length(left_ms)) }
}

/// In the largest unit of which there are at least two, rounded down.
fn length(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let ms = ms.max(0);
    let fits = UNITS.iter().find(|(unit_ms, name)| ms >= 2 * unit_ms || (*name == "s" && ms >= *unit_ms));
    fits.map_or_else(|| format!("{ms} ms"), |(unit_ms, name)| format!("{} {name}", ms / unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_763_700_000_000;

    const STALE: Standing<'static> = Standing {
        now_ms: NOW_MS,
        in_sync: false,
        leased: false,
        due: Due::At(NOW_MS - 5),
        dead_ms: None,
        attempts: 0,
        last_error: "",
        oldest_unconfirmed_ms: Some(NOW_MS - 2_500),
        hindrance: Hindrance::None,
    };

    #[test]
    fn every_standing_has_its_sentence() {
        let failing = Standing { attempts: 3, due: Due::At(NOW_MS + 4_200), last_error: "503 busy", ..STALE };
        let dead = Standing { dead_ms: Some(NOW_MS - 60_000), due: Due::Not, ..failing };
        let idle = Standing { due: Due::Not, oldest_unconfirmed_ms: None, ..STALE };
        let paused = Hindrance::Paused { by: "ann", reason: "sale check" };
        let rows = [
            (Standing { in_sync: true, ..STALE }, "in sync"),
            (STALE, "waiting to be told, behind for 2 s"),
            (
                Standing { due: Due::Behind, ..STALE },
                "waiting to be told when nothing live is due, behind for 2 s",
            ),
            (Standing { leased: true, ..failing }, "being told now, behind for 2 s"),
            (Standing { attempts: 1, ..failing }, "told once without success, next attempt in 4 s: 503 busy"),
            (failing, "told 3 times without success, next attempt in 4 s: 503 busy"),
            (
                Standing { due: Due::Behind, ..failing },
                "told 3 times without success, next attempt when nothing live is due: 503 busy",
            ),
            // Throttled: no attempt was burned, and there is an error.
            (Standing { attempts: 0, ..failing }, "waiting to be told, behind for 2 s: 503 busy"),
            (dead, "dead since 2025-11-21T04:39:00Z, replay or discard it: 503 busy"),
            (
                Standing { due: Due::At(NOW_MS + 30_000), ..dead },
                "dead since 2025-11-21T04:39:00Z, and tried once more in 30 s, since it changed: 503 busy",
            ),
            (
                Standing { leased: true, ..dead },
                "dead since 2025-11-21T04:39:00Z, and being told now, since it changed: 503 busy",
            ),
            (
                Standing { due: Due::Behind, ..dead },
                "dead since 2025-11-21T04:39:00Z, and told again when nothing live is due: 503 busy",
            ),
            (
                Standing { hindrance: paused, ..failing },
                "the channel is paused by ann: sale check, behind for 2 s",
            ),
            (
                Standing { hindrance: Hindrance::Paused { by: "ann", reason: "" }, ..STALE },
                "the channel is paused by ann, behind for 2 s",
            ),
            (
                Standing { hindrance: Hindrance::BreakerOpen(NOW_MS + 120_000), ..failing },
                "the channel fails, next probe in 2 min, behind for 2 s: 503 busy",
            ),
            (
                Standing { hindrance: Hindrance::Throttled(NOW_MS + 7_200_000), ..STALE },
                "the channel asked to be called in 2 h at the earliest, behind for 2 s",
            ),
            // A pause keeps nothing from a SKU that is not due.
            (
                Standing { hindrance: paused, ..dead },
                "dead since 2025-11-21T04:39:00Z, replay or discard it: 503 busy",
            ),
            (idle, "its last change is on its way to the channel's queue"),
            (
                Standing { last_error: "discarded by ann: gone there", ..idle },
                "discarded by ann: gone there; told when it changes again",
            ),
        ];
        for (standing, sentence) in rows {
            assert_eq!(explain(&standing), sentence, "{standing:?}");
        }
    }

    #[test]
    fn lengths_are_short() {
        let rows = [(-1, "0 ms"), (999, "999 ms"), (1_000, "1 s"), (119_999, "119 s"), (120_000, "2 min")];
        for (ms, text) in rows.into_iter().chain([(7_200_000, "2 h"), (172_800_000, "2 d")]) {
            assert_eq!(length(ms), text);
        }
    }
}

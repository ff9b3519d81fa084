//! What steers the calls to one channel, for all workers together: operator's pause, breaker, the server's own throttle, rate.
//! `lua/permit.lua` decides, `lua/report.lua` learns; a pause is plain writing.

use std::time::Duration;

use crate::domain::{BreakerState, ChannelId, ChannelTerms};

use super::{
    Store, StoreError,
    propagation::corrupt,
    scripts::{PERMIT_SCRIPT, REPORT_SCRIPT},
};

/// No grant of calls is used for longer, so that a pause is heard by everybody within that time.
const GRANT_VALID: Duration = Duration::from_millis(200);
/// Beyond its call's timeout, a probe is given so long to be claimed for and reported.
const PROBE_SLACK: Duration = Duration::from_secs(2);
/// At full pace.
const PACE_FULL: i64 = 1000;
/// One permille of pace comes back in so long, as in `lua/include/bucket.lua`.
const PACE_PERMILLE_MS: i64 = 60;
/// Tokens are millionths of a call, as in `lua/include/bucket.lua`.
const TOKENS_PER_CALL: i64 = 1_000_000;
/// Three years: longer waits are no numbers Lua prints whole once they are added to a time.
const WAIT_MS_MAX: u64 = 100_000_000_000;

/// Whether calls to a channel may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// So many may.
    Go {
        /// How many, 1 and up.
        calls: u32,
        /// How long, counted from before it was asked; not a moment longer.
        valid: Duration,
        /// How often the breaker has turned until now: to be said with what became of them.
        turns: u64,
    },
    /// One may, and nobody else's until it has answered.
    Probe {
        /// Names it, to be said with what became of it.
        token: String,
    },
    /// None may.
    Wait {
        /// Until it is worth asking again; never zero.
        wait: Duration,
        /// Why.
        why: Shut,
    },
}

/// Why no call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shut {
    /// An operator paused the channel.
    Paused,
    /// The channel fails; a probe goes now and then.
    BreakerOpen,
    /// The channel asked to be left alone for a while.
    Throttled,
    /// As many calls as its rate allows have gone.
    RateLimit,
}

impl Shut {
    /// Its word, as in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::BreakerOpen => "breaker_open",
            Self::Throttled => "throttled",
            Self::RateLimit => "rate_limit",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let all = [Self::Paused, Self::BreakerOpen, Self::Throttled, Self::RateLimit];
        all.into_iter().find(|why| why.as_str() == word)
    }
}

/// How calls went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What [`Permit::Go`] said; of no meaning for a probe.
    pub turns: u64,
    /// The token of the probe, when it was one.
    pub probe: Option<String>,
    /// Calls the channel answered, whatever it said of the items.
    pub worked: u32,
    /// Calls it did not answer, or not sensibly.
    pub failed: u32,
    /// It refuses as a whole: the breaker opens at once, for its longest.
    pub refused: bool,
    /// It wants no calls for so long, from now on.
    pub throttled: Option<Duration>,
    /// Calls that were granted and not made.
    pub unused: u32,
}

/// What a report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// The breaker now.
    pub state: BreakerState,
    /// Whether this report opened it or closed it; opening it again after a probe is no turn.
    pub has_turned: bool,
}

/// An operator's pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPause {
    /// Since when, in ms of the Redis clock.
    pub since_ms: i64,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What steers a channel now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelControl {
    /// The operator's pause, while there is one.
    pub pause: Option<ChannelPause>,
    /// The breaker.
    pub breaker: BreakerState,
    /// While it is not closed: when the next probe may go, in ms of the Redis clock.
    pub probe_ms: Option<i64>,
    /// While the channel asked to be left alone: until when, in ms of the Redis clock.
    pub not_before_ms: Option<i64>,
    /// Whole calls in the token bucket when it was last drawn from.
    pub tokens: i64,
    /// Share of its rate the channel is called at, 50 to 1,000 permille: halved when it says "too many", back within a minute.
    pub pace_permille: u32,
    /// Units it shows beyond what is there, when that was last measured.
    pub exposed_units: i64,
}

impl Store {
    /// Asks for up to `wanted` calls (1 and up) to a channel.
    pub async fn permit(
        &self,
        channel: &ChannelId,
        terms: &ChannelTerms,
        wanted: u32,
    ) -> Result<Permit, StoreError> {
        let token = uuid::Uuid::now_v7().simple().to_string();
        let key = self.inner.keys.control(channel);
        let mut command = PERMIT_SCRIPT.call([key.as_str()].into_iter());
        command.arg(self.clock_argument()).arg(wanted).arg(&token);
        command.arg(millis(terms.call_timeout.saturating_add(PROBE_SLACK)));
        command.arg(tokens_per_ms(terms)).arg(terms.rate.burst.max(1));
        let reply = self.run_script(&PERMIT_SCRIPT, &command).await?;
        let words: Vec<&str> = reply.iter().map(String::as_str).collect();
        let permit = match words[..] {
            ["go", calls, turns] => calls
                .parse()
                .ok()
                .zip(turns.parse().ok())
                .map(|(calls, turns)| Permit::Go { calls, valid: GRANT_VALID, turns }),
            ["probe"] => Some(Permit::Probe { token }),
            ["wait", ms, why] => ms
                .parse()
                .ok()
                .zip(Shut::parse(why))
                .map(|(ms, why)| Permit::Wait { wait: Duration::from_millis(ms), why }),
            _ => None,
        };
        permit.ok_or_else(|| corrupt(&PERMIT_SCRIPT, &reply))
    }

    /// Tells how calls went.
    pub async fn report(
        &self,
        channel: &ChannelId,
        terms: &ChannelTerms,
        report: &Report,
    ) -> Result<Reported, StoreError> {
        let key = self.inner.keys.control(channel);
        let mut command = REPORT_SCRIPT.call([key.as_str()].into_iter());
        command.arg(self.clock_argument()).arg(report.turns).arg(report.probe.as_deref().unwrap_or_default());
        command.arg(report.worked).arg(report.failed).arg(u8::from(report.refused));
        match report.throttled {
            Some(wait) => command.arg(millis(wait)),
            None => command.arg(-1),
        };
        command.arg(report.unused).arg(tokens_per_ms(terms)).arg(terms.rate.burst.max(1));
        let breaker = &terms.breaker;
        command.arg(breaker.failures.max(1)).arg(permille(breaker.rate).max(1)).arg(breaker.calls_min);
        command.arg((millis(breaker.window) / 2).max(1));
        command.arg(millis(breaker.open_first)).arg(millis(breaker.open_cap));
        command.arg(permille(1.0 + breaker.jitter * (2.0 * fastrand::f64() - 1.0)));
        let reply = self.run_script(&REPORT_SCRIPT, &command).await?;
        let [word, state, turned] = &reply[..] else { return Err(corrupt(&REPORT_SCRIPT, &reply)) };
        match (word.as_str(), BreakerState::parse(state), turned.as_str()) {
            ("reported", Some(state), "0") => Ok(Reported { state, has_turned: false }),
            ("reported", Some(state), "1") => Ok(Reported { state, has_turned: true }),
            _ => Err(corrupt(&REPORT_SCRIPT, &reply)),
        }
    }

    /// Lets no more calls to a channel through until it is resumed; what is due waits and burns no attempts.
    pub async fn pause_channel(
        &self,
        channel: &ChannelId,
        actor: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let now_ms = self.now_ms().await?;
        let mut command = redis::cmd("HSET");
        command.arg(self.inner.keys.control(channel)).arg("paused").arg(now_ms);
        command.arg("paused_by").arg(actor).arg("paused_why").arg(reason);
        self.query::<i64>(&command).await.map(drop)
    }

    /// Lets calls through again at once: lifts the pause, closes the breaker, forgets that the channel asked to be left alone.
    pub async fn resume_channel(&self, channel: &ChannelId) -> Result<(), StoreError> {
        let mut command = redis::cmd("HDEL");
        // `turns` stays, or calls from before the breaker opened would count again.
        command.arg(self.inner.keys.control(channel)).arg(&[
            "paused",
            "paused_by",
            "paused_why",
            "opened",
            "openings",
            "probe_at",
            "probe",
            "probe_end",
            "streak",
            "worked",
            "failed",
            "worked_before",
            "failed_before",
            "not_before",
            "slowed",
            "slowed_at",
        ]);
        self.query::<i64>(&command).await.map(drop)
    }

    /// Writes down how many units a channel shows beyond what is there.
    pub async fn expose(&self, channel: &ChannelId, units: i64) -> Result<(), StoreError> {
        let mut command = redis::cmd("HSET");
        command.arg(self.inner.keys.control(channel)).arg("exposed").arg(units);
        self.query::<i64>(&command).await.map(drop)
    }

    /// What steers a channel now.
    pub async fn channel_control(&self, channel: &ChannelId) -> Result<ChannelControl, StoreError> {
        let now_ms = self.now_ms().await?;
        let mut command = redis::cmd("HMGET");
        command.arg(self.inner.keys.control(channel)).arg(&[
            "paused",
            "paused_by",
            "paused_why",
            "opened",
            "probe_at",
            "probe",
            "probe_end",
            "not_before",
            "slowed",
            "slowed_at",
            "tokens",
            "exposed",
        ]);
        let texts: Vec<Option<String>> = self.query(&command).await?;
        let texts: [Option<String>; 12] = texts.try_into().map_err(|_| StoreError::Corrupt {
            script: "HMGET",
            detail: "another count of values than of fields".to_owned(),
        })?;
        Ok(control(texts, now_ms))
    }
}

fn control(texts: [Option<String>; 12], now_ms: i64) -> ChannelControl {
    let [
        paused,
        actor,
        reason,
        opened,
        probe_at,
        probe,
        probe_end,
        not_before,
        slowed,
        slowed_at,
        tokens,
        exposed,
    ] = texts;
    // As in the scripts: what is no number is 0.
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0_i64);
    let (since_ms, not_before_ms, probe_end_ms) = (number(paused), number(not_before), number(probe_end));
    let is_probing = probe.is_some_and(|token| !token.is_empty()) && now_ms < probe_end_ms;
    let (breaker, probe_ms) = match number(opened) {
        0 => (BreakerState::Closed, None),
        _ if is_probing => (BreakerState::HalfOpen, Some(probe_end_ms)),
        _ => (BreakerState::Open, Some(number(probe_at))),
    };
    let regained = (now_ms - number(slowed_at)).max(0) / PACE_PERMILLE_MS;
    let pace = PACE_FULL - (number(slowed) - regained).max(0);
    ChannelControl {
        pause: (since_ms > 0).then(|| ChannelPause {
            since_ms,
            actor: actor.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }),
        breaker,
        probe_ms,
        not_before_ms: (not_before_ms > now_ms).then_some(not_before_ms),
        tokens: number(tokens) / TOKENS_PER_CALL,
        pace_permille: u32::try_from(pace).unwrap_or(0),
        exposed_units: number(exposed),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(WAIT_MS_MAX)
}

/// Of small shares and factors, so that it fits.
fn permille(share: f64) -> u64 {
    (share.max(0.0) * 1000.0).round() as u64
}

/// Millionths of a call per ms, so that the slowest rate is ten of them; 0 without a rate.
fn tokens_per_ms(terms: &ChannelTerms) -> u64 {
    let per_ms = |per_second: f64| per_second * TOKENS_PER_CALL as f64 / 1000.0;
    terms.rate.per_second.map_or(0, |per_second| (per_ms(per_second).round() as u64).max(1))
}

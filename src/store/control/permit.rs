//! May calls to a channel go now? `lua/permit.lua` decides, for all workers together.

use std::time::Duration;

use crate::domain::{ChannelId, ChannelTerms};

use super::{
    super::{Store, StoreError, propagation::corrupt, scripts::PERMIT_SCRIPT},
    millis, tokens_per_ms,
};

/// No grant of calls is used for longer, so that a pause is heard by everybody within that time.
const GRANT_VALID: Duration = Duration::from_millis(200);
/// Beyond its call's timeout, a probe is given so long to be claimed for and reported.
const PROBE_SLACK: Duration = Duration::from_secs(2);

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

impl Store {
    /// Asks for up to `wanted` calls (1 and up) to a channel.
    pub async fn permit(
        &self,
        channel: &ChannelId,
        terms: &ChannelTerms,
        wanted: u32,
    ) -> Result<Permit, StoreError> {
        self.permit_by(&self.inner.keys.control(channel), terms, wanted).await
    }

    /// The same by the key of what steers the calls.
    pub(super) async fn permit_by(
        &self,
        key: &str,
        terms: &ChannelTerms,
        wanted: u32,
    ) -> Result<Permit, StoreError> {
        let token = uuid::Uuid::now_v7().simple().to_string();
        let mut command = PERMIT_SCRIPT.call([key].into_iter());
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
}

//! What a channel should show: the available number through that channel's policy, and whether the listing is paused.

/// How much of the stock a channel may show, and when its listing is paused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishPolicy {
    /// Units kept back; 0 and up.
    pub buffer: i64,
    /// Share of what is left after the buffer: 0 to 1.
    pub share: f64,
    /// The most it ever shows; 0 and up.
    pub cap: Option<i64>,
    /// A number shown at or under this pauses the listing; 0 and up. None: it is never paused.
    pub pause_at: Option<i64>,
    /// A number shown at or over this resumes it; above `pause_at`, so that a listing does not flap around one number.
    pub resume_at: i64,
}

impl Default for PublishPolicy {
    fn default() -> Self {
        Self { buffer: 0, share: 1.0, cap: None, pause_at: Some(0), resume_at: 1 }
    }
}

impl PublishPolicy {
    /// Whether the number falls by one with each unit sold. With a share or a cap it does not, so such a channel must be told
    /// about its own sales too.
    pub fn falls_with_own_sales(&self) -> bool {
        self.share >= 1.0 && self.cap.is_none()
    }

    /// The number to show; never below zero, always rounded down.
    pub fn published(&self, available: i64) -> i64 {
        let after_buffer = available.saturating_sub(self.buffer).max(0);
        let shared = if self.share < 1.0 {
            // Within 10^14 units a product with a share below one is exact enough to round down.
            (after_buffer as f64 * self.share).floor() as i64
        } else {
            after_buffer
        };
        self.cap.map_or(shared, |cap| shared.min(cap))
    }

    /// Whether the listing is paused while this number is shown. Between the two thresholds it stays as it was.
    pub fn paused(&self, published: i64, was_paused: bool) -> bool {
        match self.pause_at {
            None => false,
            Some(pause_at) if published <= pause_at => true,
            Some(_) => was_paused && published < self.resume_at,
        }
    }

    /// The largest available number with which the channel shows 0 or pauses the listing, `i64::MAX` when it always does:
    /// such news goes ahead of everything else.
    pub fn urgent_at(&self) -> i64 {
        let shown_most = self.pause_at.unwrap_or(0).max(0);
        let is_urgent = |available| self.published(available) <= shown_most;
        if is_urgent(i64::MAX) {
            return i64::MAX;
        }
        // Searched, not computed: only `published` knows how its share rounds. It never falls while available rises.
        let (mut urgent, mut calm) = (self.buffer, i64::MAX);
        while calm - urgent > 1 {
            let middle = urgent + (calm - urgent) / 2;
            if is_urgent(middle) { urgent = middle } else { calm = middle }
        }
        urgent
    }
}

/// What one channel should show for one SKU, under one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredState {
    /// The SKU.
    pub sku: super::Sku,
    /// The number to show.
    pub published: i64,
    /// Whether the listing is paused.
    pub paused: bool,
    /// The version it belongs to.
    pub version: i64,
    /// When that version came to be, in ms of the Redis clock.
    pub updated_ms: i64,
    /// The oldest change the channel has not confirmed, in ms of the Redis clock: the same for every attempt, another when the
    /// same version must be told once more.
    pub unconfirmed_since_ms: i64,
    /// The event that made that version.
    pub event_id: super::EventId,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buffer_then_share_then_cap_never_negative() {
        let check = |buffer, share, cap, available, shown| {
            let policy = PublishPolicy { buffer, share, cap, ..PublishPolicy::default() };
            assert_eq!(policy.published(available), shown, "{policy:?} of {available}");
        };
        check(0, 1.0, None, 7, 7);
        check(0, 1.0, None, -3, 0);
        check(2, 1.0, None, 7, 5);
        check(2, 1.0, None, 1, 0);
        check(2, 0.5, None, 7, 2);
        check(0, 1.0, Some(100), 250, 100);
        check(0, 1.0, Some(0), 250, 0);
    }

    #[test]
    fn a_listing_is_paused_low_and_resumed_higher() {
        let policy = PublishPolicy { pause_at: Some(2), resume_at: 5, ..PublishPolicy::default() };
        let mut paused = false;
        let story = [9, 5, 3, 2, 3, 4, 5, 4, 3, 0, 4, 6].map(|published| {
            paused = policy.paused(published, paused);
            paused
        });
        let (no, yes) = (false, true);
        assert_eq!(story, [no, no, no, yes, yes, yes, no, no, no, yes, yes, no]);

        let usual = PublishPolicy::default();
        assert!(usual.paused(0, false) && usual.paused(0, true));
        assert!(!usual.paused(1, false) && !usual.paused(1, true));
        let never = PublishPolicy { pause_at: None, ..usual };
        assert!(!never.paused(0, false) && !never.paused(0, true), "a policy without pause ends a pause");
    }

    #[test]
    fn what_is_urgent_is_what_nobody_may_buy() {
        let check =
            |policy: PublishPolicy, urgent_at| assert_eq!(policy.urgent_at(), urgent_at, "{policy:?}");
        let usual = PublishPolicy::default();
        check(usual, 0);
        check(PublishPolicy { pause_at: None, ..usual }, 0);
        check(PublishPolicy { buffer: 2, ..usual }, 2);
        check(PublishPolicy { buffer: 2, pause_at: Some(3), resume_at: 4, ..usual }, 5);
        check(PublishPolicy { share: 0.5, ..usual }, 1);
        check(PublishPolicy { share: 0.1, pause_at: Some(2), resume_at: 3, ..usual }, 29);
        check(PublishPolicy { cap: Some(10), ..usual }, 0);
        check(PublishPolicy { cap: Some(0), ..usual }, i64::MAX);
        check(PublishPolicy { share: 0.0, ..usual }, i64::MAX);
    }

    fn policies() -> impl Strategy<Value = PublishPolicy> {
        let small = 0..20_i64;
        let share = prop_oneof![Just(1.0), Just(0.0), 0.0..1.0, 0.0..0.000_001];
        let (cap, pause_at) = (proptest::option::of(small.clone()), proptest::option::of(small.clone()));
        (small.clone(), share, cap, pause_at, 1..5_i64).prop_map(|(buffer, share, cap, pause_at, gap)| {
            PublishPolicy { buffer, share, cap, pause_at, resume_at: pause_at.unwrap_or(0) + gap }
        })
    }

    proptest! {
        #[test]
        fn exactly_the_numbers_up_to_urgent_at_are_urgent(
            policy in policies(),
            available in prop_oneof![-5..100_i64, 0..1_000_000_000_i64],
            around in -2..=2_i64,
        ) {
            let urgent_at = policy.urgent_at();
            for available in [available, urgent_at.saturating_add(around)] {
                let published = policy.published(available);
                let is_urgent = published == 0 || policy.paused(published, false);
                prop_assert_eq!(is_urgent, available <= urgent_at, "{:?} of {}", policy, available);
            }
        }
    }
}

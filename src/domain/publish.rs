//! What a channel should show: the available number through that channel's policy.

/// How much of the stock a channel may show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishPolicy {
    /// Units kept back.
    pub buffer: i64,
    /// Share of what is left after the buffer: 0 to 1.
    pub share: f64,
    /// The most it ever shows.
    pub cap: Option<i64>,
}

impl Default for PublishPolicy {
    fn default() -> Self {
        Self { buffer: 0, share: 1.0, cap: None }
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
}

/// What one channel should show for one SKU, under one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredState {
    /// The SKU.
    pub sku: super::Sku,
    /// The number to show.
    pub published: i64,
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
    use super::*;

    #[test]
    fn buffer_then_share_then_cap_never_negative() {
        let check = |buffer, share, cap, available, shown| {
            let policy = PublishPolicy { buffer, share, cap };
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
}

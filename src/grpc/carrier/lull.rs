//! Looks at Redis that a selection can do without: each is bounded, and none is made for a while after one that failed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use crate::store::StoreError;

/// No look takes longer, however much time there is.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// A look that had less time and failed says nothing about Redis.
const LOOK_FAIR: Duration = Duration::from_millis(50);
/// After Redis failed, no look is made for so long: or each selection would wait for it.
const LULL: Duration = Duration::from_secs(2);

/// Whether Redis is left alone for now.
#[derive(Debug, Default)]
pub(super) struct Lull(Mutex<Option<Instant>>);

impl Lull {
    /// What the look found, in half of the time until `by`; None when Redis did not answer, or was not asked.
    pub(super) async fn look<T>(
        &self,
        by: Instant,
        look: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        let now = Instant::now();
        if self.until().is_some_and(|until| now < until) {
            return None;
        }
        let patience = (by.saturating_duration_since(now) / 2).min(LOOK_MAX);
        let fault = match timeout_at(now + patience, look).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(fault)) => Some(fault),
            Err(_) => None,
        };
        if fault.as_ref().map_or(patience >= LOOK_FAIR, StoreError::is_of_server) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + LULL);
        }
        match fault {
            Some(fault) if !fault.is_of_server() => {
                tracing::warn!(error = &fault as &dyn std::error::Error, "a selection goes on without redis");
            }
            Some(_) | None => tracing::debug!("redis does not answer: selections go on without it"),
        }
        None
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{self, ready};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_redis_that_is_away_is_left_alone_for_a_while() {
        let lull = Lull::default();
        assert_eq!(lull.look(soon(), ready(Ok(1))).await, Some(1));
        let away = StoreError::Unavailable { source: None };
        assert_eq!(lull.look(soon(), ready(Err::<u8, _>(away))).await, None);
        assert_eq!(lull.look(soon(), ready(Ok(2))).await, None, "not asked");
        assert!(lull.until().is_some_and(|until| until > Instant::now()));
        *lull.0.lock().expect("nobody panicked") = Some(Instant::now());
        assert_eq!(lull.look(soon(), ready(Ok(3))).await, Some(3));
    }

    #[tokio::test]
    async fn neither_little_time_nor_a_fault_of_ours_says_something_about_redis() {
        let lull = Lull::default();
        let nothing = future::pending::<Result<u8, StoreError>>();
        assert_eq!(lull.look(Instant::now(), nothing).await, None);
        assert_eq!(lull.look(soon(), ready(Err::<u8, _>(StoreError::Draining))).await, None);
        assert_eq!(lull.look(soon(), ready(Ok(1))).await, Some(1));
    }
}

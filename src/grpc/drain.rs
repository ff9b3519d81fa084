//! Calls under way, and who is waited for when the gateway was told to stop.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::{sleep, timeout};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::method::Shape;

/// After our last call has its answer: long enough for it to reach its caller, and for a call that crossed our goodbye. Not
/// waited for where callers close their connections, as they do after a goodbye.
const LULL: Duration = Duration::from_millis(500);
/// Watches end at once when told to; so long they have to take what was read for them. One that does not read must not hold
/// up the end: it goes on from its token elsewhere.
const WATCHES_PATIENCE: Duration = Duration::from_secs(2);

/// The calls of our rpcs that have not ended.
#[derive(Debug, Clone, Default)]
pub struct UnderWay {
    calls: TaskTracker,
    watches: TaskTracker,
}

impl UnderWay {
    /// Counts a call for as long as the token lives.
    pub(super) fn begin(&self, shape: Shape) -> TaskTrackerToken {
        match shape {
            Shape::ServerStream => self.watches.token(),
            Shape::Unary | Shape::ClientStream | Shape::TwoWay => self.calls.token(),
        }
    }

    /// Returns when no call is under way any more, or when patience is over; how many calls then still are. Watches, which
    /// nobody loses anything by, are not counted.
    pub(super) async fn end(&self, patience: Duration) -> usize {
        self.calls.close();
        self.watches.close();
        let watches = timeout(WATCHES_PATIENCE.min(patience), self.watches.wait());
        let (calls, _) = join(timeout(patience, self.last_call()), watches).await;
        if calls.is_ok() { 0 } else { self.calls.len() }
    }

    /// Returns when no call is under way, and none came in the lull after it.
    async fn last_call(&self) {
        loop {
            self.calls.wait().await;
            sleep(LULL).await; // why: nothing tells when the socket took the last answer
            if self.calls.is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_waited_for_and_counted_when_patience_is_over() {
        let under_way = UnderWay::default();
        let (call, stream) = (under_way.begin(Shape::Unary), under_way.begin(Shape::TwoWay));
        let _watch = under_way.begin(Shape::ServerStream);
        assert_eq!(under_way.end(Duration::from_millis(1)).await, 2);
        drop(call);
        assert_eq!(under_way.end(Duration::from_millis(1)).await, 1);
        drop(stream);
        assert_eq!(under_way.end(WATCHES_PATIENCE * 5).await, 0, "a watch is left behind");
    }
}

//! What sources of prices answered a moment ago, so that the same is not asked again.

use std::time::Duration;

use crate::domain::carrier::SourceId;

use super::{
    super::{Store, StoreError},
    whole_ms,
};

impl Store {
    /// What sources answered when they were asked this, in their order; None: nothing, or too long ago. One read for all.
    pub async fn cached_quotes(
        &self,
        asked: u128,
        sources: &[SourceId],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let keys: Vec<String> = sources.iter().map(|source| self.inner.keys.quotes(asked, source)).collect();
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        self.query_at(first, redis::cmd("MGET").arg(&keys)).await
    }

    /// Keeps what a source answered when it was asked this, for so long; 0: not at all.
    pub async fn put_cached_quotes(
        &self,
        asked: u128,
        source: &SourceId,
        payload: &[u8],
        ttl: Duration,
    ) -> Result<(), StoreError> {
        if ttl.is_zero() {
            return Ok(());
        }
        let key = self.inner.keys.quotes(asked, source);
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(payload).arg("PX").arg(whole_ms(ttl));
        self.query_at(&key, &command).await
    }
}

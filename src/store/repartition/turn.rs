//! One run at a time: who changes the partitions holds a key that runs out soon after he is gone.

use std::time::Duration;

use super::{
    super::{Store, StoreError},
    RepartitionError,
};

/// The right to change the partitions of a shop, for as long as it is renewed.
pub(super) struct Turn {
    store: Store,
    key: String,
    token: String,
    lease: Duration,
}

impl Turn {
    /// Takes the turn, if nobody has it.
    pub(super) async fn take(store: Store, lease: Duration) -> Result<Self, RepartitionError> {
        let token = uuid::Uuid::now_v7().simple().to_string();
        let key = store.inner.keys.repartition();
        let turn = Self { store, key, token, lease };
        if turn.hold().await? { Ok(turn) } else { Err(turn.lost()) }
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn lost(&self) -> RepartitionError {
        RepartitionError::AnotherRun { key: self.key.clone(), lease_ms: self.lease_ms() }
    }

    /// Takes the key, or keeps it; false when another has it.
    async fn hold(&self) -> Result<bool, StoreError> {
        let mut take = redis::cmd("SET");
        take.arg(&self.key).arg(&self.token).arg("NX").arg("PX").arg(self.lease_ms());
        if self.store.query_at::<Option<String>>(&self.key, &take).await?.is_some() {
            return Ok(true);
        }
        let get = redis::cmd("GET").arg(&self.key).to_owned();
        let holder: Option<String> = self.store.query_at(&self.key, &get).await?;
        if holder.as_deref() != Some(&self.token) {
            return Ok(false);
        }
        let mut keep = redis::cmd("PEXPIRE");
        keep.arg(&self.key).arg(self.lease_ms());
        self.store.query_at(&self.key, &keep).await
    }

    /// Does the work while the turn is ours: when another has it, the work stops where it is.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, RepartitionError>>,
    ) -> Result<T, RepartitionError> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.until_lost() => Err(self.lost()),
        }
    }

    async fn until_lost(&self) {
        loop {
            tokio::time::sleep(self.lease / 3).await; // why: nothing says when a lease is about to run out
            // A fault of Redis stops the work itself, if it lasts.
            if let Ok(false) = self.hold().await {
                return;
            }
        }
    }

    /// Gives the turn back, when it is still ours; what came of the work.
    pub(super) async fn after<T>(self, done: Result<T, RepartitionError>) -> Result<T, RepartitionError> {
        if let Err(RepartitionError::AnotherRun { .. }) = done {
            return done;
        }
        let given_back = async {
            if self.hold().await? {
                let _: i64 = self.store.query_at(&self.key, redis::cmd("DEL").arg(&self.key)).await?;
            }
            Ok(())
        };
        let given_back: Result<(), StoreError> = given_back.await;
        let done = done?;
        given_back?;
        Ok(done)
    }
}

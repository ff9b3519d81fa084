//! One run at a time: who changes the partitions holds a key that runs out soon after he is gone.

use std::{
    future::poll_fn,
    sync::{Mutex, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    super::{Store, StoreError, propagation::corrupt, scripts::KEEP_TURN_SCRIPT},
    RepartitionError,
};

/// The right to change the partitions of a shop, for as long as it is renewed.
pub(super) struct Turn {
    store: Store,
    key: String,
    token: String,
    lease: Duration,
    /// When Redis was asked for what it granted last: the key does not run out before a lease from then is over.
    kept_at: Mutex<Instant>,
}

impl Turn {
    /// Takes the turn, if nobody has it.
    pub(super) async fn take(store: Store, lease: Duration) -> Result<Self, RepartitionError> {
        let token = uuid::Uuid::now_v7().simple().to_string();
        let key = store.inner.keys.repartition();
        let turn = Self { store, key, token, lease, kept_at: Mutex::new(Instant::now()) };
        let mut take = redis::cmd("SET");
        take.arg(&turn.key).arg(&turn.token).arg("NX").arg("PX").arg(turn.lease_ms());
        match turn.store.query_at::<Option<String>>(&turn.key, &take).await? {
            Some(_) => Ok(turn),
            None => Err(RepartitionError::AnotherRun { key: turn.key.clone(), lease_ms: turn.lease_ms() }),
        }
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Puts off its end, 0: gives it back; false when it is not ours any more.
    async fn keep(&self, lease_ms: u64) -> Result<bool, StoreError> {
        let mut command = KEEP_TURN_SCRIPT.call([self.key.as_str()].into_iter());
        command.arg(&self.token).arg(lease_ms);
        let reply = self.store.run_script(&KEEP_TURN_SCRIPT, &command).await?;
        match reply.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["kept"] => Ok(true),
            ["lost"] => Ok(false),
            _ => Err(corrupt(&KEEP_TURN_SCRIPT, &reply)),
        }
    }

    /// Does the work while the turn is ours; when it is not any more, the work stops where it is.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, RepartitionError>>,
    ) -> Result<T, RepartitionError> {
        // Looked at before every step of the work: a run that slept must not wait for what Redis says of its turn.
        let until_over = poll_fn(|_| if self.is_over() { Poll::Ready(()) } else { Poll::Pending });
        tokio::select! {
            biased;
            () = until_over => Err(RepartitionError::LostTurn),
            () = self.until_lost() => Err(RepartitionError::LostTurn),
            done = work => done,
        }
    }

    /// By our own clock, which is never behind the key.
    fn is_over(&self) -> bool {
        self.kept_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= self.lease
    }

    async fn until_lost(&self) {
        loop {
            sleep(self.lease / 3).await; // why: nothing says when a lease is about to run out
            let asked_at = Instant::now();
            match self.keep(self.lease_ms()).await {
                Ok(true) => *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner) = asked_at,
                Ok(false) => return,
                // If that lasts the turn is over.
                Err(_) => {}
            }
        }
    }

    /// Gives the turn back, when it is still ours; what came of the work.
    pub(super) async fn after<T>(self, done: Result<T, RepartitionError>) -> Result<T, RepartitionError> {
        let given_back = self.keep(0).await;
        let done = done?;
        given_back?;
        Ok(done)
    }
}

//! Hears what other processes ring for: an operator's word, marks on a channel that is served here and not there, workers that came
//! or went.

use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

use super::{FAULT_PAUSE, Wake, outage::Outage, pause};

/// How long one read waits for a ring.
const READ_WAIT_MS: u64 = 10_000;

pub(super) async fn run(store: Store, wake: Wake, stop: CancellationToken) {
    let mut outage = Outage::of("hear what other workers ring for", None);
    while !stop.is_cancelled() {
        // A read that is dropped loses nothing: whoever begins to listen looks at everything first.
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = listen(&store, &wake, &mut outage) => heard,
        };
        if let Err(fault) = heard {
            outage.is_felt(&fault);
            pause(FAULT_PAUSE, &stop).await;
        }
    }
}

async fn listen(store: &Store, wake: &Wake, outage: &mut Outage) -> Result<(), StoreError> {
    let mut bell = store.bell_reader().await?;
    outage.is_over();
    wake.ring_all();
    loop {
        bell.next(READ_WAIT_MS).await?.iter().for_each(|ring| wake.ring(ring));
    }
}

//! What every mutating rpc does: send it down, count what became of it.

use metrics::{Counter, counter};
use tonic::{Extensions, Request};

use crate::{
    domain::{Answer, ClientId, Mutation, Rpc},
    store::{Store, StoreError},
    telemetry,
};

use super::{convert::Problem, deadline::Deadline};

const RPCS: [Rpc; 8] = [
    Rpc::Decrement,
    Rpc::Restock,
    Rpc::Reserve,
    Rpc::Commit,
    Rpc::Release,
    Rpc::ExtendHold,
    Rpc::AdjustStock,
    Rpc::SetStock,
];

/// The store as rpcs use it.
#[derive(Clone)]
pub(super) struct Decider {
    pub(super) store: Store,
    replays: Counter,
    /// Looked up once: rpc, then applied, refused, fault.
    outcomes: [[Counter; 3]; RPCS.len()],
}

impl Decider {
    pub(super) fn new(store: Store) -> Self {
        let outcomes = RPCS.map(|rpc| {
            ["applied", "refused", "fault"]
                .map(|outcome| counter!(telemetry::MUTATIONS, "rpc" => rpc.name(), "outcome" => outcome))
        });
        Self { store, replays: counter!(telemetry::REPLAYS), outcomes }
    }

    /// Sends a mutation down.
    pub(super) async fn decide(
        &self,
        mutation: &Mutation,
        deadline: Option<Deadline>,
    ) -> Result<Answer, Problem> {
        let decided = self.store.mutate(mutation, deadline.map(|deadline| deadline.0)).await;
        self.count(mutation.rpc(), &decided);
        Ok(decided?)
    }

    /// Counts what became of a mutation.
    pub(super) fn count(&self, rpc: Rpc, decided: &Result<Answer, StoreError>) {
        let outcome = match decided {
            Ok(Answer { result: Ok(_), .. }) => 0,
            Ok(Answer { result: Err(_), .. }) => 1,
            Err(_) => 2,
        };
        if let Some(index) = RPCS.iter().position(|known| *known == rpc) {
            self.outcomes[index][outcome].increment(1);
        }
        if matches!(decided, Ok(Answer { replayed: true, .. })) {
            self.replays.increment(1);
        }
    }
}

/// A request, and when its answer must be ready.
pub(super) fn with_deadline<T>(request: Request<T>) -> (T, Option<Deadline>) {
    let (_, extensions, message) = request.into_parts();
    let deadline = deadline_of(&extensions);
    (message, deadline)
}

pub(super) fn deadline_of(extensions: &Extensions) -> Option<Deadline> {
    extensions.get::<Deadline>().copied()
}

/// Who calls. Nobody has to say who he is yet.
pub(super) fn caller() -> ClientId {
    ClientId::anonymous()
}

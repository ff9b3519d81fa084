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

/// Where an outcome stands in the counters of an rpc.
const APPLIED: usize = 0;
const REFUSED: usize = 1;
const FAULT: usize = 2;

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

    /// Sends a mutation down. Given up by its caller, or by the deadline of the call around it, it counts as a fault.
    pub(super) async fn decide(
        &self,
        mutation: &Mutation,
        deadline: Option<Deadline>,
    ) -> Result<Answer, Problem> {
        let undecided = Undecided { decider: self, rpc: mutation.rpc() };
        let decided = self.store.mutate(mutation, deadline.map(|deadline| deadline.0)).await;
        std::mem::forget(undecided);
        self.count(mutation.rpc(), &decided);
        Ok(decided?)
    }

    /// Counts what became of a mutation.
    pub(super) fn count(&self, rpc: Rpc, decided: &Result<Answer, StoreError>) {
        let outcome = match decided {
            Ok(Answer { result: Ok(_), .. }) => APPLIED,
            Ok(Answer { result: Err(_), .. }) => REFUSED,
            Err(_) => FAULT,
        };
        self.count_outcome(rpc, outcome);
        if matches!(decided, Ok(Answer { replayed: true, .. })) {
            self.replays.increment(1);
        }
    }

    fn count_outcome(&self, rpc: Rpc, outcome: usize) {
        if let Some(index) = RPCS.iter().position(|known| *known == rpc) {
            self.outcomes[index][outcome].increment(1);
        }
    }
}

/// A mutation whose answer nobody has seen yet.
pub(super) struct Undecided<'a> {
    pub(super) decider: &'a Decider,
    pub(super) rpc: Rpc,
}

impl Drop for Undecided<'_> {
    fn drop(&mut self) {
        self.decider.count_outcome(self.rpc, FAULT);
    }
}

/// A request, and when its answer must be ready, where its service has to see to that itself.
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

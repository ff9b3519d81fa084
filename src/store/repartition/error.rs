//! Why partitions were not changed, and what to do about it.

use crate::domain::Partitions;

use super::{super::StoreError, ShopTotals};

/// Why partitions were not changed. Unless it says otherwise, the shop is as it was and gateways may start.
#[derive(Debug, thiserror::Error)]
pub enum RepartitionError {
    /// Nobody ever started there.
    #[error(
        "there is no shop in namespace {namespace:?}: check redis.url and redis.namespace; a new shop gets its partitions from \
         redis.partitions at its first start"
    )]
    UnknownNamespace {
        /// Where it was looked for.
        namespace: String,
    },
    /// It has so many already.
    #[error("this shop has {count} partitions already")]
    SameCount {
        /// How many.
        count: u16,
    },
    /// A change to another number is past the point where it can be given up.
    #[error(
        "this shop is on its way from {from} to {to} partitions, and the old ones are not whole any more: finish it with \
         `stockgate repartition --to {to}`"
    )]
    OnItsWay {
        /// From how many.
        from: u16,
        /// To how many.
        to: u16,
    },
    /// There is nothing to give up.
    #[error("no change of partitions is under way here")]
    NothingUnderWay,
    /// Another run is at it.
    #[error(
        "another repartition is at work on this shop: wait for its end; when it was killed, {key} runs out within {lease_ms} ms"
    )]
    AnotherRun {
        /// The key it holds.
        key: String,
        /// How long the key lives without it.
        lease_ms: u64,
    },
    /// The run stood still, or Redis did, for longer than the right to go on lasts.
    #[error(
        "this run stood still for so long that another may have gone on with the change, or finished it: it has stopped where it was. \
         Run it again"
    )]
    LostTurn,
    /// A gateway or worker runs.
    #[error(
        "a gateway or worker is running on this shop, as {key} shows: stop all of them, on every machine, then run this again"
    )]
    Alive {
        /// The key they write.
        key: String,
    },
    /// Live holds name their partitions in their ids.
    #[error(
        "{live} live holds: their ids name their partitions, so they must end first. Start a gateway, keep new reserves away, and \
         commit or release them, or wait until they have expired{}; then stop it and run this again",
        ends_in(*last_ends_in_ms)
    )]
    LiveHolds {
        /// How many.
        live: u64,
        /// When the last of them is over; None when that is not known.
        last_ends_in_ms: Option<i64>,
    },
    /// Verifying found something before anything was moved.
    #[error(
        "verify finds {wrong} things wrong, and a broken shop is not moved: {shown}. Start a gateway, run `stockgate verify` and \
         mend them (`--repair`, channels resync), then stop it and run this again"
    )]
    Wrong {
        /// How many.
        wrong: usize,
        /// The first of them.
        shown: String,
    },
    /// Entries that do not parse: nobody can say what they changed, so verify repairs nothing while they are there.
    #[error(
        "{unreadable} entries of the streams do not parse, and cannot be moved: {shown}. Save each with `redis-cli XRANGE <stream> <id> \
         <id>` and remove it with `{remove}`; then start a gateway, run `stockgate verify --repair`, which takes counts from the \
         events that are left, and set the SKUs it names to what is there; then stop it and run this again"
    )]
    Unreadable {
        /// How many.
        unreadable: usize,
        /// The first of them.
        shown: String,
        /// What removes the first of them.
        remove: String,
    },
    /// The copy is not what was copied.
    #[error("the copy is not right, so it was thrown away: {shown}")]
    CopyWrong {
        /// What verifying it found.
        shown: String,
    },
    /// The copy adds up to something else.
    #[error("the copy does not add up to the same, so it was thrown away: {before:?} became {after:?}")]
    CopyDiffers {
        /// What there was.
        before: Box<ShopTotals>,
        /// What the copy has.
        after: Box<ShopTotals>,
    },
    /// The new layout is in place and does not verify.
    #[error(
        "the shop is moved, and verify finds this wrong: {shown}. Start a gateway and run `stockgate verify`"
    )]
    WrongAfter {
        /// What was found.
        shown: String,
    },
    /// A run was killed while copying, as it is written, and yet something of the old layout is gone.
    #[error(
        "a run before this one was killed while copying, and yet {key} is gone: Redis has lost writes, maybe by a failover. Nothing \
         was touched, and the copy is kept: restore the shop from a backup"
    )]
    Torn {
        /// A key that should be there.
        key: String,
    },
    /// A name in a key that belongs to no partition.
    #[error(
        "{key} has {name:?}, which is no {wanted}: nobody can say where it belongs. Remove it, or mend it"
    )]
    Homeless {
        /// The key.
        key: String,
        /// The field or member.
        name: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A consumer group that is none of ours would lose its place.
    #[error(
        "{key} has a consumer group {group:?}, whose place would be lost: remove it with XGROUP DESTROY, and make it again \
         afterwards"
    )]
    ForeignGroup {
        /// The stream.
        key: String,
        /// The group.
        group: String,
    },
    /// A fact about the namespace does not parse.
    #[error("{field} in {key} does not parse: mend it by hand")]
    Facts {
        /// The key.
        key: String,
        /// The field.
        field: &'static str,
    },
    /// Redis could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RepartitionError {
    pub(super) fn on_its_way(from: Partitions, to: Partitions) -> Self {
        Self::OnItsWay { from: from.count(), to: to.count() }
    }
}

fn ends_in(last_ends_in_ms: Option<i64>) -> String {
    match last_ends_in_ms {
        Some(ms) if ms > 0 => format!(" (the last in {} s)", (ms + 999) / 1000),
        Some(_) => " (their time is over: its sweeper ends them within seconds, and `stockgate verify` names those that do not parse)".to_owned(),
        None => String::new(),
    }
}

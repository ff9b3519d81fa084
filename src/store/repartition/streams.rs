//! Reading the streams of all partitions as one, in the order of their entries, each with whether it was carried to channels.

use std::collections::VecDeque;

use redis::streams::{StreamInfoGroupsReply, StreamRangeReply};

use crate::domain::Partition;

use super::{
    super::{EntryId, Store, StoreError, propagation::GROUP},
    RepartitionError,
};

/// Entries held in memory at most, about; one has up to some hundred mutations.
const AHEAD: usize = 2000;
/// Entries read by one command at most, and at least.
const PAGE: std::ops::RangeInclusive<usize> = 8..=500;

/// One entry of one of the streams.
pub(super) struct StoredEntry {
    pub(super) id: EntryId,
    pub(super) partition: Partition,
    /// The group has acknowledged it.
    pub(super) is_carried: bool,
    pub(super) at_ms: String,
    pub(super) text: String,
}

/// All streams of a layout.
pub(super) struct Streams<'a> {
    store: &'a Store,
    page: usize,
    lanes: Vec<Lane>,
}

struct Lane {
    partition: Partition,
    key: String,
    ahead: VecDeque<StoredEntry>,
    /// Where to read on; None at the end.
    from: Option<EntryId>,
    /// The group has been given everything up to here; None without a group.
    given: Option<EntryId>,
    /// What was given and not acknowledged, in order.
    pending: VecDeque<EntryId>,
    pending_from: Option<EntryId>,
}

impl<'a> Streams<'a> {
    /// Begins at the beginning of each.
    pub(super) async fn open(store: &'a Store) -> Result<Self, RepartitionError> {
        let mut lanes = Vec::new();
        for partition in store.partitions().all() {
            let key = store.inner.keys.events(partition);
            let given = given(store, &key).await?;
            lanes.push(Lane {
                partition,
                key,
                ahead: VecDeque::new(),
                from: Some(EntryId::default()),
                given,
                pending: VecDeque::new(),
                pending_from: given.map(|_| EntryId::default()),
            });
        }
        let page = (AHEAD / lanes.len().max(1)).clamp(*PAGE.start(), *PAGE.end());
        Ok(Self { store, page, lanes })
    }

    /// The next entry of all; None at the end.
    pub(super) async fn next(&mut self) -> Result<Option<StoredEntry>, RepartitionError> {
        for lane in &mut self.lanes {
            if lane.ahead.is_empty() {
                lane.read_on(self.store, self.page).await?;
            }
        }
        let place = |lane: &Lane| lane.ahead.front().map(|entry| (entry.id, entry.partition));
        let begun = self.lanes.iter_mut().filter(|lane| !lane.ahead.is_empty());
        Ok(begun.min_by_key(|lane| place(lane)).and_then(|lane| lane.ahead.pop_front()))
    }
}

impl Lane {
    async fn read_on(&mut self, store: &Store, page: usize) -> Result<(), RepartitionError> {
        let Some(from) = self.from else { return Ok(()) };
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.key).arg(from.to_string()).arg("+").arg("COUNT").arg(page);
        let reply: StreamRangeReply = store.query_at(&self.key, &command).await?;
        let is_last = reply.ids.len() < page;
        let mut last = None;
        for stored in reply.ids {
            let homeless = || RepartitionError::Homeless {
                key: self.key.clone(),
                name: stored.id.clone(),
                wanted: "entry of the stream",
            };
            let id = EntryId::parse(&stored.id).ok_or_else(homeless)?;
            let text = |field: &str| stored.get::<String>(field).ok_or_else(homeless);
            let (at_ms, text) = (text("t")?, text("e")?);
            let is_carried = self.is_carried(store, id, page).await?;
            self.ahead.push_back(StoredEntry { id, partition: self.partition, is_carried, at_ms, text });
            last = Some(id);
        }
        self.from = last.filter(|_| !is_last).and_then(EntryId::next);
        Ok(())
    }

    /// Asked of entries in their order.
    async fn is_carried(&mut self, store: &Store, id: EntryId, page: usize) -> Result<bool, StoreError> {
        if self.given.is_none_or(|given| id > given) {
            return Ok(false);
        }
        loop {
            while self.pending.front().is_some_and(|pending| *pending < id) {
                self.pending.pop_front();
            }
            match (self.pending.front(), self.pending_from) {
                (Some(pending), _) => return Ok(*pending != id),
                (None, None) => return Ok(true),
                (None, Some(from)) => self.read_pending(store, from, page).await?,
            }
        }
    }

    async fn read_pending(&mut self, store: &Store, from: EntryId, page: usize) -> Result<(), StoreError> {
        let mut command = redis::cmd("XPENDING");
        command.arg(&self.key).arg(GROUP).arg(from.to_string()).arg("+").arg(page);
        let found: Vec<(String, String, i64, i64)> = store.query_at(&self.key, &command).await?;
        let is_last = found.len() < page;
        self.pending.extend(found.iter().filter_map(|(id, ..)| EntryId::parse(id)));
        self.pending_from = self.pending.back().filter(|_| !is_last).and_then(|last| last.next());
        Ok(())
    }
}

/// Up to where the group has been given entries.
async fn given(store: &Store, key: &str) -> Result<Option<EntryId>, RepartitionError> {
    // Redis does not tell of the groups of a stream that is not there.
    if !store.query_at::<bool>(key, redis::cmd("EXISTS").arg(key)).await? {
        return Ok(None);
    }
    let groups: StreamInfoGroupsReply =
        store.query_at(key, redis::cmd("XINFO").arg("GROUPS").arg(key)).await?;
    let mut given = None;
    for group in groups.groups {
        if group.name != GROUP {
            return Err(RepartitionError::ForeignGroup { key: key.to_owned(), group: group.name });
        }
        given = EntryId::parse(&group.last_delivered_id);
    }
    Ok(given)
}

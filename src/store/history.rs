//! Paging through events, of one SKU or of all, forwards or backwards, over all partitions in the order of their entries.

use std::{collections::VecDeque, ops::Range};

use crate::domain::{Event, EventId, Partition, Sku};

use super::{Entry, EntryId, Store, StoreError};

/// Entries read by one command.
const READ_ENTRIES: usize = 500;
/// Reads one page costs at most, besides one per partition: a rare SKU's page may come back short, with a token.
const READS_MAX: usize = 20;

/// Which events.
#[derive(Debug, Clone)]
pub struct EventScope {
    /// Only of this SKU.
    pub sku: Option<Sku>,
    /// From this entry on, itself included.
    pub first: EntryId,
    /// Up to this entry, itself included.
    pub last: EntryId,
    /// Not before this ms of the Redis clock, and before that one: an entry's id is up to a script's run older than its events.
    pub at_ms: Range<i64>,
    /// From the last event back.
    pub newest_first: bool,
}

impl EventScope {
    fn holds(&self, event: &Event) -> bool {
        self.sku.as_ref().is_none_or(|sku| *sku == event.sku) && self.at_ms.contains(&event.at_ms)
    }
}

/// The last event that was passed, per partition; one left out begins at its end of the scope.
pub type EventPosition = Vec<EventId>;

/// A page of events.
#[derive(Debug, Default)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where to go on; None at the end.
    pub next: Option<EventPosition>,
}

/// What was read ahead of one partition.
struct Lane {
    partition: Partition,
    passed: Option<EventId>,
    ahead: VecDeque<Event>,
    /// The last entry read, whether or not anything of it was given.
    read_to: Option<EntryId>,
    exhausted: bool,
}

impl Lane {
    /// Where the next page goes on, so that it shows what this one would have shown.
    fn place(&self, newest_first: bool) -> Option<EventId> {
        let at = |entry: EntryId, index| EventId {
            partition: self.partition,
            entry_ms: entry.ms,
            entry_seq: entry.seq,
            index,
        };
        match (self.passed, self.ahead.front(), self.read_to) {
            (Some(passed), ..) => Some(passed),
            // From the oldest on, a partition nothing was taken from begins where it began.
            (None, ..) if !newest_first => None,
            // Just above: what comes later is newer than what was shown already.
            (None, Some(front), _) => Some(EventId { index: front.id.index + 1, ..front.id }),
            (None, None, Some(read_to)) if !self.exhausted => Some(at(read_to, 0)),
            (None, None, _) => Some(at(EntryId::default(), 0)),
        }
    }
}

fn position_of(scope: &EventScope, lanes: &[Lane]) -> EventPosition {
    lanes.iter().filter_map(|lane| lane.place(scope.newest_first)).collect()
}

impl Store {
    /// Reads at most `count` events of a scope, after `position`.
    pub async fn event_page(
        &self,
        scope: &EventScope,
        position: &[EventId],
        count: usize,
    ) -> Result<EventPage, StoreError> {
        let partitions: Vec<Partition> = match &scope.sku {
            Some(sku) => vec![self.partitions().of(sku)],
            None => self.partitions().all().collect(),
        };
        let lane = |partition| Lane {
            partition,
            passed: position.iter().find(|id| id.partition == partition).copied(),
            ahead: VecDeque::new(),
            read_to: None,
            exhausted: false,
        };
        let mut lanes: Vec<Lane> = partitions.into_iter().map(lane).collect();
        let mut reads_left = READS_MAX + lanes.len();
        let mut page = EventPage::default();
        loop {
            for lane in &mut lanes {
                if lane.ahead.is_empty() && !lane.exhausted {
                    if reads_left == 0 {
                        page.next = Some(position_of(scope, &lanes));
                        return Ok(page);
                    }
                    reads_left -= 1;
                    self.read_ahead(scope, lane).await?;
                }
            }
            let place = |lane: &Lane| lane.ahead.front().map(|event| (event.id.entry_ms, event.id.entry_seq));
            let begun = lanes.iter_mut().filter(|lane| !lane.ahead.is_empty());
            let next = match scope.newest_first {
                true => begun.max_by_key(|lane| place(lane)),
                false => begun.min_by_key(|lane| place(lane)),
            };
            let Some(lane) = next else {
                if lanes.iter().all(|lane| lane.exhausted) {
                    return Ok(page);
                }
                continue;
            };
            let Some(event) = lane.ahead.pop_front() else { continue };
            lane.passed = Some(event.id);
            if scope.holds(&event) {
                page.events.push(event);
            }
            if page.events.len() == count {
                page.next = Some(position_of(scope, &lanes));
                return Ok(page);
            }
        }
    }

    async fn read_ahead(&self, scope: &EventScope, lane: &mut Lane) -> Result<(), StoreError> {
        let passed = lane.passed;
        let at = lane.read_to.or(passed.map(|id| EntryId { ms: id.entry_ms, seq: id.entry_seq }));
        let (first, last) = match (scope.newest_first, at) {
            (false, Some(at)) => (at.max(scope.first), scope.last),
            (true, Some(at)) => (scope.first, at.min(scope.last)),
            (_, None) => (scope.first, scope.last),
        };
        let entries = self.entries(lane.partition, first, last, READ_ENTRIES, scope.newest_first).await?;
        lane.read_to = entries.last().map(|entry| entry.id);
        lane.exhausted = entries.len() < READ_ENTRIES;
        for Entry { id, events } in entries {
            let Some(mut events) = events else {
                // One bad entry must not hide all others; VerifyStock names it.
                tracing::error!(entry = %id, partition = lane.partition.0, "an event entry does not parse");
                continue;
            };
            if scope.newest_first {
                events.reverse();
            }
            let is_ahead = |event: &Event| match passed {
                Some(passed) if scope.newest_first => event.id < passed,
                Some(passed) => event.id > passed,
                None => true,
            };
            lane.ahead.extend(events.into_iter().filter(is_ahead));
        }
        Ok(())
    }
}

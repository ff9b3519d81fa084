//! Writing the new streams: every entry of the old ones, cut up by the partitions its SKUs have from now on, in the old order,
//! and the place of the consumer group among them.

use std::collections::{BTreeMap, HashMap};

use redis::streams::StreamRangeReply;

use crate::domain::{EventId, EventKind, Partition, Partitions, Sku};

use super::{
    super::{EntryId, Store, propagation::GROUP},
    RepartitionError,
    streams::StoredEntry,
};

/// Entries, bytes and SKUs one pipeline carries, about.
const ENTRIES_MAX: usize = 500;
const BYTES_MAX: usize = 1 << 20;
const SKUS_MAX: usize = 2000;
/// Entries made pending by one command.
const PENDING_PAGE: usize = 500;
/// Who has what is still to be carried between carried entries; workers adopt it at once.
const CONSUMER: &str = "repartition";
/// Idle so long, for workers to adopt it, ms.
const IDLE_MS: u64 = 3_600_000;
/// Entries of the n-th change of partitions have n in this half of the second part of their ids: no event of the old layout
/// can be taken for one of the new.
const CHANGE_SHIFT: u32 = 32;

/// What one mutation of an entry says of its SKU.
struct Told {
    sku: Sku,
    /// None when it makes none.
    version: Option<i64>,
}

/// The part of an old entry that goes to one partition.
#[derive(Default)]
struct Piece {
    text: String,
    cause: Option<String>,
    told: Vec<Told>,
}

/// One new stream.
#[derive(Clone, Copy, Default)]
struct Out {
    last: EntryId,
    written: u64,
    /// Entries at its end that are still to be carried.
    uncarried: Option<Run>,
}

/// Entries one after the other, none of which was carried.
#[derive(Clone, Copy)]
struct Run {
    first: EntryId,
    /// The entry before, and how many there are up to it.
    before: EntryId,
    written_before: u64,
}

/// Writes the streams of a layout.
pub(super) struct Entries<'a> {
    from: &'a Store,
    to: &'a Store,
    change: u64,
    outs: Vec<Out>,
    commands: Vec<(String, redis::Cmd)>,
    bytes: usize,
    /// The newest version of each SKU in these commands, and its event.
    newest: HashMap<Sku, (i64, EventId)>,
}

impl<'a> Entries<'a> {
    /// Begins empty streams, each with its group, for the n-th change.
    pub(super) async fn begin(from: &'a Store, to: &'a Store, change: u64) -> Result<Self, RepartitionError> {
        to.ensure_group().await?;
        let outs = vec![Out::default(); usize::from(to.partitions().count())];
        Ok(Self { from, to, change, outs, commands: Vec::new(), bytes: 0, newest: HashMap::new() })
    }

    /// Writes one entry, the next in order of all.
    pub(super) async fn write(&mut self, entry: &StoredEntry) -> Result<(), RepartitionError> {
        let pieces = cut(&entry.text, self.to.partitions()).ok_or_else(|| RepartitionError::Homeless {
            key: self.from.inner.keys.events(entry.partition),
            name: entry.id.to_string(),
            wanted: "entry of the stream",
        })?;
        for (partition, piece) in pieces {
            let id = self.append(partition, entry.id.ms, entry.is_carried).await?;
            let key = self.to.inner.keys.events(partition);
            let mut command = redis::cmd("XADD");
            command.arg(&key).arg(id.to_string()).arg("t").arg(&entry.at_ms).arg("e").arg(&piece.text);
            self.bytes += piece.text.len();
            self.commands.push((key, command));
            for (told, index) in piece.told.into_iter().zip(0..) {
                let event = EventId { partition, entry_ms: id.ms, entry_seq: id.seq, index };
                if let Some(version) = told.version {
                    self.newest.insert(told.sku, (version, event));
                }
            }
        }
        let is_full = self.commands.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX;
        if is_full || self.newest.len() >= SKUS_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// The id of the next entry of a stream.
    async fn append(
        &mut self,
        partition: Partition,
        ms: u64,
        is_carried: bool,
    ) -> Result<EntryId, RepartitionError> {
        let at = usize::from(partition.0);
        let Out { last, written, uncarried } = self.outs[at];
        let ms = ms.max(last.ms);
        let fresh = EntryId { ms, seq: self.change << CHANGE_SHIFT };
        let id = if written > 0 && ms == last.ms { last.next().unwrap_or(fresh) } else { fresh };
        let uncarried = match (uncarried, is_carried) {
            (Some(run), true) => {
                self.flush().await?;
                self.make_pending(partition, run).await?;
                None
            }
            (None, false) => Some(Run { first: id, before: last, written_before: written }),
            (unchanged, _) => unchanged,
        };
        self.outs[at] = Out { last: id, written: written + 1, uncarried };
        Ok(id)
    }

    async fn flush(&mut self) -> Result<(), RepartitionError> {
        self.to.command_each(&std::mem::take(&mut self.commands)).await?;
        self.bytes = 0;
        self.rename_last_events().await
    }

    /// A level names the event that made its version: by its new name, once that event is written.
    async fn rename_last_events(&mut self) -> Result<(), RepartitionError> {
        let mut by_partition: BTreeMap<Partition, Vec<(Sku, i64, EventId)>> = BTreeMap::new();
        for (sku, (version, event)) in self.newest.drain() {
            by_partition.entry(event.partition).or_default().push((sku, version, event));
        }
        let mut commands = Vec::new();
        for (partition, newest) in by_partition {
            let key = self.to.inner.keys.stock(partition);
            let mut command = redis::cmd("HMGET");
            command.arg(&key);
            for (sku, ..) in &newest {
                command.arg(sku.as_str());
            }
            let texts: Vec<Option<String>> = self.to.query_at(&key, &command).await?;
            let mut set = redis::cmd("HSET");
            set.arg(&key);
            let mut is_any = false;
            for ((sku, version, event), text) in newest.iter().zip(texts) {
                if let Some(named) = text.and_then(|text| named(&text, *version, *event)) {
                    set.arg(sku.as_str()).arg(named);
                    is_any = true;
                }
            }
            if is_any {
                commands.push((key, set));
            }
        }
        Ok(self.to.command_each(&commands).await?)
    }

    /// Entries between carried ones: given to somebody who will not carry them, so that workers do.
    async fn make_pending(&self, partition: Partition, run: Run) -> Result<(), RepartitionError> {
        let key = self.to.inner.keys.events(partition);
        let mut from = Some(run.first);
        while let Some(first) = from {
            let mut range = redis::cmd("XRANGE");
            range.arg(&key).arg(first.to_string()).arg("+").arg("COUNT").arg(PENDING_PAGE);
            let found: StreamRangeReply = self.to.query_at(&key, &range).await?;
            let ids: Vec<EntryId> = found.ids.iter().filter_map(|entry| EntryId::parse(&entry.id)).collect();
            if ids.is_empty() {
                return Ok(());
            }
            let mut claim = redis::cmd("XCLAIM");
            claim.arg(&key).arg(GROUP).arg(CONSUMER).arg(0);
            for id in &ids {
                claim.arg(id.to_string());
            }
            claim.arg("IDLE").arg(IDLE_MS).arg("FORCE").arg("JUSTID");
            let _: Vec<String> = self.to.query_at(&key, &claim).await?;
            from = ids.last().filter(|_| ids.len() == PENDING_PAGE).and_then(|last| last.next());
        }
        Ok(())
    }

    /// Writes what is left, and where the group reads on.
    pub(super) async fn finish(mut self) -> Result<(), RepartitionError> {
        self.flush().await?;
        let mut commands = Vec::with_capacity(self.outs.len());
        for (partition, out) in self.to.partitions().all().zip(&self.outs) {
            let key = self.to.inner.keys.events(partition);
            let (place, read) = match out.uncarried {
                Some(run) => (run.before, run.written_before),
                None => (out.last, out.written),
            };
            let mut command = redis::cmd("XGROUP");
            command.arg("SETID").arg(&key).arg(GROUP).arg(place.to_string()).arg("ENTRIESREAD").arg(read);
            commands.push((key, command));
        }
        Ok(self.to.command_each(&commands).await?)
    }
}

/// The text of a level under the new name of its last event; None when that event made another version.
fn named(text: &str, version: i64, event: EventId) -> Option<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let [on_hand, held, stored, updated, refused, _] = words[..] else { return None };
    let is_its = stored.parse() == Ok(version);
    is_its.then(|| format!("{on_hand} {held} {stored} {updated} {refused} {event}"))
}

/// Cuts the text of an entry (`lua/README.md`) up by partition; None when it is no such text.
fn cut(text: &str, to: Partitions) -> Option<BTreeMap<Partition, Piece>> {
    let mut pieces: BTreeMap<Partition, Piece> = BTreeMap::new();
    let mut cause = None;
    for line in text.split('\n') {
        if line.starts_with('{') {
            cause = Some(line);
            continue;
        }
        let cause = cause?;
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, sku, _, _, _, _, version] = words[..] else { return None };
        let kind = EventKind::from_letter(kind.parse().ok()?)?;
        let sku = Sku::parse(sku).ok()?;
        let piece = pieces.entry(to.of(&sku)).or_default();
        if piece.cause.as_deref() != Some(cause) {
            piece.push(cause);
            piece.cause = Some(cause.to_owned());
        }
        piece.push(line);
        let version = version.parse().ok()?;
        piece.told.push(Told { sku, version: kind.makes_version().then_some(version) });
    }
    Some(pieces)
}

impl Piece {
    fn push(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_order_and_causes() {
        let sixteen = Partitions::new(16).expect("not zero");
        let of = |sku: &str| sixteen.of(&Sku::parse(sku).expect("legal"));
        assert_ne!(of("A"), of("B"));
        let text = "{\"key\":\"k1\"}\nd A -1 0 4 0 2\nd B -2 0 1 0 9\nf A 0 0 4 0 2\n{\"key\":\"k2\"} {\"key\":\"k0\"}\nc A -1 -1 3 0 3";
        let pieces = cut(text, sixteen).expect("parses");
        assert_eq!(pieces[&of("B")].text, "{\"key\":\"k1\"}\nd B -2 0 1 0 9");
        let a = &pieces[&of("A")];
        assert_eq!(
            a.text,
            "{\"key\":\"k1\"}\nd A -1 0 4 0 2\nf A 0 0 4 0 2\n{\"key\":\"k2\"} {\"key\":\"k0\"}\nc A -1 -1 3 0 3"
        );
        let versions: Vec<_> = a.told.iter().map(|told| told.version).collect();
        assert_eq!(versions, [Some(2), None, Some(3)]);
        assert_eq!(cut(text, Partitions::ONE).expect("parses")[&Partition(0)].text, text);
        for bad in ["d A -1 0 4 0 2", "{}\nq A 0 0 0 0 0", "{}\nd A 1"] {
            assert!(cut(bad, sixteen).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_level_is_named_by_the_event_of_its_version() {
        let event = EventId { partition: Partition(3), entry_ms: 7, entry_seq: 1 << 32, index: 2 };
        assert_eq!(named("8 3 3 99 0 0-7-0-5", 3, event).as_deref(), Some("8 3 3 99 0 3-7-4294967296-2"));
        assert_eq!(named("8 3 4 99 0 0-7-0-5", 3, event), None);
        assert_eq!(named("8 3", 3, event), None);
    }
}

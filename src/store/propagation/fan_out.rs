//! Marking what entries of the stream changed due on channels, and acknowledging the entries, in one script.

use std::collections::HashMap;

use crate::domain::{ChannelId, EventKind, Level, Partition, PublishPolicy, Sku};

use super::{
    super::{
        EntryId, Store, StoreError,
        changes::{Change, Delivery},
        scripts::FAN_OUT_SCRIPT,
    },
    GROUP, corrupt,
};

/// Distinct SKUs one fan_out takes; Lua's stack holds 8,000 values.
const SKUS_MAX: usize = 2000;
/// Marks one fan_out makes, about: calls wait for Redis meanwhile, 3 to 5 µs a mark where that was measured.
const MARKS_MAX: usize = 5000;

/// How much a mark insists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Tell {
    /// Only a version the channel has not confirmed.
    News,
    /// Also a confirmed one: it is told if it should show something else now.
    Check,
    /// Also a confirmed one, whatever it shows.
    Again,
}

/// What the changes of one SKU mean to channels.
pub(in crate::store) struct Marked<'a> {
    sku: &'a Sku,
    first_version: i64,
    last_version: i64,
    changed_ms: i64,
    tell: Tell,
    /// The channel that made all of these changes and knows them already.
    source: Option<&'a ChannelId>,
    /// The channels that asked for changes of the number, and may have changed the one they show with them.
    movers: Vec<&'a ChannelId>,
    available_delta: i64,
    /// After the last change.
    available: i64,
    /// Since when there is none left.
    sold_out_ms: Option<i64>,
    /// Told when nothing live is due.
    behind: bool,
}

impl<'a> Marked<'a> {
    /// A SKU as it is, to be told behind everything live.
    pub(in crate::store) fn behind(sku: &'a Sku, level: &Level, changed_ms: i64, tell: Tell) -> Self {
        Self {
            sku,
            first_version: level.version,
            last_version: level.version,
            changed_ms,
            tell,
            source: None,
            movers: Vec::new(),
            available_delta: 0,
            available: level.available(),
            sold_out_ms: None,
            behind: true,
        }
    }

    fn new(change: &'a Change) -> Self {
        Self {
            sku: &change.sku,
            first_version: change.version,
            last_version: change.version,
            changed_ms: change.at_ms,
            tell: tell(change),
            source: known_to(change),
            movers: mover(change).into_iter().collect(),
            available_delta: change.available_delta,
            available: change.available,
            sold_out_ms: (change.available <= 0).then_some(change.at_ms),
            behind: false,
        }
    }

    fn add(&mut self, change: &'a Change) {
        // A version that is missing here is known to nobody: the source must be told like the others.
        let is_next = change.version == self.last_version + 1;
        if self.source != known_to(change) || !is_next {
            self.source = None;
        }
        if let Some(mover) = mover(change).filter(|mover| !self.movers.contains(mover)) {
            self.movers.push(mover);
        }
        if change.version >= self.last_version {
            self.available = change.available;
            self.sold_out_ms = (change.available <= 0).then(|| self.sold_out_ms.unwrap_or(change.at_ms));
        }
        self.first_version = self.first_version.min(change.version);
        self.last_version = self.last_version.max(change.version);
        self.changed_ms = self.changed_ms.min(change.at_ms);
        self.tell = self.tell.max(tell(change));
        self.available_delta += change.available_delta;
    }
}

/// The channel that made this sale, and knows what is left.
fn known_to(change: &Change) -> Option<&ChannelId> {
    change.source.as_ref().filter(|_| change.kind.is_known_to_source())
}

/// The channel that may have changed the number it shows by itself with this change.
fn mover(change: &Change) -> Option<&ChannelId> {
    change.source.as_ref().filter(|_| change.available_delta != 0)
}

/// A channel that sold what is not there shows a number it should not, whatever it confirmed.
fn tell(change: &Change) -> Tell {
    if change.kind == EventKind::Refused { Tell::Again } else { Tell::News }
}

impl Store {
    /// Marks the SKUs of entries due on these channels and acknowledges the entries: they must be all that anybody serves.
    /// Entries that do not parse are left unacknowledged, so that nothing of them is lost. Returns how many marks were set.
    pub async fn fan_out(
        &self,
        partition: Partition,
        channels: &[ChannelId],
        entries: &[Delivery],
    ) -> Result<u64, StoreError> {
        let parsed: Vec<_> =
            entries.iter().filter_map(|entry| Some((entry.id, entry.changes.as_ref()?))).collect();
        let mut marked: Vec<Marked<'_>> = Vec::new();
        let mut place: HashMap<&Sku, usize> = HashMap::new();
        let concerning = parsed.iter().flat_map(|(_, changes)| changes.iter());
        for change in concerning.filter(|change| change.kind.concerns_channels()) {
            match place.get(&change.sku) {
                Some(index) => marked[*index].add(change),
                None => {
                    place.insert(&change.sku, marked.len());
                    marked.push(Marked::new(change));
                }
            }
        }
        let mut sum = 0;
        let chunks = marked.chunks((MARKS_MAX / channels.len().max(1)).clamp(1, SKUS_MAX));
        let last = chunks.len().saturating_sub(1);
        for (index, chunk) in chunks.enumerate() {
            // Entries are acknowledged with the last SKUs: a crash before that marks again, which is harmless.
            let acknowledged: Vec<EntryId> =
                if index == last { parsed.iter().map(|(id, _)| *id).collect() } else { Vec::new() };
            sum += self.mark(partition, channels, &acknowledged, chunk).await?;
        }
        if marked.is_empty() && !parsed.is_empty() {
            let acknowledged: Vec<EntryId> = parsed.iter().map(|(id, _)| *id).collect();
            sum += self.mark(partition, channels, &acknowledged, &[]).await?;
        }
        Ok(sum)
    }

    pub(in crate::store) async fn mark(
        &self,
        partition: Partition,
        channels: &[ChannelId],
        entries: &[EntryId],
        marked: &[Marked<'_>],
    ) -> Result<u64, StoreError> {
        let mut keys = vec![self.inner.keys.events(partition), self.inner.keys.sold_out(partition)];
        for channel in channels {
            let of = self.inner.keys.channel(partition, channel);
            keys.extend([of.due, of.lease, of.dirty, of.work, of.sync, of.dead]);
        }
        let mut command = FAN_OUT_SCRIPT.call(keys.iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(GROUP).arg(channels.len());
        for channel in channels {
            let urgent_at = self.policy(channel).map_or(0, PublishPolicy::urgent_at);
            command.arg(channel.as_str()).arg(urgent_at);
        }
        command.arg(entries.len());
        for entry in entries {
            command.arg(entry.to_string());
        }
        command.arg(marked.len());
        for one in marked {
            command.arg(one.sku.as_str()).arg(one.first_version).arg(one.last_version).arg(one.changed_ms);
            // Only a channel whose number falls with its own sales knows them, and only its own workers know that of it.
            let source = one.source.and_then(|source| Some((source, self.policy(source)?)));
            let source = source.filter(|(_, policy)| policy.falls_with_own_sales());
            let told_at = source.and_then(|(_, policy)| policy.pause_at).unwrap_or(-1);
            let movers: Vec<&str> = one.movers.iter().map(|mover| mover.as_str()).collect();
            command.arg(one.tell as u8).arg(source.map_or("", |(source, _)| source.as_str())).arg(told_at);
            command.arg(movers.join(" "));
            command.arg(one.available_delta).arg(one.available).arg(one.sold_out_ms.unwrap_or(0));
            command.arg(u8::from(one.behind));
        }
        let reply = self.run_script(&FAN_OUT_SCRIPT, &command).await?;
        let [word, marks, sick] = &reply[..] else { return Err(corrupt(&FAN_OUT_SCRIPT, &reply)) };
        if word != "ok" {
            return Err(corrupt(&FAN_OUT_SCRIPT, &reply));
        }
        if !sick.is_empty() && entries.is_empty() && !marked.is_empty() {
            // No entry is left to bring it up again: a walk must not be written down as done.
            return Err(StoreError::WrongType { detail: sick.clone() });
        }
        if !sick.is_empty() {
            tracing::error!(detail = sick, "a channel cannot be told: its key has the wrong type");
        }
        marks.parse().map_err(|_| corrupt(&FAN_OUT_SCRIPT, &reply))
    }
}

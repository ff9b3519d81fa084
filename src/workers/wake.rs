//! Wakes the dispatchers of this process, and tells each in which partitions to look.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    domain::{ChannelId, Partition},
    store::Ring,
};

/// What one channel's dispatcher listens to. A wake is kept until it is heard.
#[derive(Clone, Default)]
pub(super) struct Ears {
    /// Something became due.
    pub(super) due: Arc<Notify>,
    /// The channel may be called again, or an operator said something.
    pub(super) bell: Arc<Notify>,
    news: Arc<Mutex<News>>,
}

/// Where to look since somebody looked last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Wherever something is due: nobody said where.
    pub(super) everywhere: bool,
    /// Here.
    pub(super) partitions: BTreeSet<Partition>,
}

impl Ears {
    /// Something became due in a partition.
    pub(super) fn due_in(&self, partition: Partition) {
        self.note(|news| {
            news.partitions.insert(partition);
        });
        self.due.notify_one();
    }

    /// The channel may be called again.
    pub(super) fn reopened(&self) {
        self.bell.notify_one();
    }

    /// Where to look; told once.
    pub(super) fn take_news(&self) -> News {
        let mut taken = News::default();
        self.note(|news| mem::swap(news, &mut taken));
        taken
    }

    fn ring(&self) {
        self.note(|news| news.everywhere = true);
        self.bell.notify_one();
    }

    fn note(&self, change: impl FnOnce(&mut News)) {
        // Nothing in it is half changed when a thread panics.
        change(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Wakes the dispatchers of this process, and who else listens.
#[derive(Clone)]
pub(super) struct Wake {
    channels: Arc<[(ChannelId, Ears)]>,
    pub(super) seeder: Arc<Notify>,
    /// Workers came or went.
    pub(super) crew: Arc<Notify>,
}

impl Wake {
    /// For these channels.
    pub(super) fn new(channels: impl Iterator<Item = ChannelId>) -> Self {
        let channels = channels.map(|channel| (channel, Ears::default())).collect();
        Self { channels, seeder: Arc::default(), crew: Arc::default() }
    }

    /// The channels in their order, with what their dispatchers listen to.
    pub(super) fn ears(&self) -> impl Iterator<Item = &Ears> {
        self.channels.iter().map(|(_, ears)| ears)
    }

    /// Something became due in a partition on every channel.
    pub(super) fn all_due_in(&self, partition: Partition) {
        self.ears().for_each(|ears| ears.due_in(partition));
    }

    /// Something became due in a partition on one channel.
    pub(super) fn due_in(&self, channel: &ChannelId, partition: Partition) {
        self.of(channel).for_each(|ears| ears.due_in(partition));
    }

    /// Somebody rang.
    pub(super) fn ring(&self, ring: &Ring) {
        match ring {
            Ring::Marked { channel, partition } => self.due_in(channel, *partition),
            // An operator may have said something, or something became due.
            Ring::Channel(channel) => {
                self.of(channel).for_each(Ears::ring);
                self.seeder.notify_one();
            }
            Ring::Crew => self.crew.notify_one(),
        }
    }

    /// Rings may have been missed.
    pub(super) fn ring_all(&self) {
        self.ears().for_each(Ears::ring);
        self.seeder.notify_one();
        self.crew.notify_one();
    }

    /// Whether a channel is served by this process.
    pub(super) fn serves(&self, channel: &ChannelId) -> bool {
        self.of(channel).next().is_some()
    }

    fn of(&self, channel: &ChannelId) -> impl Iterator<Item = &Ears> {
        self.channels.iter().filter(move |(id, _)| id == channel).map(|(_, ears)| ears)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispatcher_is_told_once_where_to_look() {
        let [web, app] = ["web", "app"].map(|name| ChannelId::parse(name).expect("legal"));
        let wake = Wake::new([web.clone(), app].into_iter());
        let news = || wake.ears().map(Ears::take_news).collect::<Vec<_>>();
        let here = |partitions: &[u16], everywhere| News {
            everywhere,
            partitions: partitions.iter().copied().map(Partition).collect(),
        };
        wake.all_due_in(Partition(7));
        wake.ring(&Ring::Marked { channel: web.clone(), partition: Partition(3) });
        assert_eq!(news(), [here(&[3, 7], false), here(&[7], false)]);
        wake.ring(&Ring::Channel(web));
        wake.ring(&Ring::Crew);
        assert_eq!(news(), [here(&[], true), here(&[], false)]);
    }
}

//! When a dispatcher looks into which partition: only where something is due, the longest waiting first, and no partition twice at
//! the same time. Those of a server that is away are tried one at a time, so that they hold up none of the others.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::domain::{Partition, Partitions};

/// The partitions of one channel and when to look into each.
pub(super) struct Agenda {
    places: Vec<Place>,
    /// Those that are to be looked into, by when.
    order: BTreeSet<(Instant, Partition)>,
    /// The one in hand of those whose server is away.
    probing: Option<Partition>,
    /// Partitions whose last look failed.
    failing: BTreeSet<Partition>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    look_at: Option<Instant>,
    /// Somebody looks into it now.
    in_hand: bool,
    /// Its server did not answer when it was asked last.
    is_sick: bool,
}

impl Agenda {
    /// With nothing to look at.
    pub(super) fn new(partitions: Partitions) -> Self {
        let places = vec![Place::default(); usize::from(partitions.count())];
        Self { places, order: BTreeSet::new(), probing: None, failing: BTreeSet::new() }
    }

    /// To be looked into no later than then.
    pub(super) fn look(&mut self, partition: Partition, at: Instant) {
        let Some(place) = self.places.get(usize::from(partition.0)) else { return };
        let at = match place.look_at {
            // What becomes due at a server that is away does not bring it back.
            Some(known) if place.is_sick => known,
            Some(known) => known.min(at),
            None => at,
        };
        self.set(partition, Some(at));
    }

    /// The next partition to look into now; to be handed back by `done` or `failed`.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Partition> {
        let mut due = self.order.iter().take_while(|(at, _)| *at <= now);
        let (_, partition) = *due.find(|(_, partition)| self.is_free(*partition))?;
        self.set(partition, None);
        let place = &mut self.places[usize::from(partition.0)];
        place.in_hand = true;
        if place.is_sick {
            self.probing = Some(partition);
        }
        Some(partition)
    }

    /// It was looked into: there is more to do in so long, None when nothing is known of.
    pub(super) fn done(&mut self, partition: Partition, next: Option<Instant>) {
        self.end(partition);
        self.failing.remove(&partition);
        if let Some(next) = next {
            self.look(partition, next);
        }
    }

    /// It could not be looked into. When that is for its server, `others` are all partitions there, and all of them wait.
    pub(super) fn failed(
        &mut self,
        partition: Partition,
        others: &[Partition],
        now: Instant,
        pause: Duration,
    ) {
        self.end(partition);
        self.failing.insert(partition);
        self.set(partition, Some(now + pause));
        for other in others {
            let Some(place) = self.places.get_mut(usize::from(other.0)) else { continue };
            place.is_sick = true;
            if place.look_at.is_some() {
                self.set(*other, Some(now + pause));
            }
        }
    }

    /// Whether any partition's last look failed.
    pub(super) fn is_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    /// Whether the server of a partition did not answer when it was asked last.
    pub(super) fn is_sick(&self, partition: Partition) -> bool {
        self.places.get(usize::from(partition.0)).is_some_and(|place| place.is_sick)
    }

    /// The server of these partitions answers again.
    pub(super) fn is_well(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(place) = self.places.get_mut(usize::from(partition.0)) {
                place.is_sick = false;
            }
        }
    }

    /// When there is something to look into that nobody looks into now.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.order.iter().find(|(_, partition)| self.is_free(*partition)).map(|(at, _)| *at)
    }

    /// Whether it may be looked into: nobody does, nor does anybody try another one whose server is away too.
    fn is_free(&self, partition: Partition) -> bool {
        let place = self.places[usize::from(partition.0)];
        let is_barred = place.in_hand || (place.is_sick && self.probing.is_some());
        !is_barred
    }

    fn end(&mut self, partition: Partition) {
        self.places[usize::from(partition.0)].in_hand = false;
        // Whether or not its server answered meanwhile.
        self.probing = self.probing.filter(|probing| *probing != partition);
    }

    fn set(&mut self, partition: Partition, at: Option<Instant>) {
        let place = &mut self.places[usize::from(partition.0)];
        if let Some(known) = place.look_at {
            self.order.remove(&(known, partition));
        }
        place.look_at = at;
        self.order.extend(at.map(|at| (at, partition)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn agenda(count: u16) -> (Agenda, Instant) {
        (Agenda::new(Partitions::new(count).expect("not zero")), Instant::now())
    }

    #[test]
    fn who_waits_longest_is_first_and_nobody_is_looked_into_twice_at_once() {
        let (mut agenda, now) = agenda(3);
        assert_eq!((agenda.begin(now), agenda.next_at()), (None, None));
        agenda.look(Partition(2), now);
        agenda.look(Partition(0), now + PAUSE);
        agenda.look(Partition(9), now);
        assert_eq!(agenda.begin(now), Some(Partition(2)));
        // Something became due there after it was looked into: it is looked into again, and not at the same time.
        agenda.look(Partition(2), now);
        assert_eq!((agenda.begin(now), agenda.next_at()), (None, Some(now + PAUSE)));
        agenda.done(Partition(2), Some(now + PAUSE * 2));
        assert_eq!(agenda.begin(now), Some(Partition(2)));
        agenda.done(Partition(2), None);
        assert_eq!((agenda.begin(now), agenda.begin(now + PAUSE)), (None, Some(Partition(0))));
    }

    #[test]
    fn one_with_more_to_do_goes_behind_those_that_wait() {
        let (mut agenda, now) = agenda(2);
        agenda.look(Partition(0), now);
        agenda.look(Partition(1), now);
        let first = agenda.begin(now).expect("two wait");
        agenda.done(first, Some(now + Duration::from_nanos(1)));
        assert_ne!(agenda.begin(now + PAUSE), Some(first));
    }

    #[test]
    fn a_server_that_is_away_holds_up_none_of_the_others() {
        let (mut agenda, now) = agenda(4);
        let away = [Partition(0), Partition(1), Partition(2)];
        away.iter().for_each(|partition| agenda.look(*partition, now));
        let first = agenda.begin(now).expect("three wait");
        agenda.failed(first, &away, now, PAUSE);
        assert!(agenda.is_failing());
        agenda.look(away[1], now);
        assert_eq!(agenda.begin(now), None, "all on the same server wait");
        agenda.look(Partition(3), now + PAUSE);
        let mut taken = [agenda.begin(now + PAUSE), agenda.begin(now + PAUSE)].map(|one| one.expect("due"));
        taken.sort();
        assert!(taken[1] == Partition(3) && agenda.is_sick(taken[0]), "{taken:?}");
        assert_eq!(agenda.begin(now + PAUSE), None, "of those one at a time");
        agenda.is_well(&away);
        agenda.done(taken[0], None);
        let rest = [agenda.begin(now + PAUSE), agenda.begin(now + PAUSE)];
        assert!(rest.iter().all(Option::is_some), "all of them, once one worked: {rest:?}");
    }

    #[test]
    fn a_server_may_go_away_again_and_again() {
        let (mut agenda, mut now) = agenda(1);
        let only = Partition(0);
        agenda.look(only, now);
        for outage in 0..3 {
            assert_eq!(agenda.begin(now), Some(only), "outage {outage}");
            agenda.failed(only, &[only], now, PAUSE);
            now += PAUSE;
            assert_eq!(agenda.begin(now), Some(only), "it is tried, outage {outage}");
            agenda.is_well(&[only]);
            agenda.done(only, Some(now));
        }
    }
}

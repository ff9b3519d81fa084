//! Calls that wait for a script: how many may, and that a hot SKU does not keep the others out.
//!
//! SKUs are told apart by lane, one of 256, chosen by a hash: exact counts per SKU would cost every call a look-up in a map
//! that grows. SKUs that share a lane share its part.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use xxhash_rust::xxh3::xxh3_64;

use crate::{domain::Sku, store::StoreError};

/// Lanes of SKUs, and one of our own.
pub(super) const LANES: usize = 257;

/// This part of the queue is left to callers that are refused when it is full.
const KEPT_FREE: usize = 4;

/// The lane of a SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Lane(pub(super) u16);

impl Lane {
    /// Of what nobody asked for by a key: the sweeper, one call at a time.
    pub(in crate::store) const OWN: Self = Self(256);

    /// Which of the lanes.
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Of a request with this home SKU.
    pub(in crate::store) fn of(home: &Sku) -> Self {
        // The low bits choose the partition already.
        let [highest, ..] = xxh3_64(home.as_str().as_bytes()).to_be_bytes();
        Self(u16::from(highest))
    }
}

/// Counts the calls that wait.
#[derive(Clone)]
pub(in crate::store) struct Backlog {
    counts: Arc<Counts>,
    max: usize,
}

#[derive(Debug)]
struct Counts {
    all: AtomicUsize,
    lanes: [AtomicUsize; LANES],
}

impl Backlog {
    /// Lets at most `max` calls wait, at least 1.
    pub(in crate::store) fn new(max: usize) -> Self {
        let counts = Counts { all: AtomicUsize::new(0), lanes: std::array::from_fn(|_| AtomicUsize::new(0)) };
        Self { counts: Arc::new(counts), max }
    }

    /// Lets one more call wait, or refuses it at once: when the queue is full, or its lane has half of it already.
    pub(in crate::store) fn admit(&self, lane: Lane) -> Result<Place, StoreError> {
        let lane_max = self.lane_max();
        let place = Place { counts: Arc::clone(&self.counts), lane };
        // Counted first: of two who come at once for the last place, one is refused.
        let all = self.counts.all.fetch_add(1, Ordering::Relaxed);
        let of_lane = self.counts.lane(lane).fetch_add(1, Ordering::Relaxed);
        if all >= self.max {
            return Err(StoreError::Overloaded { queued: self.max });
        }
        if of_lane >= lane_max {
            return Err(StoreError::Overloaded { queued: lane_max });
        }
        Ok(place)
    }

    /// Whether there is room for one who can wait for it: a quarter of the queue, and of each lane's part, is left to those
    /// who cannot.
    pub(in crate::store) fn has_room(&self, lane: Lane) -> bool {
        let is_below =
            |count: &AtomicUsize, max: usize| count.load(Ordering::Relaxed) < max - max / KEPT_FREE;
        is_below(&self.counts.all, self.max) && is_below(self.counts.lane(lane), self.lane_max())
    }

    fn lane_max(&self) -> usize {
        self.max.div_ceil(2)
    }

    /// How many wait.
    pub(in crate::store) fn len(&self) -> usize {
        self.counts.all.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn lane(&self, lane: Lane) -> &AtomicUsize {
        &self.lanes[lane.index()]
    }
}

/// A place in the queue; given back when dropped.
#[derive(Debug)]
pub(in crate::store) struct Place {
    counts: Arc<Counts>,
    lane: Lane,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        self.counts.lane(self.lane).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_sku_has_half_of_the_queue_and_the_others_the_rest() {
        let backlog = Backlog::new(5);
        let hot: Vec<Place> = (0..3).map(|_| backlog.admit(Lane(7)).unwrap()).collect();
        assert!(matches!(backlog.admit(Lane(7)), Err(StoreError::Overloaded { queued: 3 })));
        let others: Vec<Place> = (0..2).map(|lane| backlog.admit(Lane(lane)).unwrap()).collect();
        assert!(matches!(backlog.admit(Lane(9)), Err(StoreError::Overloaded { queued: 5 })));
        assert_eq!(backlog.len(), 5, "who was refused has no place");
        drop(hot);
        assert!(backlog.admit(Lane(7)).is_ok());
        drop(others);
        assert_eq!(backlog.len(), 0);
    }

    #[test]
    fn who_can_wait_leaves_room_to_who_cannot() {
        let backlog = Backlog::new(16);
        let mut places: Vec<Place> = Vec::new();
        while backlog.has_room(Lane(1)) {
            places.push(backlog.admit(Lane(1)).unwrap());
        }
        assert_eq!(places.len(), 6, "of the 8 of its lane");
        while backlog.has_room(Lane(2)) {
            places.push(backlog.admit(Lane(2)).unwrap());
        }
        assert_eq!(places.len(), 12, "of all 16");
        assert!(!backlog.has_room(Lane(3)) && backlog.admit(Lane(3)).is_ok());
    }

    #[test]
    fn a_queue_of_one_takes_one() {
        let backlog = Backlog::new(1);
        let only = backlog.admit(Lane(0));
        assert!(only.is_ok() && backlog.admit(Lane(0)).is_err());
    }
}

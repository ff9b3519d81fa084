//! Calls that wait, by atomic domain, and whose turn it is: without cluster there is one domain, on a cluster each partition is one.
//! Domains take turns, so that a hot partition keeps no other waiting.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use crate::store::{
    StoreError,
    link::NodeAddress,
    nodes::pause_after,
    settings::{AtomicDomain, StoreSettings},
};

use super::{BatchBounds, Call, Committer, batch, refuse_all};

/// How many atomic domains there are.
pub(in crate::store) fn domains_of(settings: &StoreSettings) -> usize {
    match settings.domain {
        AtomicDomain::Node => 1,
        AtomicDomain::Partition => usize::from(settings.partitions.count()),
    }
}

/// All domains of a committer.
pub(super) struct Domains {
    kind: AtomicDomain,
    all: Vec<Domain>,
    /// Those that may have something to send, in turn.
    listed: VecDeque<usize>,
    /// Counts the calls that came.
    calls: u64,
    /// How long calls may be put off.
    patience: Duration,
    /// Of ways that carry one batch at a time: which do now, to which server. Servers that nobody knows are one.
    busy: Option<HashSet<(usize, Option<NodeAddress>)>>,
    ways: usize,
    bounds: BatchBounds,
    scripts_max: usize,
    overlap_calls_min: usize,
}

struct Domain {
    waiting: VecDeque<Call>,
    scripts: usize,
    is_listed: bool,
    is_resting: bool,
    /// Rests since it was last served.
    rests: u32,
}

impl Domain {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), scripts: 0, is_listed: false, is_resting: false, rests: 0 }
    }
}

/// A batch that goes now.
pub(super) struct Outgoing {
    pub(super) domain: usize,
    pub(super) way: usize,
    pub(super) server: Option<NodeAddress>,
    pub(super) batch: Vec<Call>,
}

/// What came of a batch.
pub(super) struct Back {
    pub(super) domain: usize,
    pub(super) way: usize,
    pub(super) server: Option<NodeAddress>,
    /// Calls that must go again, behind the others.
    pub(super) again: Vec<Call>,
    /// Those of a domain that nobody serves now.
    pub(super) put_off: Option<PutOff>,
}

/// Calls that go again when their domain has rested, before the others, or are told when they waited too long.
pub(super) struct PutOff {
    pub(super) calls: Vec<Call>,
    pub(super) fault: StoreError,
}

/// What the committer was waiting for.
pub(super) enum Event {
    Back(Back),
    Rested(usize),
}

impl Domains {
    pub(super) fn new(of: &Committer) -> Self {
        Self {
            kind: of.domain,
            all: of.windows.iter().map(|_| Domain::new()).collect(),
            listed: VecDeque::new(),
            calls: 0,
            patience: of.ways[0].cluster_wait(),
            busy: of.confirming.as_ref().map(|_| HashSet::new()),
            ways: of.ways.len(),
            bounds: of.bounds,
            scripts_max: of.scripts_max,
            overlap_calls_min: of.overlap_calls_min,
        }
    }

    /// One more call waits.
    pub(super) fn push(&mut self, mut call: Call) {
        let domain = match self.kind {
            AtomicDomain::Node => 0,
            // Its operations name one partition each.
            AtomicDomain::Partition => {
                call.operation.partitions.first().map_or(0, |home| usize::from(home.0))
            }
        };
        let Some(of) = self.all.get_mut(domain) else {
            // No operation names a partition that is not there.
            return;
        };
        self.calls += 1;
        call.number = self.calls;
        if of.is_resting {
            call.patient_until = Some(Instant::now() + self.patience);
        }
        of.waiting.push_back(call);
        self.list(domain);
    }

    fn list(&mut self, domain: usize) {
        let of = &mut self.all[domain];
        if !of.is_listed {
            of.is_listed = true;
            self.listed.push_back(domain);
        }
    }

    /// The next batch that may go now. O(domains with calls).
    pub(super) fn next(&mut self, server_of: impl Fn(usize) -> Option<NodeAddress>) -> Option<Outgoing> {
        for _ in 0..self.listed.len() {
            let domain = self.listed.pop_front()?;
            let way = domain % self.ways;
            let seat = (way, self.busy.as_ref().and_then(|_| server_of(domain)));
            if self.busy.as_ref().is_some_and(|busy| busy.contains(&seat)) {
                self.listed.push_back(domain);
                continue;
            }
            let (scripts_max, overlap_calls_min) = (self.scripts_max, self.overlap_calls_min);
            let of = &mut self.all[domain];
            of.is_listed = false;
            let batch = match of.may_send(scripts_max, overlap_calls_min) {
                true => batch::take(&mut of.waiting, self.bounds),
                false => Vec::new(),
            };
            if batch.is_empty() {
                // Listed again by its next call, or when a script of it is back.
                continue;
            }
            of.scripts += 1;
            if !of.waiting.is_empty() {
                self.list(domain);
            }
            if let Some(busy) = &mut self.busy {
                busy.insert(seat.clone());
            }
            return Some(Outgoing { domain, way, server: seat.1, batch });
        }
        None
    }

    /// Takes note of what happened; answers who must rest now, and for how long: nothing tells when a slot is served again.
    pub(super) fn on(&mut self, event: Event) -> Option<(usize, Duration)> {
        let Back { domain, way, server, again, put_off } = match event {
            Event::Rested(domain) => {
                self.all[domain].is_resting = false;
                self.list(domain);
                return None;
            }
            Event::Back(back) => back,
        };
        if let Some(busy) = &mut self.busy {
            busy.remove(&(way, server));
        }
        let of = &mut self.all[domain];
        of.scripts -= 1;
        of.waiting.extend(again);
        let Some(PutOff { calls, fault }) = put_off else {
            of.rests = 0;
            self.list(domain);
            return None;
        };
        let now = Instant::now();
        let is_over = |call: &Call| call.patient_until.is_some_and(|until| until <= now);
        let (told, put_off) = calls.into_iter().partition::<Vec<_>, _>(is_over);
        refuse_all(told, &fault);
        // In the order they came, also when two scripts of the domain come back at once; and none waits for longer because
        // others stand before it.
        of.waiting.extend(put_off);
        of.waiting.make_contiguous().sort_by_key(|call| call.number);
        let until = now + self.patience;
        of.waiting.iter_mut().for_each(|call| _ = call.patient_until.get_or_insert(until));
        if of.is_resting {
            return None;
        }
        of.is_resting = true;
        of.rests = of.rests.saturating_add(1);
        Some((domain, pause_after(of.rests)))
    }
}

impl Domain {
    fn may_send(&self, scripts_max: usize, overlap_calls_min: usize) -> bool {
        match self.scripts {
            _ if self.is_resting => false,
            0 => !self.waiting.is_empty(),
            scripts => scripts < scripts_max && self.waiting.len() >= overlap_calls_min,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::{
        super::backlog::{Backlog, Lane},
        *,
    };
    use crate::{
        domain::{Durability, Partition},
        store::encode,
    };

    fn domains(count: u16, scripts_max: usize, ways: Option<usize>) -> Domains {
        Domains {
            kind: AtomicDomain::Partition,
            all: (0..count).map(|_| Domain::new()).collect(),
            listed: VecDeque::new(),
            calls: 0,
            patience: Duration::from_secs(1),
            busy: ways.map(|_| HashSet::new()),
            ways: ways.unwrap_or(1),
            bounds: BatchBounds { calls_max: 2, lines_max: 100 },
            scripts_max,
            overlap_calls_min: 2,
        }
    }

    /// A call of a partition, numbered; nobody waits for it, who would have to be kept.
    fn call(partition: u16, number: u32) -> Call {
        let (reply, answer) = oneshot::channel();
        std::mem::forget(answer);
        let place = Backlog::new(1_000).admit(Lane(0)).ok();
        let operation = encode::sweep(Partition(partition), 1, 0);
        Call {
            operation,
            durability: Durability::Memory,
            reply,
            place,
            rounds: number,
            patient_until: None,
            number: 0,
        }
    }

    fn numbers(calls: &[Call]) -> Vec<u32> {
        calls.iter().map(|call| call.rounds).collect()
    }

    fn back(outgoing: &Outgoing) -> Back {
        Back {
            domain: outgoing.domain,
            way: outgoing.way,
            server: outgoing.server.clone(),
            again: Vec::new(),
            put_off: None,
        }
    }

    /// Nobody served its calls.
    fn put_off(outgoing: &mut Outgoing) -> Back {
        let calls = std::mem::take(&mut outgoing.batch);
        let fault = StoreError::NotReady { code: "MOVED".to_owned() };
        Back { put_off: Some(PutOff { calls, fault }), ..back(outgoing) }
    }

    #[test]
    fn a_hot_partition_takes_turns_with_the_others() {
        let mut domains = domains(2, 1, None);
        (0..5).for_each(|number| domains.push(call(0, number)));
        domains.push(call(1, 9));
        let first = domains.next(|_| None).unwrap();
        let second = domains.next(|_| None).unwrap();
        assert_eq!((numbers(&first.batch), numbers(&second.batch)), (vec![0, 1], vec![9]));
        assert!(domains.next(|_| None).is_none(), "one script each");
        assert!(domains.on(Event::Back(back(&first))).is_none());
        assert_eq!(numbers(&domains.next(|_| None).unwrap().batch), [2, 3]);
    }

    #[test]
    fn calls_that_are_put_off_go_again_in_order_when_their_partition_has_rested() {
        let mut domains = domains(2, 2, None);
        (0..4).for_each(|number| domains.push(call(0, number)));
        let mut first = domains.next(|_| None).unwrap();
        let rest = domains.on(Event::Back(put_off(&mut first)));
        assert_eq!(rest, Some((0, pause_after(1))));
        domains.push(call(1, 9));
        assert_eq!(numbers(&domains.next(|_| None).unwrap().batch), [9], "others go on");
        assert!(domains.next(|_| None).is_none(), "who rests sends nothing");
        domains.on(Event::Rested(0));
        assert_eq!(numbers(&domains.next(|_| None).unwrap().batch), [0, 1]);
        assert_eq!(numbers(&domains.next(|_| None).unwrap().batch), [2, 3]);
    }

    #[test]
    fn who_was_put_off_for_too_long_is_told_and_the_others_go_on() {
        let mut domains = domains(1, 1, None);
        let (mut first, mut second) = (call(0, 1), call(0, 2));
        let (reply, mut answer) = oneshot::channel();
        (first.reply, first.patient_until) = (reply, Some(Instant::now()));
        second.patient_until = Some(Instant::now() + Duration::from_secs(60));
        domains.push(first);
        domains.push(second);
        let mut outgoing = domains.next(|_| None).unwrap();
        assert!(domains.on(Event::Back(put_off(&mut outgoing))).is_some());
        assert!(matches!(answer.try_recv(), Ok(Err(StoreError::NotReady { .. }))));
        domains.on(Event::Rested(0));
        assert_eq!(numbers(&domains.next(|_| None).unwrap().batch), [2]);
    }

    #[test]
    fn a_way_carries_one_batch_at_a_time() {
        let mut domains = domains(3, 1, Some(2));
        for partition in 0..3 {
            domains.push(call(partition, u32::from(partition)));
        }
        let first = domains.next(|_| None).unwrap();
        let second = domains.next(|_| None).unwrap();
        assert_eq!((first.way, second.way), (0, 1));
        assert!(domains.next(|_| None).is_none(), "the way of the third is taken by the first");
        domains.on(Event::Back(back(&second)));
        assert!(domains.next(|_| None).is_none());
        domains.on(Event::Back(back(&first)));
        assert_eq!(domains.next(|_| None).unwrap().domain, 2);
    }

    #[test]
    fn two_scripts_that_are_put_off_keep_the_order_of_their_calls() {
        let mut domains = domains(1, 2, None);
        (0..5).for_each(|number| domains.push(call(0, number)));
        let mut scripts = [domains.next(|_| None).unwrap(), domains.next(|_| None).unwrap()];
        for outgoing in &mut scripts {
            domains.on(Event::Back(put_off(outgoing)));
        }
        domains.on(Event::Rested(0));
        let again =
            [domains.next(|_| None).unwrap(), domains.next(|_| None).unwrap()].map(|one| numbers(&one.batch));
        assert_eq!(again, [vec![0, 1], vec![2, 3]]);
    }
}

//! Which of the calls that wait go in the next script.
//!
//! In the order they came, while all fit. When they do not, no lane takes more than half of the script's calls and lines as
//! long as others wait: a call for a quiet SKU need not wait until all those for the hot one have gone.
//! Calls of one lane never overtake each other.

use std::collections::VecDeque;

use super::{Call, backlog::LANES};

/// How much one script may carry.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct BatchBounds {
    /// Calls, 1 and up.
    pub(in crate::store) calls_max: usize,
    /// Lines over all its calls; a single call may have more.
    pub(in crate::store) lines_max: usize,
}

/// How far into the queue fairness looks, in scripts: what waits behind that goes in order.
const LOOK_AHEAD_SCRIPTS: usize = 8;

/// Takes the next batch out of `waiting`. Callers that gave up before their call was sent cost nothing. O(8 scripts).
pub(super) fn take(waiting: &mut VecDeque<Call>, bounds: BatchBounds) -> Vec<Call> {
    let mut batch =
        Batch { calls: Vec::with_capacity(waiting.len().min(bounds.calls_max)), lines: 0, bounds };
    if is_more_than_fits(waiting, bounds) {
        take_fairly(waiting, &mut batch);
    }
    take_in_order(waiting, &mut batch);
    batch.calls
}

fn is_more_than_fits(waiting: &VecDeque<Call>, bounds: BatchBounds) -> bool {
    let lines = || waiting.iter().map(|call| call.operation.lines).sum::<usize>();
    waiting.len() > bounds.calls_max || lines() > bounds.lines_max
}

struct Batch {
    calls: Vec<Call>,
    lines: usize,
    bounds: BatchBounds,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.calls.len() >= self.bounds.calls_max || self.lines >= self.bounds.lines_max
    }

    fn fits(&self, call: &Call) -> bool {
        let has_room = self.calls.len() < self.bounds.calls_max
            && self.lines + call.operation.lines <= self.bounds.lines_max;
        has_room || self.calls.is_empty()
    }

    fn push(&mut self, mut call: Call) {
        call.place = None;
        self.lines += call.operation.lines;
        self.calls.push(call);
    }
}

/// What a lane has of a batch.
#[derive(Clone, Copy, Default)]
struct Taken {
    calls: usize,
    lines: usize,
    is_over: bool,
}

impl Taken {
    /// At most half of the calls and of the lines; the first call of a lane may be as long as it is.
    fn may_take(self, lines: usize, bounds: BatchBounds) -> bool {
        let is_within =
            self.calls < bounds.calls_max.div_ceil(2) && self.lines + lines <= bounds.lines_max.div_ceil(2);
        !self.is_over && (is_within || self.calls == 0)
    }
}

/// Half of the batch for each lane at most; who is passed over keeps his place.
fn take_fairly(waiting: &mut VecDeque<Call>, batch: &mut Batch) {
    let mut taken = [Taken::default(); LANES];
    let mut passed_over = Vec::new();
    for _ in 0..batch.bounds.calls_max * LOOK_AHEAD_SCRIPTS {
        if batch.is_full() {
            break;
        }
        let Some(call) = waiting.pop_front() else { break };
        if call.reply.is_closed() {
            continue;
        }
        let lines = call.operation.lines;
        let of_lane = &mut taken[call.operation.lane.index()];
        if of_lane.may_take(lines, batch.bounds) && batch.fits(&call) {
            of_lane.calls += 1;
            of_lane.lines += lines;
            batch.push(call);
        } else {
            // Nobody of its lane may go before it now.
            of_lane.is_over = true;
            passed_over.push(call);
        }
    }
    for call in passed_over.into_iter().rev() {
        waiting.push_front(call);
    }
}

fn take_in_order(waiting: &mut VecDeque<Call>, batch: &mut Batch) {
    while let Some(call) = waiting.front() {
        if call.reply.is_closed() {
            waiting.pop_front();
        } else if batch.fits(call) {
            waiting.pop_front().into_iter().for_each(|call| batch.push(call));
        } else {
            return;
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
        store::{StoreError, committer::Reply, encode},
    };

    type Answer = oneshot::Receiver<Result<Reply, StoreError>>;

    /// Calls of these lanes and lines, numbered by `rounds`.
    fn calls(wanted: &[(u16, usize)]) -> (VecDeque<Call>, Vec<Answer>) {
        let backlog = Backlog::new(1_000);
        let call = |(number, (lane, lines)): (usize, &(u16, usize))| {
            let (reply, answer) = oneshot::channel();
            let mut operation = encode::sweep(Partition(0), 1, 0);
            operation.lines = *lines;
            operation.lane = Lane(*lane);
            let place = backlog.admit(operation.lane).ok();
            let rounds = u32::try_from(number).expect("few");
            (
                Call {
                    operation,
                    durability: Durability::Memory,
                    reply,
                    place,
                    rounds,
                    patient_until: None,
                    number: 0,
                },
                answer,
            )
        };
        wanted.iter().enumerate().map(call).unzip()
    }

    fn numbers<'a>(calls: impl IntoIterator<Item = &'a Call>) -> Vec<u32> {
        calls.into_iter().map(|call| call.rounds).collect()
    }

    fn bounds(calls_max: usize, lines_max: usize) -> BatchBounds {
        BatchBounds { calls_max, lines_max }
    }

    #[test]
    fn all_go_in_order_when_they_fit() {
        let (mut waiting, _answers) = calls(&[(1, 1), (1, 1), (1, 1), (2, 1)]);
        assert_eq!(numbers(&take(&mut waiting, bounds(4, 100))), [0, 1, 2, 3]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_quiet_sku_does_not_wait_for_a_hot_one() {
        let (mut waiting, _answers) =
            calls(&[(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (2, 1), (1, 1)]);
        assert_eq!(numbers(&take(&mut waiting, bounds(4, 100))), [0, 1, 6, 2]);
        assert_eq!(numbers(&waiting), [3, 4, 5, 7], "in the order they came");
        assert_eq!(numbers(&take(&mut waiting, bounds(4, 100))), [3, 4, 5, 7]);
    }

    #[test]
    fn lines_are_bounded_and_a_long_call_goes_alone() {
        let (mut waiting, _answers) = calls(&[(1, 60), (1, 60), (1, 200), (1, 1)]);
        let taken: Vec<Vec<u32>> = (0..4).map(|_| numbers(&take(&mut waiting, bounds(9, 100)))).collect();
        assert_eq!(taken, [vec![0], vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn a_quiet_sku_does_not_wait_for_long_carts_of_a_hot_one() {
        let (mut waiting, _answers) = calls(&[(1, 40), (1, 40), (1, 40), (2, 20), (3, 1)]);
        assert_eq!(numbers(&take(&mut waiting, bounds(9, 100))), [0, 3, 4]);
        assert_eq!(numbers(&take(&mut waiting, bounds(9, 100))), [1, 2]);
    }

    #[test]
    fn nobody_overtakes_a_longer_call_of_his_lane() {
        let (mut waiting, _answers) = calls(&[(1, 1), (2, 100), (2, 1), (3, 1), (3, 1)]);
        assert_eq!(numbers(&take(&mut waiting, bounds(4, 100))), [0, 3, 4]);
        assert_eq!(numbers(&waiting), [1, 2]);
    }

    #[test]
    fn who_gave_up_is_left_out() {
        let (mut waiting, mut answers) = calls(&[(1, 1), (1, 1), (1, 1)]);
        answers.remove(1);
        assert_eq!(numbers(&take(&mut waiting, bounds(2, 100))), [0, 2]);
        assert!(waiting.is_empty());
    }
}

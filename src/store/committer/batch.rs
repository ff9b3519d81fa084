//! Which of the calls that wait go in the next script.
//!
//! In the order they came, while all fit. When they do not, no lane takes more than half of the script as long as others
//! wait: a call for a quiet SKU then goes with the next script or the one after it, however many wait for the hot one.
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

/// Takes the next batch out of `waiting`. Callers that gave up before their call was sent cost nothing. O(calls that wait).
pub(super) fn take(waiting: &mut VecDeque<Call>, bounds: BatchBounds) -> Vec<Call> {
    let mut batch =
        Batch { calls: Vec::with_capacity(waiting.len().min(bounds.calls_max)), lines: 0, bounds };
    if waiting.len() > bounds.calls_max {
        take_fairly(waiting, &mut batch);
    }
    take_in_order(waiting, &mut batch);
    batch.calls
}

struct Batch {
    calls: Vec<Call>,
    lines: usize,
    bounds: BatchBounds,
}

impl Batch {
    fn fits(&self, call: &Call) -> bool {
        let is_first = self.calls.is_empty();
        is_first
            || self.calls.len() < self.bounds.calls_max
                && self.lines + call.operation.lines <= self.bounds.lines_max
    }

    fn push(&mut self, mut call: Call) {
        call.place = None;
        self.lines += call.operation.lines;
        self.calls.push(call);
    }
}

/// At most half of the batch for each lane; who is passed over keeps his place.
fn take_fairly(waiting: &mut VecDeque<Call>, batch: &mut Batch) {
    let share = batch.bounds.calls_max.div_ceil(2);
    let mut taken = [0_usize; LANES];
    let mut passed_over = VecDeque::with_capacity(waiting.len());
    while let Some(call) = waiting.pop_front() {
        if call.reply.is_closed() {
            continue;
        }
        let lane = usize::from(call.operation.lane.0);
        if taken[lane] < share && batch.fits(&call) {
            taken[lane] += 1;
            batch.push(call);
        } else {
            // Nobody of its lane may go before it now.
            taken[lane] = share;
            passed_over.push_back(call);
        }
    }
    *waiting = passed_over;
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
        domain::Partition,
        store::{StoreError, encode},
    };

    type Answer = oneshot::Receiver<Result<String, StoreError>>;

    /// Calls of these lanes and lines, numbered by `rounds`.
    fn calls(wanted: &[(u8, usize)]) -> (VecDeque<Call>, Vec<Answer>) {
        let backlog = Backlog::new(1_000);
        let call = |(number, (lane, lines)): (usize, &(u8, usize))| {
            let (reply, answer) = oneshot::channel();
            let mut operation = encode::sweep(Partition(0), 1);
            operation.lines = *lines;
            operation.lane = Lane(*lane);
            let place = backlog.admit(operation.lane).ok();
            (Call { operation, reply, place, rounds: u32::try_from(number).expect("few") }, answer)
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
        let (mut waiting, _answers) = calls(&[(1, 60), (2, 60), (3, 200), (4, 1)]);
        let taken: Vec<Vec<u32>> = (0..4).map(|_| numbers(&take(&mut waiting, bounds(9, 100)))).collect();
        assert_eq!(taken, [vec![0], vec![1], vec![2], vec![3]]);
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

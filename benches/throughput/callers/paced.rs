//! An open loop: calls are due at a steady rate, whether others are answered or not, and the time of a call runs from the moment
//! it was due. So a stall is not hidden by callers that wait for it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{ANSWER_TIMEOUT, Callers, Connections, Round, Tally};
use crate::plan::Call;

/// Calls fall due together so often: a runtime's own timers are late by up to two of these, and would be measured too.
const BEAT: Duration = Duration::from_millis(1);
/// Calls under way at most: what falls due beyond is never sent, and counted.
const UNDER_WAY_MAX: usize = 4_096;
/// Beats the callers may be behind; then the thread that beats waits, and the calls are due all the same.
const BEATS_AHEAD: usize = 10_000;

/// What an open loop came to.
pub(crate) struct Paced {
    pub(crate) tally: Tally,
    /// Calls that fell due.
    pub(crate) due: u64,
    /// Of them, never sent.
    pub(crate) unsent: u64,
}

impl Callers {
    /// Calls at this rate for so long, then waits for what is on its way.
    pub(crate) async fn paced(&mut self, per_s: f64, length: Duration) -> Result<Paced> {
        self.rounds += 1;
        let Connections::Calls(Call::Decrement { lines }, wires) = &self.connections else {
            bail!("only decrements are paced")
        };
        let started = Instant::now();
        let round = Round::new(started + length, &self.sold)?;
        let (send, mut beats) = mpsc::channel(BEATS_AHEAD);
        let beating = thread::spawn(move || beat(started, length, &send));
        let mut places: Vec<_> =
            wires.iter().enumerate().map(|(number, wire)| (wire.clone(), self.caller(number))).collect();
        let mut under_way = JoinSet::new();
        let (mut due, mut unsent) = (0_u64, 0);
        while let Some(at) = beats.recv().await {
            let all_due = (per_s * (at - started).as_secs_f64()) as u64;
            while due < all_due {
                due += 1;
                while let Some(ended) = under_way.try_join_next() {
                    ended??;
                }
                if under_way.len() >= UNDER_WAY_MAX {
                    unsent += 1;
                    continue;
                }
                let place = usize::try_from(due)? % places.len();
                let (wire, caller) = &mut places[place];
                let (mut wire, request, round) = (wire.clone(), caller.request(*lines), round.clone());
                under_way.spawn(async move {
                    let answered = wire.decrement(&request).await?;
                    round.note_paced(at.elapsed(), answered)
                });
            }
        }
        let all_answered = async {
            while let Some(ended) = under_way.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        timeout(ANSWER_TIMEOUT, all_answered).await.context("a call is not answered")??;
        beating.join().map_err(|_| anyhow::anyhow!("the beat broke off"))?;
        Ok(Paced { tally: round.tally(started.elapsed()), due, unsent })
    }
}

/// Says each moment at which calls fall due.
fn beat(started: Instant, length: Duration, beats: &mpsc::Sender<Instant>) {
    let mut next = started + BEAT;
    while next <= started + length {
        let now = Instant::now();
        if now < next {
            thread::park_timeout(next - now);
            continue;
        }
        if beats.blocking_send(next).is_err() {
            return;
        }
        next += BEAT;
    }
}

//! What an operator does to dead letters: replay them, or discard them.

use std::collections::BTreeMap;

use crate::domain::{ChannelId, Operator, Partition};

use super::{
    super::{
        Store, StoreError, encode,
        propagation::corrupt,
        scripts::{DISCARD_SCRIPT, REPLAY_SCRIPT},
    },
    DeadLetter, DeadPosition, DeadScope, READ_LETTERS, answers,
};

/// Letters one call treats at most; the caller goes on where it ended.
const LETTERS_MAX: usize = 10_000;
/// Pages one call reads at most: where few match, it ends before it has treated so many.
const PAGES_MAX: usize = 25;
/// Letters shown of those found.
const SAMPLE_MAX: usize = 100;

/// What is done to dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadRemedy {
    /// They are due again.
    Replay,
    /// They are dropped.
    Discard,
}

/// What one call did.
#[derive(Debug, Default)]
pub struct Treated {
    /// Letters the scope holds, as far as it was read.
    pub matched: u64,
    /// Of these, treated. The others were none any more, or their stock record is broken.
    pub treated: u64,
    /// Some of those found, as they were.
    pub sample: Vec<DeadLetter>,
    /// Channels on which something was done.
    pub channels: Vec<ChannelId>,
    /// Where to go on; None at the end.
    pub next: Option<DeadPosition>,
}

impl Store {
    /// Treats up to 10,000 letters of a scope, after `from`. Without an operator it only says what it would do.
    pub async fn treat_dead_letters(
        &self,
        remedy: DeadRemedy,
        scope: &DeadScope,
        from: Option<&DeadPosition>,
        operator: Option<&Operator>,
    ) -> Result<Treated, StoreError> {
        let mut done = Treated { next: from.cloned(), ..Treated::default() };
        let mut matched = 0;
        for _ in 0..PAGES_MAX {
            let room = READ_LETTERS.min(LETTERS_MAX - matched);
            let page = self.dead_letters(scope, done.next.as_ref(), room).await?;
            done.next = page.next;
            matched += page.letters.len();
            if let Some(operator) = operator {
                self.treat(remedy, &page.letters, operator, &mut done).await?;
            }
            let wanted = SAMPLE_MAX - done.sample.len();
            done.sample.extend(page.letters.into_iter().take(wanted));
            if done.next.is_none() || matched == LETTERS_MAX {
                break;
            }
        }
        done.matched = u64::try_from(matched).unwrap_or(u64::MAX);
        Ok(done)
    }

    async fn treat(
        &self,
        remedy: DeadRemedy,
        letters: &[DeadLetter],
        operator: &Operator,
        done: &mut Treated,
    ) -> Result<(), StoreError> {
        let mut groups: BTreeMap<(&ChannelId, Partition), Vec<&DeadLetter>> = BTreeMap::new();
        for letter in letters {
            let partition = self.partitions().of(&letter.sku);
            groups.entry((&letter.channel, partition)).or_default().push(letter);
        }
        for ((channel, partition), letters) in groups {
            let treated = self.treat_script(remedy, channel, partition, &letters, operator).await?;
            done.treated += treated;
            if treated > 0 && !done.channels.contains(channel) {
                done.channels.push(channel.clone());
            }
        }
        Ok(())
    }

    async fn treat_script(
        &self,
        remedy: DeadRemedy,
        channel: &ChannelId,
        partition: Partition,
        letters: &[&DeadLetter],
        operator: &Operator,
    ) -> Result<u64, StoreError> {
        let of = self.inner.keys.channel(partition, channel);
        let (stock, events) = (self.inner.keys.stock(partition), self.inner.keys.events(partition));
        let (script, word, keys) = match remedy {
            DeadRemedy::Replay => (
                &REPLAY_SCRIPT,
                "replayed",
                vec![of.due, of.lease, of.dirty, of.work, of.dead, stock, events],
            ),
            DeadRemedy::Discard => {
                (&DISCARD_SCRIPT, "discarded", vec![of.due, of.lease, of.work, of.dead, stock, events])
            }
        };
        let mut command = script.call(keys.iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(encode::operator_cause(channel, operator));
        if remedy == DeadRemedy::Discard {
            command.arg(operator.discard_note());
        }
        for letter in letters {
            command.arg(letter.sku.as_str()).arg(letter.dead_ms);
        }
        let reply = self.run_script(script, &command).await?;
        let told = answers(script, word, &reply)?;
        if told.len() != letters.len() {
            return Err(corrupt(script, &reply));
        }
        let mut treated = 0;
        for (letter, answer) in letters.iter().zip(told) {
            match answer.as_str() {
                "done" => treated += 1,
                "gone" => {}
                "broken" => tracing::error!(
                    channel = channel.as_str(),
                    sku = letter.sku.as_str(),
                    "a dead letter stays: the stock record does not parse; run verify --repair first"
                ),
                _ => return Err(corrupt(script, &reply)),
            }
        }
        Ok(treated)
    }
}

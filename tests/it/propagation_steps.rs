//! What may happen in the propagation story.

use proptest::prelude::*;

use crate::{harness::LEASE_MS, propagation_receivers::CHANNELS};

pub(crate) const SKUS: [&str; 3] = ["A", "B", "C"];

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Sell(i64),
    Hold(i64),
    Restock(i64),
    Set(i64),
    /// More than there is: the channel that sold it shows a wrong number.
    Oversell,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Applied,
    Failed { burns_attempt: bool },
    Permanent,
    Returned,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Seed {
    OtherPolicy,
    OtherAddress,
    Asked,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Change {
        sku: &'static str,
        change: Change,
        source: Option<usize>,
    },
    FanOut,
    /// Reads entries and dies before they are marked.
    ReadAndDie,
    /// Takes over what the dead have read.
    Adopt,
    /// Its call may arrive at once.
    Claim {
        channel: usize,
        limit: usize,
        arrives: bool,
    },
    /// Answers the oldest claim in hand, or only its first SKU and dies. A call that failed may have arrived all the same.
    Settle {
        channel: usize,
        answer: Answer,
        arrives: bool,
        first_only: bool,
    },
    /// Forgets the oldest claim in hand.
    Die {
        channel: usize,
    },
    Resync {
        channel: usize,
        sku: &'static str,
    },
    /// Tells a channel all stock.
    Seed {
        channel: usize,
        seed: Seed,
    },
    Pass(i64),
}

pub(crate) fn steps() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        4 => (1..4_i64).prop_map(Change::Sell),
        2 => (1..4_i64).prop_map(Change::Hold),
        3 => (1..4_i64).prop_map(Change::Restock),
        1 => (0..6_i64).prop_map(Change::Set),
        2 => Just(Change::Oversell),
    ];
    let channel = || 0..CHANNELS.len();
    let name = || prop::sample::select(&SKUS[..]);
    let source = prop_oneof![2 => Just(None), 3 => channel().prop_map(Some)];
    let answer = prop_oneof![
        5 => Just(Answer::Applied),
        3 => any::<bool>().prop_map(|burns_attempt| Answer::Failed { burns_attempt }),
        1 => Just(Answer::Permanent),
        1 => Just(Answer::Returned),
    ];
    let seed = prop::sample::select(&[Seed::OtherPolicy, Seed::OtherAddress, Seed::Asked][..]);
    prop_oneof![
        8 => (name(), change, source).prop_map(|(sku, change, source)| Step::Change { sku, change, source }),
        5 => Just(Step::FanOut),
        2 => Just(Step::ReadAndDie),
        2 => Just(Step::Adopt),
        5 => (channel(), 1..4_usize, any::<bool>())
            .prop_map(|(channel, limit, arrives)| Step::Claim { channel, limit, arrives }),
        6 => (channel(), answer, any::<bool>(), any::<bool>()).prop_map(
            |(channel, answer, arrives, first_only)| Step::Settle { channel, answer, arrives, first_only }
        ),
        1 => channel().prop_map(|channel| Step::Die { channel }),
        1 => (channel(), name()).prop_map(|(channel, sku)| Step::Resync { channel, sku }),
        1 => (channel(), seed).prop_map(|(channel, seed)| Step::Seed { channel, seed }),
        2 => prop::sample::select(&[1, 500, 1000, LEASE_MS][..]).prop_map(Step::Pass),
    ]
}

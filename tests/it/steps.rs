//! The steps of stories, and how they are made up.

use proptest::{collection::vec, prelude::*};

use crate::harness::RETENTION_MS;

/// What there is to sell; the last is never stocked at first.
pub(crate) const SKUS: [&str; 4] = ["A", "B", "C", "new"];

/// Which key a request carries.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    Fresh,
    /// The whole request of an earlier step again, and not this one.
    Repeat(u8),
    /// The key of an earlier request, for this one.
    Reused(u8),
}

/// The version a line expects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    Any,
    Current,
    Older,
}

pub(crate) type Cart = Vec<(&'static str, i64)>;

/// What is asked. Holds are counted from the first reserve on.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Decrement(Cart, Expect),
    Restock(Cart),
    Reserve {
        cart: Cart,
        ttl_ms: i64,
    },
    /// The reserve whose hold was released before it was made.
    LateReserve(u8),
    Commit {
        hold: u8,
        some: Cart,
        keep_open: bool,
        reacquire: bool,
    },
    Release {
        hold: u8,
        some: Cart,
    },
    ReleaseUnborn(Cart),
    Extend {
        hold: u8,
        ttl_ms: i64,
    },
    Adjust(&'static str, i64, Expect),
    Set {
        sku: &'static str,
        quantity: i64,
        expect: Expect,
    },
    /// A count taken before so many events of the SKU.
    SetAsOf {
        sku: &'static str,
        quantity: i64,
        back: u8,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    pub(crate) source: Option<&'static str>,
    pub(crate) key: Key,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Request(Request),
    /// Several at once: one script with one partition, one after the other with more.
    Together(Vec<Request>),
    Resolve {
        sku: &'static str,
        key: Key,
    },
    Sweep {
        sku: &'static str,
        limit: u8,
    },
    Pass(i64),
}

fn carts() -> impl Strategy<Value = Cart> {
    let line = (prop::sample::select(&SKUS[..]), 1..6_i64);
    vec(line, 1..4).prop_map(|mut cart| {
        let mut seen = Vec::new();
        cart.retain(|(name, _)| {
            !seen.contains(name) && {
                seen.push(*name);
                true
            }
        });
        cart
    })
}

fn some_lines() -> impl Strategy<Value = Cart> {
    prop_oneof![2 => Just(Vec::new()), 1 => carts()]
}

fn expects() -> impl Strategy<Value = Expect> {
    prop_oneof![6 => Just(Expect::Any), 2 => Just(Expect::Current), 1 => Just(Expect::Older)]
}

fn asks() -> impl Strategy<Value = Ask> {
    let skus = || prop::sample::select(&SKUS[..]);
    let ttls = || prop::sample::select(&[1000_i64, 2000, 60_000][..]);
    let hold = || 0..8_u8;
    prop_oneof![
        4 => (carts(), expects()).prop_map(|(cart, expect)| Ask::Decrement(cart, expect)),
        2 => carts().prop_map(Ask::Restock),
        5 => (carts(), ttls()).prop_map(|(cart, ttl_ms)| Ask::Reserve { cart, ttl_ms }),
        1 => hold().prop_map(Ask::LateReserve),
        5 => (hold(), some_lines(), any::<bool>(), any::<bool>())
            .prop_map(|(hold, some, keep_open, reacquire)| Ask::Commit { hold, some, keep_open, reacquire }),
        3 => (hold(), some_lines()).prop_map(|(hold, some)| Ask::Release { hold, some }),
        1 => carts().prop_map(Ask::ReleaseUnborn),
        2 => (hold(), ttls()).prop_map(|(hold, ttl_ms)| Ask::Extend { hold, ttl_ms }),
        2 => (skus(), prop_oneof![-4..0_i64, 1..5_i64], expects())
            .prop_map(|(sku, delta, expect)| Ask::Adjust(sku, delta, expect)),
        2 => (skus(), 0..12_i64, expects())
            .prop_map(|(sku, quantity, expect)| Ask::Set { sku, quantity, expect }),
        1 => (skus(), 0..12_i64, 0..6_u8)
            .prop_map(|(sku, quantity, back)| Ask::SetAsOf { sku, quantity, back }),
    ]
}

fn keys() -> impl Strategy<Value = Key> {
    prop_oneof![
        8 => Just(Key::Fresh),
        2 => any::<u8>().prop_map(Key::Repeat),
        1 => any::<u8>().prop_map(Key::Reused),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    let sources = prop_oneof![2 => Just(None), 1 => Just(Some("web")), 1 => Just(Some("app"))];
    (asks(), sources, keys()).prop_map(|(ask, source, key)| Request { ask, source, key })
}

pub(crate) fn steps() -> impl Strategy<Value = Step> {
    let skus = || prop::sample::select(&SKUS[..]);
    prop_oneof![
        14 => requests().prop_map(Step::Request),
        3 => vec(requests(), 2..6).prop_map(Step::Together),
        1 => (skus(), keys()).prop_map(|(sku, key)| Step::Resolve { sku, key }),
        1 => (skus(), 1..4_u8).prop_map(|(sku, limit)| Step::Sweep { sku, limit }),
        3 => prop::sample::select(&[1, 999, 1000, 2000, 59_000, RETENTION_MS, 150_000][..]).prop_map(Step::Pass),
    ]
}

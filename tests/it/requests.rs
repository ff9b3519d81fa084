//! Requests, short to write.

use std::time::Duration;

use stockgate::domain::{
    Action, Cause, ChannelId, ClientId, HoldId, HoldKind, IdempotencyKey, Line, Lines, Mutation, Partitions,
    Quantity, SetCondition, Sku, SkuQuantity, Text, Ttl, WhenExpired,
};

/// The longest hold of these tests.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}

pub(crate) fn channel(name: &str) -> ChannelId {
    ChannelId::parse(name).unwrap()
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub(crate) fn client() -> ClientId {
    ClientId::anonymous()
}

pub(crate) fn lines(wanted: &[(&str, i64)]) -> Lines {
    let line = |(name, units): &(&str, i64)| Line {
        sku: sku(name),
        quantity: Quantity::parse(*units).unwrap(),
        expected_version: None,
    };
    Lines::parse(wanted.iter().map(line).collect()).unwrap()
}

pub(crate) fn some_of(wanted: &[(&str, i64)]) -> Vec<SkuQuantity> {
    let line = |(name, units): &(&str, i64)| SkuQuantity {
        sku: sku(name),
        quantity: Quantity::parse(*units).unwrap(),
    };
    wanted.iter().map(line).collect()
}

pub(crate) fn ask(text: &str, action: Action) -> Mutation {
    let cause = Cause {
        client: client(),
        key: key(text),
        channel: None,
        order_ref: Text::default(),
        reason: Text::default(),
        actor: Text::default(),
    };
    Mutation { cause, action, durability: None }
}

/// The same request, naming the channel it comes from.
pub(crate) fn from(source: &str, mut mutation: Mutation) -> Mutation {
    mutation.cause.channel = Some(channel(source));
    mutation
}

pub(crate) fn decrement(key: &str, wanted: &[(&str, i64)]) -> Mutation {
    ask(key, Action::Decrement(lines(wanted)))
}

pub(crate) fn restock(key: &str, wanted: &[(&str, i64)]) -> Mutation {
    ask(key, Action::Restock(lines(wanted)))
}

pub(crate) fn ttl(ttl_ms: i64) -> Ttl {
    Ttl::parse(ttl_ms, TTL_MAX).unwrap()
}

pub(crate) fn reserve(key: &str, wanted: &[(&str, i64)], ttl_ms: i64) -> Mutation {
    ask(key, Action::Reserve { lines: lines(wanted), ttl: ttl(ttl_ms) })
}

/// Of the hold: everything.
pub(crate) fn commit(key: &str, hold: &HoldId) -> Mutation {
    commit_some(key, hold, &[], false)
}

pub(crate) fn commit_some(key: &str, hold: &HoldId, wanted: &[(&str, i64)], keep_open: bool) -> Mutation {
    let (hold, lines) = (hold.clone(), some_of(wanted));
    ask(key, Action::Commit { hold, lines, keep_open, when_expired: WhenExpired::Strict })
}

pub(crate) fn reacquire(key: &str, hold: &HoldId, wanted: &[(&str, i64)]) -> Mutation {
    let (hold, lines) = (hold.clone(), some_of(wanted));
    ask(key, Action::Commit { hold, lines, keep_open: false, when_expired: WhenExpired::Reacquire })
}

pub(crate) fn release(key: &str, hold: &HoldId) -> Mutation {
    release_some(key, hold, &[])
}

pub(crate) fn release_some(key: &str, hold: &HoldId, wanted: &[(&str, i64)]) -> Mutation {
    ask(key, Action::Release { hold: hold.clone(), lines: some_of(wanted) })
}

pub(crate) fn extend(key: &str, hold: &HoldId, ttl_ms: i64) -> Mutation {
    ask(key, Action::ExtendHold { hold: hold.clone(), ttl: ttl(ttl_ms) })
}

pub(crate) fn adjust(key: &str, name: &str, delta: i64) -> Mutation {
    ask(key, Action::AdjustStock { sku: sku(name), delta, expected_version: None })
}

pub(crate) fn set(key: &str, name: &str, quantity: i64) -> Mutation {
    set_if(key, name, quantity, SetCondition::Force)
}

pub(crate) fn set_if(key: &str, name: &str, quantity: i64, condition: SetCondition) -> Mutation {
    let as_of_event = String::new();
    ask(key, Action::SetStock { sku: sku(name), quantity, condition, on_hand_then: None, as_of_event })
}

/// The hold that this reserve makes, made or not.
pub(crate) fn hold_of(reserve: &Mutation, partitions: Partitions) -> HoldId {
    let Action::Reserve { lines, .. } = &reserve.action else { panic!("makes no hold: {reserve:?}") };
    HoldId::derive(&reserve.cause, lines, partitions, HoldKind::Reserved)
}

//! Reads a batch of CloudEvents as far as the bench must know: scanned, not parsed, since the cores belong to those measured.

/// One event of a batch.
pub(crate) struct Told {
    /// The number in the name of the SKU.
    pub(crate) sku: usize,
    pub(crate) version: i64,
    pub(crate) quantity: i64,
    /// The oldest change the channel had not confirmed, in ms of the clock of Redis, which is that of this machine.
    pub(crate) since_ms: i64,
}

const SKU_PREFIX: &str = "SKU-";

/// The name of a SKU; it needs no escapes in ids.
pub(crate) fn sku_name(number: usize) -> String {
    format!("{SKU_PREFIX}{number:06}")
}

/// The events of a body, in its order; `None` where one is not as the gateway writes it.
pub(crate) fn events(body: &str) -> impl Iterator<Item = Option<Told>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (_, at_id) = rest.split_once("\"id\":\"")?;
        rest = at_id;
        Some(event(&mut rest))
    })
}

/// Reads `channel:sku:version:since_ms` and the quantity after it, and leaves `rest` behind them.
fn event(rest: &mut &str) -> Option<Told> {
    let (id, after_id) = rest.split_once('"')?;
    let mut parts = id.split(':').skip(1);
    let sku = parts.next()?.strip_prefix(SKU_PREFIX)?.parse().ok()?;
    let version = parts.next()?.parse().ok()?;
    let since_ms = parts.next()?.parse().ok()?;
    let (_, at_quantity) = after_id.split_once("\"quantity\":")?;
    let (quantity, after_quantity) = at_quantity.split_once(',')?;
    *rest = after_quantity;
    Some(Told { sku, version, quantity: quantity.parse().ok()?, since_ms })
}

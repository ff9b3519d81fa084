//! What is measured: how many calls at once, on how many SKUs, with how much stock, how safe on disk.

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Calls on their way at the same time.
    pub(crate) in_flight: usize,
    pub(crate) skus: usize,
    /// Units each SKU begins with; 0: every call is refused.
    pub(crate) units: i64,
    /// `embedded.fsync` of the gateway.
    pub(crate) fsync: &'static str,
}

/// As much as a count may be: nothing is refused for lack of stock.
const PLENTY: i64 = 1_000_000_000;

pub(crate) const CASES: [Case; 6] = [
    Case { name: "one SKU", in_flight: 64, skus: 1, units: PLENTY, fsync: "everysec" },
    Case { name: "1,000 SKUs", in_flight: 64, skus: 1_000, units: PLENTY, fsync: "everysec" },
    Case { name: "sold out", in_flight: 64, skus: 1, units: 0, fsync: "everysec" },
    Case { name: "one call at a time", in_flight: 1, skus: 1, units: PLENTY, fsync: "everysec" },
    Case { name: "one SKU, fsync always", in_flight: 64, skus: 1, units: PLENTY, fsync: "always" },
    Case { name: "1,000 SKUs, fsync always", in_flight: 64, skus: 1_000, units: PLENTY, fsync: "always" },
];

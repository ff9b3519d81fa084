//! The contract's messages as they are shown: stock, lines, holds, and the answer to a change.

use serde::Serialize;

use super::{
    durability::DurabilityShown,
    failure::CliError,
    moment,
    output::{Row, table},
};
use crate::proto::{Hold, HoldLine, HoldState, LineResult, Stock};

/// The count of one SKU.
#[derive(Debug, Serialize)]
pub(super) struct StockRow {
    sku: String,
    available: i64,
    on_hand: i64,
    held: i64,
    version: i64,
    oversold: bool,
    update_time: Option<String>,
}

impl From<Stock> for StockRow {
    fn from(stock: Stock) -> Self {
        Self {
            sku: stock.sku,
            available: stock.available,
            on_hand: stock.on_hand,
            held: stock.held,
            version: stock.version,
            oversold: stock.oversold,
            update_time: moment::show(stock.update_time),
        }
    }
}

impl Row for StockRow {
    const HEAD: &'static [&'static str] = &["sku", "available", "on hand", "held", "version", "updated", ""];

    fn cells(&self) -> Vec<String> {
        vec![
            self.sku.clone(),
            self.available.to_string(),
            self.on_hand.to_string(),
            self.held.to_string(),
            self.version.to_string(),
            self.update_time.clone().unwrap_or_default(),
            if self.oversold { "oversold" } else { " " }.to_owned(),
        ]
    }
}

impl StockRow {
    /// The count in one line.
    pub(super) fn headline(&self) -> String {
        let Self { sku, available, on_hand, held, version, .. } = self;
        format!("{sku}  available {available}  on hand {on_hand}  held {held}  version {version}")
    }
}

/// What one line did.
#[derive(Debug, Serialize)]
pub(super) struct LineRow {
    sku: String,
    quantity: i64,
    available: i64,
    on_hand: i64,
    held: i64,
    version: i64,
    event_id: String,
}

impl From<LineResult> for LineRow {
    fn from(line: LineResult) -> Self {
        Self {
            sku: line.sku,
            quantity: line.quantity,
            available: line.available,
            on_hand: line.on_hand,
            held: line.held,
            version: line.version,
            event_id: line.event_id,
        }
    }
}

impl Row for LineRow {
    const HEAD: &'static [&'static str] =
        &["sku", "quantity", "available", "on hand", "held", "version", "event"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.sku.clone(),
            self.quantity.to_string(),
            self.available.to_string(),
            self.on_hand.to_string(),
            self.held.to_string(),
            self.version.to_string(),
            self.event_id.clone(),
        ]
    }
}

/// One SKU of a hold.
#[derive(Debug, Serialize)]
struct HoldLineRow {
    sku: String,
    quantity: i64,
    held: i64,
    committed: i64,
}

impl From<HoldLine> for HoldLineRow {
    fn from(line: HoldLine) -> Self {
        Self { sku: line.sku, quantity: line.quantity, held: line.held, committed: line.committed }
    }
}

impl Row for HoldLineRow {
    const HEAD: &'static [&'static str] = &["sku", "reserved", "held", "committed"];

    fn cells(&self) -> Vec<String> {
        vec![self.sku.clone(), self.quantity.to_string(), self.held.to_string(), self.committed.to_string()]
    }
}

/// A hold.
#[derive(Debug, Serialize)]
pub(super) struct HoldShown {
    hold_id: String,
    state: &'static str,
    expire_time: Option<String>,
    order_ref: String,
    channel: String,
    lines: Vec<HoldLineRow>,
}

impl From<Hold> for HoldShown {
    fn from(hold: Hold) -> Self {
        Self {
            state: state_word(hold.state()),
            hold_id: hold.hold_id,
            expire_time: moment::show(hold.expire_time),
            order_ref: hold.order_ref,
            channel: hold.channel,
            lines: hold.lines.into_iter().map(HoldLineRow::from).collect(),
        }
    }
}

impl HoldShown {
    /// The hold for people: its head, then its lines.
    pub(super) fn text(&self) -> String {
        let mut text = format!("hold {}  {}", self.hold_id, self.state);
        if let (Some(expire_time), "held") = (&self.expire_time, self.state) {
            text.push_str(&format!(" until {expire_time}"));
        }
        for (name, value) in [("order", &self.order_ref), ("channel", &self.channel)] {
            if !value.is_empty() {
                text.push_str(&format!("  {name} {value}"));
            }
        }
        if !self.lines.is_empty() {
            text.push('\n');
            text.push_str(&table(&self.lines));
        }
        text
    }
}

fn state_word(state: HoldState) -> &'static str {
    match state {
        HoldState::Held => "held",
        HoldState::Committed => "committed",
        HoldState::Released => "released",
        HoldState::Expired => "expired",
        HoldState::Unspecified => "unspecified",
    }
}

/// The answer to a change: the hold it is about, if any, the balances, and the key that repeats it.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    idempotency_key: String,
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldShown>,
    lines: Vec<LineRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<DurabilityShown>,
}

impl Changed {
    /// An answer without a hold.
    pub(super) fn new(idempotency_key: String, replayed: bool, lines: Vec<LineResult>) -> Self {
        let lines = lines.into_iter().map(LineRow::from).collect();
        Self { idempotency_key, replayed, hold: None, lines, durability: None }
    }

    /// The same with its hold, which the contract always sends.
    pub(super) fn with_hold(mut self, hold: Option<Hold>) -> Result<Self, CliError> {
        self.hold = Some(hold.ok_or(CliError::Incomplete("hold"))?.into());
        Ok(self)
    }

    /// The same with how durable it is, when that is to be shown.
    pub(super) fn with_durability(mut self, durability: Option<DurabilityShown>) -> Self {
        self.durability = durability;
        self
    }

    /// The answer for people.
    pub(super) fn text(&self) -> String {
        let mut parts: Vec<String> = self.hold.iter().map(HoldShown::text).collect();
        if !self.lines.is_empty() {
            parts.push(table(&self.lines));
        }
        let replayed = if self.replayed { "  (replayed: this is the first answer again)" } else { "" };
        parts.extend(self.durability.iter().map(DurabilityShown::text));
        parts.push(format!("key {}{replayed}", self.idempotency_key));
        parts.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> LineResult {
        LineResult {
            sku: "A".to_owned(),
            quantity: 2,
            available: 8,
            on_hand: 10,
            held: 2,
            version: 5,
            event_id: "0-17-0".to_owned(),
        }
    }

    fn hold() -> Hold {
        Hold {
            hold_id: "h1".to_owned(),
            state: HoldState::Held.into(),
            lines: vec![HoldLine { sku: "A".to_owned(), quantity: 2, held: 2, committed: 0 }],
            expire_time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            order_ref: "17".to_owned(),
            channel: String::new(),
        }
    }

    #[test]
    fn reserve_shows_hold_balances_and_key() {
        let changed = Changed::new("k1".to_owned(), true, vec![line()]).with_hold(Some(hold())).unwrap();
        assert_eq!(
            changed.text(),
            "hold h1  held until 2027-01-15T08:00:00Z  order 17\n\
             SKU  RESERVED  HELD  COMMITTED\n\
             A           2     2          0\n\
             SKU  QUANTITY  AVAILABLE  ON HAND  HELD  VERSION  EVENT\n\
             A           2          8       10     2        5  0-17-0\n\
             key k1  (replayed: this is the first answer again)"
        );
    }

    #[test]
    fn json_of_a_sale_has_no_hold() {
        let json = serde_json::to_value(Changed::new("k1".to_owned(), false, vec![line()])).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"idempotency_key": "k1", "replayed": false, "lines": [{
                "sku": "A", "quantity": 2, "available": 8, "on_hand": 10, "held": 2, "version": 5,
                "event_id": "0-17-0"
            }]})
        );
    }

    #[test]
    fn answer_without_its_hold_is_an_error() {
        assert!(Changed::new("k1".to_owned(), false, Vec::new()).with_hold(None).is_err());
    }

    #[test]
    fn oversold_is_flagged() {
        let stock = Stock { sku: "A".to_owned(), available: -2, held: 2, oversold: true, ..Stock::default() };
        let text = table(&[StockRow::from(stock)]);
        assert!(text.lines().last().unwrap().ends_with("oversold"), "{text}");
    }
}

//! What may be asked of the stock, and every answer it may give.

use super::{
    Achieved, Cause, Durability, Fingerprint, Hold, HoldId, HoldState, Level, Lines, Quantity, SetCondition,
    Sku, SkuQuantity, Ttl,
};

/// The mutating rpcs; each has a letter in scripts and fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rpc {
    /// StockService.Decrement.
    Decrement,
    /// StockService.Restock.
    Restock,
    /// StockService.Reserve.
    Reserve,
    /// StockService.Commit.
    Commit,
    /// StockService.Release.
    Release,
    /// StockService.ExtendHold.
    ExtendHold,
    /// InventoryService.AdjustStock.
    AdjustStock,
    /// InventoryService.SetStock and rows of ImportStock.
    SetStock,
}

impl Rpc {
    const LETTERS: [(Self, char, &'static str); 8] = [
        (Self::Decrement, 'd', "Decrement"),
        (Self::Restock, 'i', "Restock"),
        (Self::Reserve, 'r', "Reserve"),
        (Self::Commit, 'c', "Commit"),
        (Self::Release, 'l', "Release"),
        (Self::ExtendHold, 'e', "ExtendHold"),
        (Self::AdjustStock, 'a', "AdjustStock"),
        (Self::SetStock, 's', "SetStock"),
    ];

    fn row(self) -> &'static (Self, char, &'static str) {
        Self::LETTERS.iter().find(|row| row.0 == self).expect("every rpc has a row")
    }

    /// Its letter.
    pub fn letter(self) -> char {
        self.row().1
    }

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// The rpc of a letter.
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::LETTERS.iter().find(|row| row.1 == letter).map(|row| row.0)
    }
}

/// What a commit does when the hold's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenExpired {
    /// Refuses.
    Strict,
    /// Takes the units again, if they are still there.
    Reacquire,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sell now.
    Decrement(Lines),
    /// Take units in.
    Restock(Lines),
    /// Hold units for a while.
    Reserve {
        /// What to hold.
        lines: Lines,
        /// For how long.
        ttl: Ttl,
    },
    /// Sell what a hold promised.
    Commit {
        /// The hold.
        hold: HoldId,
        /// What of it; empty: all.
        lines: Vec<SkuQuantity>,
        /// Keep the rest on hold.
        keep_open: bool,
        /// When its time is over.
        when_expired: WhenExpired,
    },
    /// Give a hold's units back.
    Release {
        /// The hold.
        hold: HoldId,
        /// What of it; empty: all.
        lines: Vec<SkuQuantity>,
    },
    /// Give a hold another deadline.
    ExtendHold {
        /// The hold.
        hold: HoldId,
        /// From now on.
        ttl: Ttl,
    },
    /// Correct a count by a delta.
    AdjustStock {
        /// The SKU.
        sku: Sku,
        /// Units, up or down; never 0.
        delta: i64,
        /// The version it must be at.
        expected_version: Option<i64>,
    },
    /// Set a count.
    SetStock {
        /// The SKU.
        sku: Sku,
        /// The new on hand, or what it was at `on_hand_then`.
        quantity: i64,
        /// What must be true.
        condition: SetCondition,
        /// The on hand right after the event the count was taken at; later changes are kept on top.
        on_hand_then: Option<i64>,
        /// The event the count was taken at, as given; part of the fingerprint.
        as_of_event: String,
    },
}

/// One request: who and why, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// Who and why.
    pub cause: Cause,
    /// What.
    pub action: Action,
    /// How durable it must be before it is answered; None: as the gateway is set. A repeat may ask for another.
    pub durability: Option<Durability>,
}

impl Mutation {
    /// The rpc that asks for it.
    pub fn rpc(&self) -> Rpc {
        match self.action {
            Action::Decrement(_) => Rpc::Decrement,
            Action::Restock(_) => Rpc::Restock,
            Action::Reserve { .. } => Rpc::Reserve,
            Action::Commit { .. } => Rpc::Commit,
            Action::Release { .. } => Rpc::Release,
            Action::ExtendHold { .. } => Rpc::ExtendHold,
            Action::AdjustStock { .. } => Rpc::AdjustStock,
            Action::SetStock { .. } => Rpc::SetStock,
        }
    }

    /// The first SKU in byte order: the idempotency record lives in its partition, under its name.
    pub fn home(&self) -> &Sku {
        match &self.action {
            Action::Decrement(lines) | Action::Restock(lines) | Action::Reserve { lines, .. } => lines.home(),
            Action::Commit { hold, .. } | Action::Release { hold, .. } | Action::ExtendHold { hold, .. } => {
                hold.home_sku()
            }
            Action::AdjustStock { sku, .. } | Action::SetStock { sku, .. } => sku,
        }
    }

    /// The hold it names, when it acts on one.
    pub fn hold(&self) -> Option<&HoldId> {
        match &self.action {
            Action::Commit { hold, .. } | Action::Release { hold, .. } | Action::ExtendHold { hold, .. } => {
                Some(hold)
            }
            _ => None,
        }
    }

    /// What it takes or brings in, when it acts on no hold there is.
    pub fn lines(&self) -> Option<&Lines> {
        match &self.action {
            Action::Decrement(lines) | Action::Restock(lines) | Action::Reserve { lines, .. } => Some(lines),
            Action::Commit { .. }
            | Action::Release { .. }
            | Action::ExtendHold { .. }
            | Action::AdjustStock { .. }
            | Action::SetStock { .. } => None,
        }
    }

    /// What makes this request the same as another.
    pub fn fingerprint(&self) -> Fingerprint {
        let (mut lines, mut ttl, mut hold_id, mut options) =
            (String::new(), String::new(), String::new(), String::new());
        let versioned = |lines: &Lines| lines.as_slice().iter().map(versioned_text).collect::<String>();
        let plain = |lines: &[SkuQuantity]| {
            lines.iter().map(|line| quantity_text(&line.sku, line.quantity)).collect::<String>()
        };
        match &self.action {
            Action::Decrement(all) | Action::Restock(all) => lines = versioned(all),
            Action::Reserve { lines: all, ttl: wanted } => {
                lines = versioned(all);
                ttl = wanted.ms().to_string();
            }
            Action::Commit { hold, lines: some, keep_open, when_expired } => {
                lines = plain(some);
                hold_id = hold.to_string();
                if *keep_open || *when_expired != WhenExpired::Strict {
                    options = format!("{keep_open} {when_expired:?}");
                }
            }
            Action::Release { hold, lines: some } => {
                lines = plain(some);
                hold_id = hold.to_string();
            }
            Action::ExtendHold { hold, ttl: wanted } => {
                hold_id = hold.to_string();
                ttl = wanted.ms().to_string();
            }
            Action::AdjustStock { sku, delta, expected_version } => {
                lines = format!("{sku} {delta} {expected_version:?};");
            }
            Action::SetStock { sku, quantity, condition, as_of_event, on_hand_then: _ } => {
                lines = format!("{sku} {quantity};");
                options = format!("{condition:?} {as_of_event}");
            }
        }
        let cause = &self.cause;
        Fingerprint::of(
            self.rpc(),
            [
                lines.as_bytes(),
                cause.channel.as_ref().map_or("", |channel| channel.as_str()).as_bytes(),
                cause.order_ref.as_str().as_bytes(),
                cause.reason.as_str().as_bytes(),
                cause.actor.as_str().as_bytes(),
                ttl.as_bytes(),
                hold_id.as_bytes(),
                options.as_bytes(),
            ],
        )
    }
}

fn versioned_text(line: &super::Line) -> String {
    match line.expected_version {
        Some(version) => format!("{} {} {version};", line.sku, line.quantity.units()),
        None => quantity_text(&line.sku, line.quantity),
    }
}

fn quantity_text(sku: &Sku, quantity: Quantity) -> String {
    format!("{sku} {};", quantity.units())
}

/// What one line did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineResult {
    /// The SKU.
    pub sku: Sku,
    /// Units moved.
    pub quantity: i64,
    /// The count right after.
    pub level: Level,
    /// The event that records it; None when nothing changed.
    pub event_id: Option<super::EventId>,
}

/// A request carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One per line.
    pub lines: Vec<LineResult>,
    /// The hold after it, for requests on holds.
    pub hold: Option<Hold>,
}

/// A line that asked for more than there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// The SKU.
    pub sku: Sku,
    /// Units asked for.
    pub requested: i64,
    /// Units there are.
    pub available: i64,
}

/// A line that expected another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The SKU.
    pub sku: Sku,
    /// The version expected.
    pub expected: i64,
    /// The version there is; 0 when the SKU does not exist.
    pub current: i64,
}

/// A request decided against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Too little stock: all lines that are short.
    Insufficient(Vec<Shortage>),
    /// SKUs nobody ever set.
    UnknownSku(Vec<Sku>),
    /// SKUs at other versions.
    VersionMismatch(Vec<Versions>),
    /// No such hold.
    UnknownHold,
    /// The hold has ended.
    HoldOver {
        /// How.
        state: HoldState,
        /// When its time is or was over, in ms of the Redis clock; 0 when unknown.
        deadline_ms: i64,
    },
    /// More than the hold still promises.
    ExceedsHold(Vec<Shortage>),
    /// A count would leave the range that is kept exactly.
    Overflow(Sku),
    /// The key was used for another request; names the field that differs.
    Conflict {
        /// The field.
        field: &'static str,
    },
    /// ResolveKey burnt the key before it was used.
    KeyBurnt,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Carried out, or decided against.
    pub result: Result<Applied, Refusal>,
    /// True when this is the first answer again.
    pub replayed: bool,
    /// How durable it is.
    pub durability: Achieved,
}

//! What the stock must do, said plainly: the model that `story` holds against Redis. It knows requests and answers, and
//! nothing of scripts, keys or texts.

use std::collections::{BTreeMap, HashMap};

use stockgate::domain::{
    Action, EventKind, HoldState, Line, Mutation, Partition, Partitions, Refusal, Rpc, SetCondition,
    Shortage, Sku, Versions, WhenExpired,
};

use crate::requests::hold_of;

/// One SKU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) on_hand: i64,
    pub(crate) held: i64,
    pub(crate) version: i64,
    pub(crate) updated_ms: i64,
    /// The version at which a refusal was last reported to channels.
    reported: i64,
    /// A person set or adjusted it below what is held; only then may available be negative.
    pub(crate) oversold_by_hand: bool,
}

/// One SKU of a hold: reserved, held, committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) sku: Sku,
    pub(crate) reserved: i64,
    pub(crate) held: i64,
    pub(crate) committed: i64,
}

/// A hold as answers tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pledge {
    pub(crate) state: HoldState,
    pub(crate) deadline_ms: i64,
    pub(crate) lines: Vec<Promise>,
    pub(crate) order_ref: String,
}

pub(crate) struct Held {
    pub(crate) pledge: Pledge,
    home: Partition,
    /// The window it ended in.
    pub(crate) ended: Option<i64>,
    /// The key of the reserve that made it.
    key: String,
}

/// SKU, quantity moved, on hand, held, version.
pub(crate) type Change = (Sku, i64, i64, i64, i64);

/// A request carried out: its changes and its hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) changes: Vec<Change>,
    pub(crate) hold: Option<Pledge>,
}

/// An event: kind, SKU, deltas of on hand and held, balances, version, key of its request.
pub(crate) type Told = (EventKind, Sku, i64, i64, i64, i64, i64, String);

struct Answered {
    asked: Option<Mutation>,
    result: Result<Done, Refusal>,
    window: i64,
}

/// What resolving a key must say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Burnt,
    Applied { rpc: Rpc, events: usize },
    Refused { rpc: Rpc, refusal: Refusal },
}

pub(crate) struct Model {
    pub(crate) now_ms: i64,
    pub(crate) items: BTreeMap<Sku, Item>,
    /// Events since they were last taken.
    pub(crate) events: Vec<Told>,
    pub(crate) holds: HashMap<String, Held>,
    answers: HashMap<(Sku, String), Answered>,
    partitions: Partitions,
    retention_ms: i64,
}

impl Model {
    pub(crate) fn new(now_ms: i64, retention_ms: i64, partitions: Partitions) -> Self {
        let (items, events) = (BTreeMap::new(), Vec::new());
        let (holds, answers) = (HashMap::new(), HashMap::new());
        Self { now_ms, items, events, holds, answers, partitions, retention_ms }
    }

    pub(crate) fn window(&self) -> i64 {
        self.now_ms / self.retention_ms
    }

    /// What is kept from then: this window and the last.
    fn remembers(&self, window: i64) -> bool {
        window >= self.window() - 1
    }

    /// A hold, if it is live or remembered.
    pub(crate) fn hold(&self, id: &str) -> Option<&Pledge> {
        let held = self.holds.get(id)?;
        held.ended.is_none_or(|window| self.remembers(window)).then_some(&held.pledge)
    }

    /// Units of a SKU that live holds promise.
    pub(crate) fn promised(&self, sku: &Sku) -> i64 {
        let live = self.holds.values().filter(|held| held.ended.is_none());
        live.flat_map(|held| &held.pledge.lines).filter(|line| line.sku == *sku).map(|line| line.held).sum()
    }

    /// Answers a request, and whether it is the first answer again.
    pub(crate) fn ask(&mut self, asked: &Mutation) -> (Result<Done, Refusal>, bool) {
        let place = (asked.home().clone(), asked.cause.key.as_str().to_owned());
        if let Some(first) = self.answers.get(&place).filter(|first| self.remembers(first.window)) {
            let Some(before) = &first.asked else { return (Err(Refusal::KeyBurnt), false) };
            if before.fingerprint() == asked.fingerprint() {
                return (first.result.clone(), true);
            }
            let field = asked.fingerprint().differing_field(before.fingerprint().as_str());
            return (Err(Refusal::Conflict { field }), false);
        }
        let result = self.decide(asked);
        let window = self.window();
        self.answers.insert(place, Answered { asked: Some(asked.clone()), result: result.clone(), window });
        (result, false)
    }

    /// Says what a key was answered, and burns it if it was never used.
    pub(crate) fn resolve(&mut self, home: &Sku, key: &str) -> Resolution {
        let place = (home.clone(), key.to_owned());
        let window = self.window();
        match self.answers.get(&place).filter(|first| self.remembers(first.window)) {
            None => {
                let burnt = Answered { asked: None, result: Err(Refusal::KeyBurnt), window };
                self.answers.insert(place, burnt);
                Resolution::Burnt
            }
            Some(Answered { asked: None, .. }) => Resolution::Burnt,
            Some(Answered { asked: Some(asked), result, .. }) => match result {
                Ok(done) => Resolution::Applied { rpc: asked.rpc(), events: done.changes.len() },
                Err(refusal) => Resolution::Refused { rpc: asked.rpc(), refusal: refusal.clone() },
            },
        }
    }

    /// Ends at most so many overdue holds of one partition; says how many.
    pub(crate) fn sweep(&mut self, partition: Partition, limit: usize) -> usize {
        let overdue: Vec<String> = self.overdue(partition).into_iter().take(limit).collect();
        for id in &overdue {
            self.expire(id);
        }
        overdue.len()
    }

    fn overdue(&self, partition: Partition) -> Vec<String> {
        let is_over = |held: &Held| {
            held.home == partition && held.ended.is_none() && held.pledge.deadline_ms <= self.now_ms
        };
        let over = self.holds.iter().filter(|(_, held)| is_over(held));
        let mut ids: Vec<(i64, String)> =
            over.map(|(id, held)| (held.pledge.deadline_ms, id.clone())).collect();
        ids.sort();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    pub(crate) fn expire(&mut self, id: &str) {
        let window = self.window();
        let held = self.holds.get_mut(id).unwrap();
        held.pledge.state = HoldState::Expired;
        held.ended = Some(window);
        let key = held.key.clone();
        for line in self.holds[id].pledge.lines.clone() {
            if line.held > 0 {
                self.change(EventKind::Expired, &line.sku, 0, -line.held, line.held, &key);
            }
        }
    }

    pub(crate) fn change(
        &mut self,
        kind: EventKind,
        sku: &Sku,
        on_hand: i64,
        held: i64,
        quantity: i64,
        key: &str,
    ) -> Change {
        let now_ms = self.now_ms;
        let item = self.items.entry(sku.clone()).or_default();
        item.on_hand += on_hand;
        item.held += held;
        item.version += 1;
        item.updated_ms = now_ms;
        let oversold = item.on_hand < item.held;
        item.oversold_by_hand =
            oversold && (item.oversold_by_hand || matches!(kind, EventKind::Set | EventKind::Adjusted));
        let (now_on_hand, now_held, version) = (item.on_hand, item.held, item.version);
        self.events.push((kind, sku.clone(), on_hand, held, now_on_hand, now_held, version, key.to_owned()));
        (sku.clone(), quantity, now_on_hand, now_held, version)
    }

    fn decide(&mut self, asked: &Mutation) -> Result<Done, Refusal> {
        let key = asked.cause.key.as_str().to_owned();
        match &asked.action {
            Action::Decrement(lines) => {
                self.object(lines.as_slice())?;
                self.take(asked, &wanted(lines.as_slice()))?;
                Ok(self.move_all(lines.as_slice(), EventKind::Decremented, (-1, 0), &key))
            }
            Action::Restock(lines) => {
                self.object(lines.as_slice())?;
                Ok(self.move_all(lines.as_slice(), EventKind::Restocked, (1, 0), &key))
            }
            Action::Reserve { lines, ttl } => {
                let id = hold_of(asked, self.partitions);
                self.object_to_hold(id.as_str())?;
                self.object(lines.as_slice())?;
                self.take(asked, &wanted(lines.as_slice()))?;
                let mut done = self.move_all(lines.as_slice(), EventKind::Reserved, (0, 1), &key);
                let promise = |(sku, units): &(Sku, i64)| Promise {
                    sku: sku.clone(),
                    reserved: *units,
                    held: *units,
                    committed: 0,
                };
                let pledge = Pledge {
                    state: HoldState::Held,
                    deadline_ms: self.now_ms + ttl.ms(),
                    lines: wanted(lines.as_slice()).iter().map(promise).collect(),
                    order_ref: asked.cause.order_ref.as_str().to_owned(),
                };
                done.hold = Some(pledge.clone());
                self.holds.insert(id.to_string(), Held { pledge, home: id.home(), ended: None, key });
                Ok(done)
            }
            Action::Commit { hold, lines, keep_open, when_expired } => match self.live(hold.as_str()) {
                Err(Refusal::HoldOver { state: HoldState::Expired, .. })
                    if *when_expired == WhenExpired::Reacquire =>
                {
                    self.reacquire(asked, hold.as_str(), lines)
                }
                Err(refusal) => Err(refusal),
                Ok(()) => self.commit(hold.as_str(), lines, *keep_open, &key),
            },
            Action::Release { hold, lines } => {
                if self.hold(hold.as_str()).is_none() {
                    let (state, order_ref) = (HoldState::Released, String::new());
                    let pledge = Pledge { state, deadline_ms: 0, lines: Vec::new(), order_ref };
                    let ended = Some(self.window());
                    let tombstone = Held { pledge: pledge.clone(), home: hold.home(), ended, key };
                    self.holds.insert(hold.to_string(), tombstone);
                    return Ok(Done { changes: Vec::new(), hold: Some(pledge) });
                }
                self.live(hold.as_str())?;
                self.release(hold.as_str(), lines, &key)
            }
            Action::ExtendHold { hold, ttl } => {
                self.live(hold.as_str())?;
                let deadline_ms = self.now_ms + ttl.ms();
                let pledge = &mut self.holds.get_mut(hold.as_str()).unwrap().pledge;
                pledge.deadline_ms = deadline_ms;
                let pledge = pledge.clone();
                let first = pledge.lines[0].sku.clone();
                let item = self.items[&first].clone();
                self.events.push((
                    EventKind::Extended,
                    first,
                    0,
                    0,
                    item.on_hand,
                    item.held,
                    item.version,
                    key,
                ));
                Ok(Done { changes: Vec::new(), hold: Some(pledge) })
            }
            Action::AdjustStock { sku, delta, expected_version } => {
                self.object_to(&[(sku, *expected_version)])?;
                let on_hand = self.items[sku].on_hand;
                if *delta < 0 && on_hand + delta < 0 {
                    let short = Shortage { sku: sku.clone(), requested: -delta, available: on_hand };
                    return Err(Refusal::Insufficient(vec![short]));
                }
                let change = self.change(EventKind::Adjusted, sku, *delta, 0, *delta, &key);
                Ok(Done { changes: vec![change], hold: None })
            }
            Action::SetStock { sku, quantity, condition, on_hand_then, .. } => {
                let item = self.items.get(sku).cloned().unwrap_or_default();
                if let SetCondition::Version(expected) = *condition
                    && expected != item.version
                {
                    let differs = Versions { sku: sku.clone(), expected, current: item.version };
                    return Err(Refusal::VersionMismatch(vec![differs]));
                }
                let delta = quantity - on_hand_then.unwrap_or(item.on_hand);
                let change = if delta == 0 && item.version > 0 {
                    (sku.clone(), 0, item.on_hand, item.held, item.version)
                } else {
                    self.change(EventKind::Set, sku, delta, 0, delta, &key)
                };
                Ok(Done { changes: vec![change], hold: None })
            }
        }
    }

    fn object(&self, lines: &[Line]) -> Result<(), Refusal> {
        self.object_to(&lines.iter().map(|line| (&line.sku, line.expected_version)).collect::<Vec<_>>())
    }

    fn object_to(&self, lines: &[(&Sku, Option<i64>)]) -> Result<(), Refusal> {
        let unknown: Vec<Sku> = lines
            .iter()
            .filter(|(sku, _)| !self.items.contains_key(sku))
            .map(|(sku, _)| (*sku).clone())
            .collect();
        if !unknown.is_empty() {
            return Err(Refusal::UnknownSku(unknown));
        }
        let differs: Vec<Versions> = lines
            .iter()
            .filter_map(|(sku, expected)| Some((sku, (*expected)?, self.items[*sku].version)))
            .filter(|(_, expected, current)| expected != current)
            .map(|(sku, expected, current)| Versions { sku: (*sku).clone(), expected, current })
            .collect();
        if differs.is_empty() { Ok(()) } else { Err(Refusal::VersionMismatch(differs)) }
    }

    /// A hold of that name stands in the way of a reserve.
    fn object_to_hold(&self, id: &str) -> Result<(), Refusal> {
        match self.hold(id) {
            None => Ok(()),
            Some(there) if there.state == HoldState::Held && there.deadline_ms > self.now_ms => {
                Err(Refusal::Conflict { field: "hold_id" })
            }
            Some(there) => {
                let state = match there.state {
                    HoldState::Held => HoldState::Expired,
                    ended => ended,
                };
                Err(Refusal::HoldOver { state, deadline_ms: there.deadline_ms })
            }
        }
    }

    /// Makes sure there is enough; what overdue holds still hold counts, and is taken from them, partition by partition.
    pub(crate) fn take(&mut self, asked: &Mutation, lines: &[(Sku, i64)]) -> Result<(), Refusal> {
        let partitions = self.partitions;
        for partition in partitions.all() {
            if self.short(lines).is_empty() {
                return Ok(());
            }
            self.sweep(partition, usize::MAX);
            // The end of a hold is a mutation: an expected version may be over by it.
            if let Action::Decrement(lines) | Action::Reserve { lines, .. } = &asked.action {
                self.object(lines.as_slice())?;
            }
        }
        let short = self.short(lines);
        if short.is_empty() {
            return Ok(());
        }
        let sells = matches!(asked.action, Action::Decrement(_) | Action::Reserve { .. });
        if sells && asked.cause.channel.is_some() {
            for shortage in &short {
                let item = self.items.get_mut(&shortage.sku).unwrap();
                if item.reported != item.version {
                    item.reported = item.version;
                    let key = asked.cause.key.as_str().to_owned();
                    let (on_hand, held, version) = (item.on_hand, item.held, item.version);
                    let sku = shortage.sku.clone();
                    self.events.push((EventKind::Refused, sku, 0, 0, on_hand, held, version, key));
                }
            }
        }
        Err(Refusal::Insufficient(short))
    }

    fn short(&self, lines: &[(Sku, i64)]) -> Vec<Shortage> {
        let shortage = |(sku, requested): &(Sku, i64)| {
            let available = self.items[sku].on_hand - self.items[sku].held;
            Shortage { sku: sku.clone(), requested: *requested, available }
        };
        lines.iter().map(shortage).filter(|line| line.requested > line.available).collect()
    }

    fn move_all(&mut self, lines: &[Line], kind: EventKind, signs: (i64, i64), key: &str) -> Done {
        let mut changes = Vec::new();
        for (sku, units) in wanted(lines) {
            changes.push(self.change(kind, &sku, signs.0 * units, signs.1 * units, units, key));
        }
        Done { changes, hold: None }
    }
}

fn wanted(lines: &[Line]) -> Vec<(Sku, i64)> {
    lines.iter().map(|line| (line.sku.clone(), line.quantity.units())).collect()
}

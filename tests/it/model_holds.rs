//! What the model says of holds: one end each, and what part of them is sold or goes back.

use stockgate::domain::{EventKind, HoldState, Mutation, Refusal, Shortage, Sku, SkuQuantity};

use crate::model::{Done, Model, Pledge, Promise};

impl Model {
    /// Whether a hold can still be acted on; one whose time is over ends here.
    pub(crate) fn live(&mut self, id: &str) -> Result<(), Refusal> {
        let Some(pledge) = self.hold(id) else { return Err(Refusal::UnknownHold) };
        if pledge.state == HoldState::Held && pledge.deadline_ms <= self.now_ms {
            self.expire(id);
        }
        let pledge = &self.holds[id].pledge;
        match pledge.state {
            HoldState::Held => Ok(()),
            state => Err(Refusal::HoldOver { state, deadline_ms: pledge.deadline_ms }),
        }
    }

    /// Units per line that a request on a hold means, in the hold's order.
    fn choose(&self, id: &str, asked: &[SkuQuantity]) -> Result<Vec<i64>, Refusal> {
        let lines = &self.holds[id].pledge.lines;
        let held = |sku: &Sku| lines.iter().find(|line| line.sku == *sku).map_or(0, |line| line.held);
        let too_much: Vec<Shortage> = asked
            .iter()
            .filter(|line| line.quantity.units() > held(&line.sku))
            .map(|line| Shortage {
                sku: line.sku.clone(),
                requested: line.quantity.units(),
                available: held(&line.sku),
            })
            .collect();
        if !too_much.is_empty() {
            return Err(Refusal::ExceedsHold(too_much));
        }
        let named = |line: &Promise| {
            asked.iter().find(|one| one.sku == line.sku).map_or(0, |one| one.quantity.units())
        };
        Ok(lines.iter().map(|line| if asked.is_empty() { line.held } else { named(line) }).collect())
    }

    pub(crate) fn commit(
        &mut self,
        id: &str,
        asked: &[SkuQuantity],
        keep_open: bool,
        key: &str,
    ) -> Result<Done, Refusal> {
        let chosen = self.choose(id, asked)?;
        let mut changes = Vec::new();
        for (index, sold) in chosen.into_iter().enumerate() {
            let line = &mut self.holds.get_mut(id).unwrap().pledge.lines[index];
            let back = if keep_open { 0 } else { line.held - sold };
            line.committed += sold;
            line.held -= sold + back;
            let sku = line.sku.clone();
            if sold + back > 0 {
                let kind = if sold > 0 { EventKind::Committed } else { EventKind::Released };
                changes.push(self.change(kind, &sku, -sold, -sold - back, sold, key));
            }
        }
        Ok(Done { changes, hold: Some(self.close(id, HoldState::Committed)) })
    }

    pub(crate) fn release(&mut self, id: &str, asked: &[SkuQuantity], key: &str) -> Result<Done, Refusal> {
        let chosen = self.choose(id, asked)?;
        let mut changes = Vec::new();
        for (index, back) in chosen.into_iter().enumerate() {
            let line = &mut self.holds.get_mut(id).unwrap().pledge.lines[index];
            line.held -= back;
            let sku = line.sku.clone();
            if back > 0 {
                changes.push(self.change(EventKind::Released, &sku, 0, -back, back, key));
            }
        }
        let sold: i64 = self.holds[id].pledge.lines.iter().map(|line| line.committed).sum();
        let end = if sold > 0 { HoldState::Committed } else { HoldState::Released };
        Ok(Done { changes, hold: Some(self.close(id, end)) })
    }

    /// A hold that promises nothing more has ended.
    fn close(&mut self, id: &str, end: HoldState) -> Pledge {
        let window = self.window();
        let held = self.holds.get_mut(id).unwrap();
        if held.pledge.lines.iter().all(|line| line.held == 0) {
            held.pledge.state = end;
            held.ended = Some(window);
        }
        held.pledge.clone()
    }

    pub(crate) fn reacquire(
        &mut self,
        asked: &Mutation,
        id: &str,
        lines: &[SkuQuantity],
    ) -> Result<Done, Refusal> {
        let chosen = self.choose(id, lines)?;
        let skus = self.holds[id].pledge.lines.iter().map(|line| line.sku.clone());
        let wanted: Vec<(Sku, i64)> = skus.zip(chosen).filter(|(_, units)| *units > 0).collect();
        self.take(asked, &wanted)?;
        let mut changes = Vec::new();
        for (sku, units) in &wanted {
            changes.push(self.change(EventKind::Committed, sku, -units, 0, *units, asked.cause.key.as_str()));
        }
        for line in &mut self.holds.get_mut(id).unwrap().pledge.lines {
            line.committed += wanted.iter().find(|(sku, _)| *sku == line.sku).map_or(0, |(_, units)| *units);
            line.held = 0;
        }
        Ok(Done { changes, hold: Some(self.close(id, HoldState::Committed)) })
    }
}

//! Making a cart, or taking again what expired of one: every partition prepares its part, then home decides.

use std::collections::HashMap;

use crate::{
    domain::{Action, Lines, Partition, Sku},
    store::{StoreError, encode},
};

use super::{
    ATTEMPTS_MAX, Cart,
    answers::{self, Peeked, Prepared},
    child::ChildId,
    contested, merge,
    packing::Part,
};

impl Cart {
    /// Makes it; the answer of home.
    pub(super) async fn make(&mut self, lines: &Lines) -> Result<String, StoreError> {
        let part = |line: &crate::domain::Line| Part {
            sku: line.sku.clone(),
            units: line.quantity.units(),
            expected_version: line.expected_version,
            reserved: line.quantity.units(),
            sold_before: 0,
        };
        let parts: Vec<Part> = lines.as_slice().iter().map(part).collect();
        let here = self.at(self.home(), &parts);
        for _ in 0..ATTEMPTS_MAX {
            let text = self.step(self.peek_home(&here)).await?;
            let decided = match answers::peeked(text)? {
                Peeked::Answered(text) => Some(text),
                Peeked::Objects(refusal) => Some(self.object(refusal, &parts).await?),
                Peeked::Clear { attempt } => self.attempt(attempt, &parts).await?,
            };
            if let Some(text) = decided {
                return Ok(text);
            }
        }
        Err(contested())
    }

    /// Prepares everywhere and decides; None when the attempt was given up meanwhile.
    pub(super) async fn attempt(
        &mut self,
        attempt: i64,
        parts: &[Part],
    ) -> Result<Option<String>, StoreError> {
        let away = self.away(parts);
        let mut touched: Vec<Partition> = away.iter().map(|(partition, _)| *partition).collect();
        let decided = self.prepare_and_decide(attempt, parts, &away, &mut touched).await;
        let child = ChildId { attempt, hold: self.hold.clone() };
        match &decided {
            Ok(Some(text)) if text.starts_with("ok ") => self.attempt = Some(attempt),
            // Another gateway was first, with this attempt or another one: children nobody needs are asked about when their
            // time is over.
            Ok(Some(text)) if text.starts_with("replayed ok ") => {}
            // Not decided, or decided against: home says so, and what was taken goes back.
            Ok(_) => {
                if let Err(fault) = self.store.follow_home(&child, &touched, self.durability).await {
                    tracing::debug!(%child, %fault, "a cart's units go back when their time is over");
                }
            }
            Err(_) => {
                let (store, durability) = (self.store.clone(), self.durability);
                self.store.inner.carts.tasks.spawn(async move {
                    // Whoever meets the children when their time is over does the same.
                    let _ = store.follow_home(&child, &touched, durability).await;
                });
            }
        }
        decided
    }

    async fn prepare_and_decide(
        &mut self,
        attempt: i64,
        parts: &[Part],
        away: &[(Partition, Vec<Part>)],
        touched: &mut Vec<Partition>,
    ) -> Result<Option<String>, StoreError> {
        let ttl_ms = self.prepared_ms();
        let steps = away.iter().map(|(partition, parts)| self.prepare(*partition, parts, attempt, ttl_ms));
        let texts = self.steps(steps.collect()).await?;
        touched.clear();
        let (mut told, mut refusals, mut is_contested) = (HashMap::new(), Vec::new(), false);
        for ((partition, parts), text) in away.iter().zip(texts) {
            match answers::prepared(text)? {
                Prepared::Done(lines) => {
                    touched.push(*partition);
                    told.extend(parts.iter().map(|part| part.sku.clone()).zip(lines));
                }
                Prepared::Contested => {
                    touched.push(*partition);
                    is_contested = true;
                }
                Prepared::Refused(refusal) => refusals.push(refusal),
            }
        }
        if !refusals.is_empty() {
            let refusal = merge::refusals(&refusals, parts);
            return self.step(self.refuse(&refusal)).await.map(Some);
        }
        if is_contested {
            return Ok(None);
        }
        let text = self.step(self.deciding(attempt, parts, &told)).await?;
        Ok((text != "lapsed" && !text.starts_with("retake ")).then_some(text))
    }

    /// What home is asked once all others have prepared their part: to make the cart, or to commit what has expired.
    fn deciding(&self, attempt: i64, parts: &[Part], told: &HashMap<Sku, String>) -> encode::Operation {
        match &self.asked.action {
            Action::Reserve { ttl, .. } => {
                let told_of = |part: &Part| told.get(&part.sku).map_or("", String::as_str);
                let lines = parts.iter().map(|part| (part, told_of(part)));
                self.decide(lines, attempt, ttl.ms())
            }
            // Sold at once: what the others tell now is not yet what they come to.
            Action::Decrement(_) | Action::Restock(_) => {
                self.decide(parts.iter().map(|part| (part, "")), attempt, 0)
            }
            Action::Commit { .. }
            | Action::Release { .. }
            | Action::ExtendHold { .. }
            | Action::AdjustStock { .. }
            | Action::SetStock { .. } => encode::on_cart(&self.asked, self.store.partitions(), Some(attempt)),
        }
    }

    /// How long the others hold their parts while nothing is decided.
    fn prepared_ms(&self) -> i64 {
        let cart_ttl = self.store.inner.settings.cart_ttl.as_millis();
        let cart_ms =
            i64::try_from(cart_ttl).unwrap_or(i64::MAX).clamp(1, (self.store.retention_ms() / 4).max(1));
        match &self.asked.action {
            // No longer than the hold itself: it would refuse a sale when it is over.
            Action::Reserve { ttl, .. } => cart_ms.min(ttl.ms()),
            _ => cart_ms,
        }
    }

    /// Home objects: the refusal names what the others object to as well, and is the caller's answer.
    pub(super) async fn object(&mut self, refusal: String, parts: &[Part]) -> Result<String, StoreError> {
        let mut refusals = vec![refusal];
        if merge::concerns_lines(&refusals[0]) {
            let steps = self.away(parts).into_iter().map(|(partition, parts)| self.peek(partition, &parts));
            for text in self.steps(steps.collect()).await? {
                match answers::peeked(text)? {
                    Peeked::Clear { .. } => {}
                    Peeked::Objects(refusal) => refusals.push(refusal),
                    Peeked::Answered(text) => return Ok(text),
                }
            }
        }
        let refusal = merge::refusals(&refusals, parts);
        self.step(self.refuse(&refusal)).await
    }

    /// The parts of one partition.
    pub(super) fn at(&self, partition: Partition, parts: &[Part]) -> Vec<Part> {
        parts.iter().filter(|part| self.partition_of(&part.sku) == partition).cloned().collect()
    }

    /// The parts of every partition but home.
    fn away(&self, parts: &[Part]) -> Vec<(Partition, Vec<Part>)> {
        let mut partitions: Vec<Partition> = parts.iter().map(|part| self.partition_of(&part.sku)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions.retain(|partition| *partition != self.home());
        partitions.into_iter().map(|partition| (partition, self.at(partition, parts))).collect()
    }
}

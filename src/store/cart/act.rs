//! Commit, Release and ExtendHold of a cart: home first, the others follow (`finish`). A commit that finds it expired takes it
//! again everywhere.

use crate::{
    domain::Action,
    store::{StoreError, encode},
};

use super::{
    ATTEMPTS_MAX, Cart,
    answers::{self, Peeked, Told},
    contested,
    packing::Part,
};

impl Cart {
    /// Acts on it; the answer of home.
    pub(super) async fn act(&mut self) -> Result<String, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let partitions = self.store.partitions();
            let text = self.step(encode::on_cart(&self.asked, partitions, None)).await?;
            let Some((attempt, told)) = answers::retake(&text, partitions)? else { return Ok(text) };
            if let Some(text) = self.retake(attempt, &told).await? {
                return Ok(text);
            }
        }
        Err(contested())
    }

    async fn retake(&mut self, attempt: i64, told: &Told) -> Result<Option<String>, StoreError> {
        // What the old attempt sold must be written down everywhere before a new one stands in its place at home.
        self.align_all(told, None).await?;
        let parts = self.parts_of(told);
        let here = self.at(self.home(), &parts);
        match answers::peeked(self.step(self.peek(self.home(), &here)).await?)? {
            Peeked::Clear { .. } => self.attempt(attempt, &parts).await,
            Peeked::Objects(refusal) => self.object(refusal, &parts).await.map(Some),
            Peeked::Answered(text) => Ok(Some(text)),
        }
    }

    /// What of an expired hold is asked for.
    fn parts_of(&self, told: &Told) -> Vec<Part> {
        let named = match &self.asked.action {
            Action::Commit { lines, .. } => lines.as_slice(),
            _ => &[],
        };
        let units_of = |line: &answers::ToldLine| match named {
            [] => line.back,
            some => some.iter().find(|one| one.sku == line.sku).map_or(0, |one| one.quantity.units()),
        };
        let part = |line: &answers::ToldLine| Part {
            sku: line.sku.clone(),
            units: units_of(line),
            expected_version: None,
            reserved: line.reserved,
            sold_before: line.committed,
        };
        told.lines.iter().map(part).filter(|part| part.units > 0).collect()
    }
}

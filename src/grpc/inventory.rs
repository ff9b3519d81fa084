//! InventoryService: keeps the counts right.

use futures_util::{StreamExt as _, TryStreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    domain::{Action, EventId, Refusal, Sku},
    proto::{self, inventory_service_server::InventoryService},
    store::{EntryId, EventScope, FindingKind, Store, StoredLevel, VerifyReport},
};

use super::{
    convert::{self, IMPORT_ROWS_MAX, Problem},
    decide::{Decider, caller, with_deadline},
    token::{Purpose, open_events, open_walk, seal_events, seal_walk},
};

/// Rows of one import decided at the same time; they meet in the same scripts.
const IMPORT_ROWS_AHEAD: usize = 128;
/// Findings one answer lists.
const FINDINGS_MAX: usize = 1000;
/// How far an entry's id may be from the time of its events: no script runs that long.
const ENTRY_TIME_SLACK_MS: i64 = 5_000;
/// Pages read backwards for the count of a SKU at an event of another SKU; 500 entries each and more.
const AS_OF_PAGES_MAX: usize = 20;

/// The service.
pub(super) struct InventoryServer {
    pub(super) decider: Decider,
}

#[tonic::async_trait]
impl InventoryService for InventoryServer {
    async fn set_stock(
        &self,
        request: Request<proto::SetStockRequest>,
    ) -> Result<Response<proto::SetStockResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let (mut mutation, as_of) = convert::set_stock(message, caller())?;
        if let Some(as_of) = as_of {
            let then = on_hand_at(&self.decider.store, mutation.home(), as_of).await?;
            if let Action::SetStock { on_hand_then, .. } = &mut mutation.action {
                *on_hand_then = Some(then);
            }
        }
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::set_stock_response(answer)?))
    }

    async fn adjust_stock(
        &self,
        request: Request<proto::AdjustStockRequest>,
    ) -> Result<Response<proto::AdjustStockResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let mutation = convert::adjust_stock(message, caller())?;
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::adjust_stock_response(answer)?))
    }

    async fn import_stock(
        &self,
        request: Request<Streaming<proto::ImportStockRequest>>,
    ) -> Result<Response<proto::ImportStockResponse>, Status> {
        let (rows, deadline) = with_deadline(request);
        let numbered = rows.enumerate().map(|(number, row)| match row {
            Ok(_) if number >= IMPORT_ROWS_MAX => Err(Status::from(Problem::invalid(
                "rows",
                format!(
                    "must be at most {IMPORT_ROWS_MAX}: those were carried out; send the rest in another call, \
                     repeated rows answer again"
                ),
            ))),
            row => row,
        });
        let row_of = |row: Result<proto::ImportStockRequest, Status>| async move {
            let row = row?;
            let sku = row.sku.clone();
            let outcome = match convert::import_row(row, caller()) {
                Ok(mutation) => self.decider.decide(&mutation, deadline).await,
                Err(problem) => Err(problem),
            };
            Ok::<_, Status>(convert::import_result(sku, outcome))
        };
        // In order, errors too: what came before a row too many, or before a broken call, is carried out first.
        let decided = numbered.map(row_of).buffered(IMPORT_ROWS_AHEAD);
        let results: Vec<proto::ImportStockResult> = decided.try_collect().await?;
        Ok(Response::new(proto::ImportStockResponse { results }))
    }

    async fn list_stock(
        &self,
        request: Request<proto::ListStockRequest>,
    ) -> Result<Response<proto::ListStockResponse>, Status> {
        let page_size = convert::list_stock_page_size(request.get_ref())?;
        let from = open_walk("page_token", &request.get_ref().page_token)?;
        let (page, next) = self.decider.store.walk_levels(from, page_size).await.map_err(Problem::from)?;
        let known = page.into_iter().filter_map(|(sku, level)| match (Sku::parse(&sku), level) {
            (Ok(sku), StoredLevel::Known { level, .. }) => Some(convert::stock(&sku, &level)),
            // One broken record must not hide all others; VerifyStock lists it.
            _ => None,
        });
        let next_page_token = next.map(seal_walk).unwrap_or_default();
        Ok(Response::new(proto::ListStockResponse { stocks: known.collect(), next_page_token }))
    }

    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Result<Response<proto::ListEventsResponse>, Status> {
        let query = convert::list_events(request.into_inner())?;
        let purpose = if query.newest_first { Purpose::NewestFirst } else { Purpose::OldestFirst };
        let position = open_events("page_token", purpose, &query.page_token)?;
        let (start_ms, end_ms) = (query.start_ms.unwrap_or(i64::MIN), query.end_ms.unwrap_or(i64::MAX));
        // Entries around the span are read too, since their ids are not their events' times to the ms.
        let ms = |moment: i64| u64::try_from(moment).unwrap_or(0);
        let scope = EventScope {
            sku: query.sku,
            first: EntryId { ms: ms(start_ms.saturating_sub(ENTRY_TIME_SLACK_MS)), seq: 0 },
            last: match query.end_ms {
                Some(end) => EntryId { ms: ms(end.saturating_add(ENTRY_TIME_SLACK_MS)), seq: 0 },
                None => EntryId::END,
            },
            at_ms: start_ms..end_ms,
            newest_first: query.newest_first,
        };
        let page = self.decider.store.event_page(&scope, &position, query.page_size).await;
        let page = page.map_err(Problem::from)?;
        Ok(Response::new(proto::ListEventsResponse {
            events: page.events.into_iter().map(convert::event).collect(),
            next_page_token: page.next.map(|next| seal_events(purpose, &next)).unwrap_or_default(),
        }))
    }

    async fn verify_stock(
        &self,
        request: Request<proto::VerifyStockRequest>,
    ) -> Result<Response<proto::VerifyStockResponse>, Status> {
        let skus = convert::verify_stock(request.get_ref())?;
        let report =
            self.decider.store.verify(&skus, request.get_ref().repair).await.map_err(Problem::from)?;
        if !report.unknown.is_empty() {
            return Err(Problem::refused(&Refusal::UnknownSku(report.unknown), false).into());
        }
        Ok(Response::new(verify_response(report)))
    }
}

fn verify_response(mut report: VerifyReport) -> proto::VerifyStockResponse {
    let finding_count = i64::try_from(report.findings.len()).unwrap_or(i64::MAX);
    // What is cut off must not be what is still wrong.
    report.findings.sort_by_key(|found| match found.kind {
        FindingKind::Busy => 0,
        FindingKind::Mismatch => 1,
        FindingKind::Broken => 2,
        FindingKind::Repaired => 3,
    });
    let findings = report.findings.into_iter().take(FINDINGS_MAX).map(|found| {
        let outcome = match found.kind {
            FindingKind::Mismatch => proto::VerifyOutcome::Mismatch,
            FindingKind::Broken => proto::VerifyOutcome::Broken,
            FindingKind::Repaired => proto::VerifyOutcome::Repaired,
            FindingKind::Busy => proto::VerifyOutcome::Busy,
        };
        proto::VerifyFinding {
            sku: found.sku.to_string(),
            outcome: outcome.into(),
            on_hand_stored: found.on_hand_stored,
            on_hand_computed: found.on_hand_computed,
            held_stored: found.held_stored,
            held_computed: found.held_computed,
        }
    });
    proto::VerifyStockResponse {
        findings: findings.collect(),
        verified_count: i64::try_from(report.verified).unwrap_or(i64::MAX),
        event_count: i64::try_from(report.events).unwrap_or(i64::MAX),
        unreadable: report.unreadable.iter().take(FINDINGS_MAX).map(ToString::to_string).collect(),
        finding_count,
    }
}

/// The on hand of a SKU right after an event: of that event, when it is the SKU's, else of the SKU's last one before it.
async fn on_hand_at(store: &Store, sku: &Sku, as_of: EventId) -> Result<i64, Problem> {
    let invalid = |description: &str| Problem::invalid("as_of_event", description);
    let Some(event) = store.event(as_of).await? else {
        return Err(invalid("is no event here: give an event_id that ListEvents shows"));
    };
    if event.sku == *sku {
        return Ok(event.on_hand);
    }
    if store.partitions().of(sku) != as_of.partition {
        return Err(invalid("is an event of another partition: give an event of this sku"));
    }
    let scope = EventScope {
        sku: Some(sku.clone()),
        first: EntryId::default(),
        last: EntryId { ms: as_of.entry_ms, seq: as_of.entry_seq },
        at_ms: i64::MIN..i64::MAX,
        newest_first: true,
    };
    let mut position = vec![as_of];
    for _ in 0..AS_OF_PAGES_MAX {
        let page = store.event_page(&scope, &position, 1).await?;
        if let Some(event) = page.events.first() {
            return Ok(event.on_hand);
        }
        match page.next {
            Some(next) => position = next,
            // The SKU did not exist then.
            None => return Ok(0),
        }
    }
    Err(invalid("is too far behind this sku's last change: give an event of this sku"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Finding;

    #[test]
    fn what_is_still_wrong_is_never_cut_off() {
        let finding = |kind| Finding {
            sku: Sku::parse("A").expect("legal"),
            kind,
            on_hand_stored: 0,
            on_hand_computed: 0,
            held_stored: 0,
            held_computed: 0,
        };
        let mut findings = vec![finding(FindingKind::Repaired); FINDINGS_MAX];
        findings.extend([FindingKind::Broken, FindingKind::Mismatch, FindingKind::Busy].map(finding));
        let response = verify_response(VerifyReport { findings, ..VerifyReport::default() });
        let outcomes: Vec<_> = response.findings[..4].iter().map(proto::VerifyFinding::outcome).collect();
        use proto::VerifyOutcome::{Broken, Busy, Mismatch, Repaired};
        assert_eq!(outcomes, [Busy, Mismatch, Broken, Repaired]);
        assert_eq!((response.findings.len(), response.finding_count), (1_000, 1_003));
    }
}

//! The ceiling of SelectCarrier: answers at once, with an answer as long as a real one.

use stockgate::proto::{
    JudgedQuote, ListCarrierEventsRequest, ListCarrierEventsResponse, ListCarriersRequest,
    ListCarriersResponse, Money, Quote, QuoteVerdict, RecordDeliveryRequest, RecordDeliveryResponse,
    SelectCarrierRequest, SelectCarrierResponse, SourceOutcome, SourceReport,
    carrier_service_server::CarrierService,
};
use tonic::{Request, Response, Status};

use super::at_once::AtOnce;
use crate::plan::QUOTES;

#[tonic::async_trait]
impl CarrierService for AtOnce {
    async fn select_carrier(
        &self,
        request: Request<SelectCarrierRequest>,
    ) -> Result<Response<SelectCarrierResponse>, Status> {
        let arrival_date = request.into_inner().promised_date;
        let source = SourceReport {
            source: "table".to_owned(),
            outcome: SourceOutcome::Answered.into(),
            quote_count: i64::try_from(QUOTES).unwrap_or_default(),
            latency: Some(prost_types::Duration { seconds: 0, nanos: 20_000 }),
            ..SourceReport::default()
        };
        Ok(Response::new(SelectCarrierResponse {
            chosen: Some(judged(&arrival_date, QuoteVerdict::Chosen, "lowest: 8.00 EUR")),
            others: vec![judged(&arrival_date, QuoteVerdict::Behind, "more: 8.00 EUR"); QUOTES - 1],
            sources: vec![source],
            lane: "DE-101:DE-803".to_owned(),
            event_id: "1700000000000-0".to_owned(),
            ..SelectCarrierResponse::default()
        }))
    }

    async fn record_delivery(
        &self,
        _: Request<RecordDeliveryRequest>,
    ) -> Result<Response<RecordDeliveryResponse>, Status> {
        Err(nothing_is_kept())
    }

    async fn list_carriers(
        &self,
        _: Request<ListCarriersRequest>,
    ) -> Result<Response<ListCarriersResponse>, Status> {
        Err(nothing_is_kept())
    }

    async fn list_carrier_events(
        &self,
        _: Request<ListCarrierEventsRequest>,
    ) -> Result<Response<ListCarrierEventsResponse>, Status> {
        Err(nothing_is_kept())
    }
}

fn judged(arrival_date: &str, verdict: QuoteVerdict, reason: &str) -> JudgedQuote {
    let quote = Quote {
        source: "table".to_owned(),
        carrier: "dhl".to_owned(),
        service: "parcel".to_owned(),
        price: Some(Money { amount_minor: 720, currency: "EUR".to_owned() }),
        arrival_date: arrival_date.to_owned(),
        reliability_ppm: 900_000,
        score_minor: 800,
        ..Quote::default()
    };
    JudgedQuote { quote: Some(quote), verdict: verdict.into(), reason: reason.to_owned() }
}

fn nothing_is_kept() -> Status {
    Status::unimplemented("who answers at once keeps nothing")
}

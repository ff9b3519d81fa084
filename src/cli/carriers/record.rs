//! `stockgate carriers record`: what became of a parcel.

use std::str::FromStr;

use clap::Args;
use jiff::civil::Date;
use serde::Serialize;

use super::{
    super::{
        Verdict,
        failure::CliError,
        gateway::Gateway,
        key::KeyArgs,
        note::OrderArgs,
        output::{Output, table},
    },
    day,
    performance::PerformanceRow,
    words::FailureArg,
};
use crate::{
    domain::carrier::{CarrierName, Lane, ServiceName},
    proto::{DeliveryFailure, RecordDeliveryRequest},
};

/// Says what became of a parcel.
#[derive(Debug, Args)]
pub(in crate::cli) struct Record {
    /// Who carried it
    #[arg(value_name = "CARRIER/SERVICE")]
    service: ServiceArg,
    /// The lane, as the quote told it: DE-101:US-941
    #[arg(value_parser = parse_lane)]
    lane: Lane,
    /// When it was handed over: 2026-11-21
    #[arg(long, value_name = "DATE", value_parser = day::parse)]
    shipped: Date,
    /// When it was promised to arrive
    #[arg(long, value_name = "DATE", value_parser = day::parse)]
    promised: Date,
    /// When it arrived
    #[arg(long, value_name = "DATE", value_parser = day::parse, required_unless_present = "failed", conflicts_with = "failed")]
    delivered: Option<Date>,
    /// It never arrived, and why
    #[arg(long, value_enum, value_name = "WHY")]
    failed: Option<FailureArg>,
    // The tracking number is a good key: whoever records the parcel again knows it.
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    order: OrderArgs,
    /// Who says so, recorded in the event
    #[arg(long, default_value = "", hide_default_value = true)]
    actor: String,
}

/// A carrier and its service from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServiceArg {
    carrier: CarrierName,
    service: ServiceName,
}

impl FromStr for ServiceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((carrier, service)) = text.split_once('/') else {
            return Err(format!("{text:?} is no service: write it like dhl/parcel"));
        };
        Ok(Self {
            carrier: CarrierName::parse(carrier).map_err(|problem| format!("carrier {problem}"))?,
            service: ServiceName::parse(service).map_err(|problem| format!("service {problem}"))?,
        })
    }
}

fn parse_lane(text: &str) -> Result<Lane, String> {
    Lane::parse(text).map_err(|problem| problem.to_string())
}

#[derive(Debug, Serialize)]
struct Recorded {
    idempotency_key: String,
    event_id: String,
    replayed: bool,
    performance: PerformanceRow,
}

impl Recorded {
    fn text(&self) -> String {
        let Self { idempotency_key, event_id, replayed, performance } = self;
        let done = if *replayed { "was recorded before: nothing counted" } else { "recorded" };
        format!(
            "{}\n\n{done}, key {idempotency_key}, event {event_id}",
            table(std::slice::from_ref(performance))
        )
    }
}

impl Record {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let key = self.key.key();
        let failure = self.failed.map_or(DeliveryFailure::Unspecified, DeliveryFailure::from);
        let request = gateway.request(RecordDeliveryRequest {
            idempotency_key: key.text(),
            carrier: self.service.carrier.to_string(),
            service: self.service.service.to_string(),
            lane: self.lane.to_string(),
            shipped_date: self.shipped.to_string(),
            promised_date: self.promised.to_string(),
            delivered_date: day::to_proto(self.delivered),
            failure: failure.into(),
            order_ref: self.order.order_ref,
            actor: self.actor,
        });
        let answer = gateway
            .carriers()
            .record_delivery(request)
            .await
            .map_err(|status| key.error(status))?
            .into_inner();
        let recorded = Recorded {
            idempotency_key: key.text(),
            event_id: answer.event_id,
            replayed: answer.replayed,
            performance: answer.performance.ok_or(CliError::Incomplete("performance"))?.into(),
        };
        output.text_or_json(&recorded, Recorded::text)?;
        Ok(Verdict::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_two_names() {
        assert!("dhl/parcel".parse::<ServiceArg>().is_ok());
        for bad in ["", "dhl", "dhl/", "/parcel", "DHL/parcel", "dhl/express/12"] {
            assert!(bad.parse::<ServiceArg>().is_err(), "{bad}");
        }
    }
}

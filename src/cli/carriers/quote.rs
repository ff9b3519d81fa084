//! `stockgate carriers quote`: a SelectCarrier for a shipment from the command line.

use clap::Args;
use jiff::civil::Date;

use super::{
    super::{Verdict, failure::CliError, gateway::Gateway, note::OrderArgs, output::Output},
    amount::AmountArg,
    answer::Selected,
    day,
    parcel::ParcelArg,
    place::PlaceArg,
    words::PolicyArg,
};
use crate::proto::{CarrierPolicy, SelectCarrierRequest, WhenLate};

/// Chooses a carrier.
#[derive(Debug, Args)]
pub(in crate::cli) struct Quote {
    /// Where the parcels are: DE:10115, or all that carriers' own prices may need
    #[arg(long, value_name = "COUNTRY[:POSTAL[:STATE[:CITY[:STREET]]]]")]
    from: PlaceArg,
    /// Where they go, in the same form
    #[arg(long, value_name = "COUNTRY[:POSTAL[:STATE[:CITY[:STREET]]]]")]
    to: PlaceArg,
    /// Weight and sides in mm: 1200g:300x200x100, or 1.2kg:300x200x100; once for each parcel
    #[arg(long = "parcel", required = true, value_name = "WEIGHT:LxWxH")]
    parcels: Vec<ParcelArg>,
    /// In which currency prices are wanted [default: that of --value, --cod or --late-penalty]
    #[arg(long, value_name = "CODE", required_unless_present_any = ["value", "cod", "late_penalty"])]
    currency: Option<String>,
    /// What the parcels are worth, for insurance and customs: 49.90EUR
    #[arg(long, value_name = "AMOUNT")]
    value: Option<AmountArg>,
    /// What the carrier must collect at the door
    #[arg(long, value_name = "AMOUNT")]
    cod: Option<AmountArg>,
    /// When they were promised to arrive: 2026-11-24
    #[arg(long, value_name = "DATE", value_parser = day::parse)]
    by: Option<Date>,
    /// Choose none when no quote arrives by that date, instead of the fastest
    #[arg(long, requires = "by")]
    refuse_late: bool,
    /// Only this carrier, or this service of it: dhl, dhl/express; may be given more than once
    #[arg(long = "service", value_name = "CARRIER[/SERVICE]")]
    services: Vec<String>,
    /// Only quotes whose carrier vouches for the date
    #[arg(long)]
    guaranteed: bool,
    /// Whether somebody lives where they go; carriers' own prices may depend on it
    #[arg(long, value_name = "true|false")]
    residential: Option<bool>,
    /// By what to choose [default: as the gateway is set]
    #[arg(long, value_enum)]
    policy: Option<PolicyArg>,
    /// What a late parcel costs the shop, for --policy lateness_penalty
    #[arg(long, value_name = "AMOUNT", required_if_eq("policy", "lateness_penalty"))]
    late_penalty: Option<AmountArg>,
    #[command(flatten)]
    order: OrderArgs,
    /// Who asks, recorded in the event
    #[arg(long, default_value = "", hide_default_value = true)]
    actor: String,
}

impl Quote {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let request = gateway.request(self.into_request());
        let answer = gateway.carriers().select_carrier(request).await?.into_inner();
        Selected::read(answer)?.print(output)?;
        Ok(Verdict::Fine)
    }

    fn into_request(self) -> SelectCarrierRequest {
        let amounts = [&self.value, &self.cod, &self.late_penalty];
        let named = amounts.into_iter().flatten().next().map(|amount| amount.currency().to_owned());
        let policy = self.policy.map_or(CarrierPolicy::Unspecified, CarrierPolicy::from);
        let when_late = if self.refuse_late { WhenLate::Refuse } else { WhenLate::Fastest };
        SelectCarrierRequest {
            origin: Some(self.from.into_address(None)),
            destination: Some(self.to.into_address(self.residential)),
            parcels: self.parcels.into_iter().map(ParcelArg::into_proto).collect(),
            // What does not fit together the gateway refuses, and says where.
            currency: self.currency.or(named).unwrap_or_default(),
            value: self.value.map(AmountArg::into_proto),
            promised_date: day::to_proto(self.by),
            services_allowed: self.services,
            cash_on_delivery: self.cod.map(AmountArg::into_proto),
            guaranteed_only: self.guaranteed,
            policy: policy.into(),
            late_penalty: self.late_penalty.map(AmountArg::into_proto),
            when_late: when_late.into(),
            order_ref: self.order.order_ref,
            actor: self.actor,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::proto::{Money, Parcel};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        quote: Quote,
    }

    fn read(flags: &str) -> Result<SelectCarrierRequest, clap::Error> {
        Line::try_parse_from(["quote"].into_iter().chain(flags.split(' ')))
            .map(|line| line.quote.into_request())
    }

    #[test]
    fn flags_become_the_request() {
        let request = read(
            "--from DE:10115 --to US:94107:CA --residential true --parcel 1200g:300x200x100 --parcel 2kg:10x20x30 \
             --value 49.90EUR --by 2026-11-24 --policy lateness_penalty --late-penalty 10EUR --service dhl/express \
             --service ups --cod 5EUR --guaranteed --refuse-late --order-ref 17 --actor ann",
        )
        .unwrap();
        let destination = request.destination.clone().unwrap();
        assert_eq!((destination.state.as_str(), destination.residential), ("CA", Some(true)));
        let second = Parcel { weight_g: 2_000, length_mm: 10, width_mm: 20, height_mm: 30 };
        assert_eq!((request.parcels.len(), request.parcels[1]), (2, second));
        assert_eq!(request.currency, "EUR", "that of the amounts");
        let money = |amount_minor| Some(Money { amount_minor, currency: "EUR".to_owned() });
        assert_eq!(
            (request.value.clone(), request.cash_on_delivery.clone(), request.late_penalty.clone()),
            (money(4_990), money(500), money(1_000))
        );
        assert_eq!(request.services_allowed, ["dhl/express", "ups"]);
        assert_eq!(request.promised_date, "2026-11-24");
        assert_eq!(
            (request.policy(), request.when_late()),
            (CarrierPolicy::LatenessPenalty, WhenLate::Refuse)
        );
        assert!(request.guaranteed_only && request.order_ref == "17" && request.actor == "ann");
    }

    #[test]
    fn what_is_not_said_is_left_to_the_gateway() {
        let request = read("--from DE --to FR --parcel 1g:1x1x1 --currency CHF").unwrap();
        assert_eq!((request.currency.as_str(), request.promised_date.as_str()), ("CHF", ""));
        assert_eq!((request.policy(), request.when_late()), (CarrierPolicy::Unspecified, WhenLate::Fastest));
        assert_eq!((request.value, request.destination.unwrap().residential), (None, None));
    }
}

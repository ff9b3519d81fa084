//! What servers answered a moment ago, as it lies in Redis; and the name of what was asked.

use jiff::{Timestamp, tz::TimeZone};
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    carriers::{QUOTES_MAX, Quoted, SilentCarrier},
    domain::{
        Text,
        carrier::{CarrierName, Currency, Money, Place, Quote, ServiceName, Shipment, SourceId},
    },
    outbound::ErrorText,
};

use super::CarrierSource;

/// An answer.
#[derive(Clone, PartialEq, Message)]
struct KeptAnswer {
    #[prost(message, repeated, tag = "1")]
    quotes: Vec<KeptQuote>,
    #[prost(message, repeated, tag = "2")]
    silent: Vec<KeptSilence>,
}

#[derive(Clone, PartialEq, Message)]
struct KeptQuote {
    #[prost(string, tag = "1")]
    carrier: String,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(int64, tag = "3")]
    minor: i64,
    #[prost(string, tag = "4")]
    currency: String,
    /// Empty: the carrier does not say.
    #[prost(string, tag = "5")]
    delivers: String,
    #[prost(bool, tag = "6")]
    is_guaranteed: bool,
    #[prost(bool, tag = "7")]
    collects: bool,
}

#[derive(Clone, PartialEq, Message)]
struct KeptSilence {
    #[prost(string, tag = "1")]
    carrier: String,
    #[prost(string, tag = "2")]
    message: String,
}

/// Whether the same answer would come again: nobody behind the source was just too slow.
pub(super) fn is_whole(quoted: &Quoted) -> bool {
    quoted.silent.iter().all(|silent| !silent.is_transient)
}

/// An answer that is whole, as bytes.
pub(super) fn bytes(quoted: &Quoted) -> Vec<u8> {
    let quote = |quote: &Quote| KeptQuote {
        carrier: quote.carrier.to_string(),
        service: quote.service.to_string(),
        minor: quote.price.minor(),
        currency: quote.price.currency().code().to_owned(),
        delivers: quote.delivers.map(|date| date.to_string()).unwrap_or_default(),
        is_guaranteed: quote.is_guaranteed,
        collects: quote.collects,
    };
    let silence = |silent: &SilentCarrier| KeptSilence {
        carrier: silent.carrier.as_str().to_owned(),
        message: silent.message.as_str().to_owned(),
    };
    let (quotes, silent) = (&quoted.quotes, &quoted.silent);
    KeptAnswer { quotes: quotes.iter().map(quote).collect(), silent: silent.iter().map(silence).collect() }
        .encode_to_vec()
}

/// The answer of a source; None when it does not parse: it is asked again then.
pub(super) fn read(source: &SourceId, bytes: &[u8]) -> Option<Quoted> {
    let kept = KeptAnswer::decode(bytes).ok()?;
    let quote = |kept: KeptQuote| {
        let currency = Currency::parse(&kept.currency).ok()?;
        Some(Quote {
            source: source.clone(),
            carrier: CarrierName::parse(&kept.carrier).ok()?,
            service: ServiceName::parse(&kept.service).ok()?,
            price: Money::new(kept.minor, currency).ok()?,
            delivers: if kept.delivers.is_empty() { None } else { Some(kept.delivers.parse().ok()?) },
            is_guaranteed: kept.is_guaranteed,
            collects: kept.collects,
            // The one it had belongs to the order that was asked for.
            reference: Text::default(),
        })
    };
    let silence = |kept: KeptSilence| SilentCarrier {
        carrier: ErrorText::new(&kept.carrier),
        is_transient: false,
        message: ErrorText::new(&kept.message),
    };
    let quotes = kept.quotes.into_iter().take(QUOTES_MAX).map(quote).collect::<Option<_>>()?;
    Some(Quoted { quotes, silent: kept.silent.into_iter().map(silence).collect() })
}

/// Names a shipment on a day, asked of these sources with their settings: the same name, the same answer.
pub(super) fn name_of(shipment: &Shipment, now: Timestamp, sources: &[CarrierSource]) -> u128 {
    let mut text = Vec::with_capacity(256);
    let mut add = |field: &str| {
        // Each field by its length, so that no two lists of fields are one text.
        text.extend_from_slice(&field.len().to_le_bytes());
        text.extend_from_slice(field.as_bytes());
    };
    for Place { country, postal_code, state, city, street, is_residential } in
        [&shipment.origin, &shipment.destination]
    {
        let fields = [country.code(), postal_code.as_str(), state.as_str(), city.as_str(), street.as_str()];
        fields.into_iter().for_each(&mut add);
        add(match is_residential {
            None => "",
            Some(true) => "home",
            Some(false) => "no home",
        });
    }
    add(shipment.currency.code());
    for money in [shipment.value, shipment.collect] {
        add(&money.map(|money| money.minor().to_string()).unwrap_or_default());
    }
    add(&TimeZone::UTC.to_datetime(now).date().to_string());
    for parcel in shipment.parcels.as_slice() {
        let [length, width, height] = parcel.sides_mm();
        add(&format!("{} {length} {width} {height}", parcel.weight_g()));
    }
    for source in sources {
        add(source.id.as_str());
        add(&source.live().map(|live| live.settings_print.to_string()).unwrap_or_default());
    }
    xxh3_128(&text)
}

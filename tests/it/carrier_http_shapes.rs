//! The three vendors' shapes: servers that refuse a question with a wrong name, unit or type, and what their answers become.

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri, header::CONTENT_TYPE},
};
use serde_json::{Value, json};
use stockgate::carriers::{Carrier, EasyPost, QuoteFault, Quoted, ShipEngine, Shippo};

use crate::carrier_http::{KEY, ask, euros, serve, settings, shipment};

/// An answer, or a refusal.
type Reply = (StatusCode, [(axum::http::HeaderName, &'static str); 1], String);

fn reply(status: u16, body: &Value) -> Reply {
    (StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, "application/json")], body.to_string())
}

fn refuse(status: u16, what: &str) -> Reply {
    reply(status, &json!({"error": {"code": "INVALID", "message": what}}))
}

/// 422 with the name of the field unless it is so.
fn demand(is_right: bool, field: &str) -> Result<(), Reply> {
    if is_right { Ok(()) } else { Err(refuse(422, field)) }
}

/// Names that are not the vendor's are refused, as are those that must be there and are not.
fn demand_names(value: &Value, required: &[&str], optional: &[&str]) -> Result<(), Reply> {
    let fields = value.as_object().ok_or_else(|| refuse(422, "no object"))?;
    for name in required {
        demand(fields.contains_key(*name), name)?;
    }
    for (name, field) in fields {
        demand(required.contains(&name.as_str()) || optional.contains(&name.as_str()), name)?;
        demand(!field.is_null() && field != "", name)?;
    }
    Ok(())
}

/// A server that answers with the body when the question passes the check of its vendor.
async fn vendor(
    check: fn(&str, &HeaderMap, &Value) -> Result<(), Reply>,
    status: u16,
    body: Value,
) -> String {
    let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, question: Bytes| {
        let answer = match serde_json::from_slice(&question) {
            Ok(question) if text(&headers, "content-type") == Some("application/json") => {
                check(uri.path(), &headers, &question).map(|()| reply(status, &body))
            }
            _ => Err(refuse(415, "no JSON")),
        };
        async move { answer }
    });
    serve(app).await
}

fn demand_call(is_path: bool, header: Option<&str>, expected: &str) -> Result<(), Reply> {
    if !is_path {
        return Err(refuse(404, "path"));
    }
    if header == Some(expected) { Ok(()) } else { Err(refuse(401, "key")) }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn easypost(path: &str, headers: &HeaderMap, question: &Value) -> Result<(), Reply> {
    // base64 of "hunter2-the-key:", as RFC 7617 has it.
    demand_call(path == "/v2/shipments", text(headers, "authorization"), "Basic aHVudGVyMi10aGUta2V5Og==")?;
    demand_names(question, &["shipment"], &[])?;
    let shipment = &question["shipment"];
    demand_names(shipment, &["from_address", "to_address", "parcel"], &["carrier_accounts"])?;
    for end in ["from_address", "to_address"] {
        demand_names(&shipment[end], &["country"], &["street1", "city", "state", "zip", "residential"])?;
    }
    demand(shipment["carrier_accounts"] == json!(["se-1", "se-2"]), "carrier_accounts")?;
    let parcel = &shipment["parcel"];
    demand_names(parcel, &["length", "width", "height", "weight"], &[])?;
    // 254 x 100 x 55 mm in inches; 500 g and 1,000 g in ounces.
    demand(parcel["length"] == json!(10.0), "length")?;
    demand(parcel["width"] == json!(4.0), "width")?;
    demand(parcel["height"] == json!(2.2), "height")?;
    demand(parcel["weight"] == json!(17.7) || parcel["weight"] == json!(35.3), "weight")
}

fn shippo(path: &str, headers: &HeaderMap, question: &Value) -> Result<(), Reply> {
    demand_call(path == "/shipments", text(headers, "authorization"), &format!("ShippoToken {KEY}"))?;
    let required = ["address_from", "address_to", "parcels", "async"];
    demand_names(question, &required, &["carrier_accounts", "extra"])?;
    for end in ["address_from", "address_to"] {
        let optional = ["street1", "city", "state", "zip", "is_residential"];
        demand_names(&question[end], &["country"], &optional)?;
    }
    demand(question["async"] == json!(false), "async")?;
    demand(question["carrier_accounts"] == json!(["se-1", "se-2"]), "carrier_accounts")?;
    let parcels = question["parcels"].as_array().unwrap();
    for parcel in parcels {
        let sizes = ["length", "width", "height", "weight"];
        demand_names(parcel, &[&sizes[..], &["distance_unit", "mass_unit"]].concat(), &["extra"])?;
        for size in sizes {
            demand(parcel[size].is_string(), size)?;
        }
        demand(parcel["length"] == "25.4" && parcel["height"] == "5.5", "length")?;
        demand(parcel["distance_unit"] == "cm", "distance_unit")?;
        demand(parcel["mass_unit"] == "g", "mass_unit")?;
        demand(parcel["weight"] == "500" || parcel["weight"] == "1000", "weight")?;
    }
    let insured: Vec<&Value> =
        [question].into_iter().chain(parcels).filter_map(|place| place.get("extra")).collect();
    let amounts: &[&str] = if parcels.len() == 1 { &["100.01"] } else { &["50.01", "50.00"] };
    for (insured, amount) in insured.into_iter().zip(amounts) {
        demand_names(&insured["insurance"], &["amount", "currency", "content"], &[])?;
        demand(insured["insurance"]["amount"] == *amount, "amount")?;
    }
    demand(question.get("extra").is_none() || parcels.len() == 1, "extra")
}

fn shipengine(path: &str, headers: &HeaderMap, question: &Value) -> Result<(), Reply> {
    demand_call(path == "/v1/rates", text(headers, "api-key"), KEY)?;
    demand_names(question, &["shipment", "rate_options"], &[])?;
    demand(question["rate_options"] == json!({"carrier_ids": ["se-1", "se-2"]}), "carrier_ids")?;
    let shipment = &question["shipment"];
    demand_names(shipment, &["ship_from", "ship_to", "packages"], &["insurance_provider"])?;
    for end in ["ship_from", "ship_to"] {
        let required = ["name", "phone", "country_code", "address_residential_indicator"];
        let optional = ["address_line1", "city_locality", "state_province", "postal_code"];
        demand_names(&shipment[end], &required, &optional)?;
    }
    demand(shipment["ship_from"]["address_residential_indicator"] == "no", "address_residential_indicator")?;
    for package in shipment["packages"].as_array().unwrap() {
        demand_names(package, &["package_code", "weight", "dimensions"], &["insured_value"])?;
        demand(package["weight"]["value"].is_u64() && package["weight"]["unit"] == "gram", "weight")?;
        let dimensions = json!({"unit": "centimeter", "length": 25.4, "width": 10.0, "height": 5.5});
        demand(package["dimensions"] == dimensions, "dimensions")?;
        if let Some(insured) = package.get("insured_value") {
            demand(insured["currency"] == "eur" && insured["amount"].is_number(), "insured_value")?;
            demand(shipment["insurance_provider"] == "carrier", "insurance_provider")?;
        }
    }
    Ok(())
}

/// Quotes and silent carriers, as one line each.
fn shown(quoted: &Quoted) -> Vec<String> {
    let quotes = quoted.quotes.iter().map(|quote| {
        let when = quote.delivers.map_or_else(|| "-".to_owned(), |date| date.to_string());
        let sure = if quote.is_guaranteed { " guaranteed" } else { "" };
        assert!(!quote.collects && quote.source.as_str() == "live");
        let reference = quote.reference.as_str();
        format!("{}/{} {} {when}{sure} [{reference}]", quote.carrier, quote.service, quote.price)
    });
    let silent = quoted.silent.iter().map(|silent| {
        let kind = if silent.is_transient { "not now" } else { "no" };
        let message = silent.message.as_str().split(" at line ").next().unwrap();
        format!("{kind}: {}: {message}", silent.carrier)
    });
    quotes.chain(silent).collect()
}

async fn check(carrier: &dyn Carrier, weights_g: &[i64], insured: bool, expected: &[&str]) {
    let mut asked = shipment(weights_g);
    asked.value = insured.then(|| euros(10_001));
    let quoted = ask(carrier, &asked).await.unwrap();
    assert_eq!(shown(&quoted), expected);
}

#[tokio::test]
async fn easypost_is_asked_in_inches_and_ounces() {
    let body = json!({"id": "shp_1", "rates": [
        {"id": "rate_1", "carrier": "DHLExpress", "service": "Parcel", "carrier_account_id": "ca_1", "rate": "7.42",
         "list_rate": "9.99", "currency": "EUR", "delivery_days": 3, "delivery_date": "2026-11-25T00:00:00Z",
         "delivery_date_guaranteed": true},
        {"id": "rate_2", "carrier": "USPS", "service": "Priority", "rate": 5.1, "currency": "usd",
         "delivery_days": 2, "delivery_date": null, "delivery_date_guaranteed": false},
        {"id": "rate_3", "carrier": "USPS", "service": "Ground", "rate": "4", "currency": "USD",
         "delivery_days": null, "delivery_date": null, "delivery_date_guaranteed": true},
        {"id": "rate_4", "carrier": "UPS", "service": "Ground", "rate": "dear", "currency": "USD",
         "delivery_days": null, "delivery_date": null},
        {"id": "rate_5", "carrier": 7},
    ], "messages": [
        {"carrier": "FedEx", "carrier_account_id": "ca_2", "type": "rate_error", "message": "too light\nfor us"},
        {"carrier": "USPS", "type": "rate_error", "message": "one service is closed"},
    ]});
    let url = vendor(easypost, 201, body).await;
    let carrier = EasyPost::new(settings(&url)).unwrap();
    let one = [
        "dhlexpress/parcel 7.42 EUR 2026-11-25 guaranteed [rate_1]",
        "usps/priority 5.10 USD 2026-11-24 [rate_2]",
        "usps/ground 4.00 USD - [rate_3]",
        "not now: : a rate that cannot be read: invalid type: integer `7`, expected a string",
        "no: UPS: Ground: rate must be a decimal number such as \"7.42\", is \"dear\"",
        "no: FedEx: too light for us",
    ];
    check(&carrier, &[500], false, &one).await;
    let three = [
        "dhlexpress/parcel 22.26 EUR 2026-11-25 guaranteed [rate_1 rate_1 rate_1]",
        "usps/priority 15.30 USD 2026-11-24 [rate_2 rate_2 rate_2]",
        "usps/ground 12.00 USD - [rate_3 rate_3 rate_3]",
        one[3],
        one[4],
        one[5],
    ];
    check(&carrier, &[500, 1_000, 500], true, &three).await;
}

#[tokio::test]
async fn easypost_has_a_quote_only_where_each_parcel_has_a_price() {
    let app = Router::new().fallback(|question: Bytes| async move {
        let question: Value = serde_json::from_slice(&question).unwrap();
        let is_heavy = question["shipment"]["parcel"]["weight"] == json!(35.3);
        let rate = |service: &str, price: &str, currency: &str| {
            json!({"id": "r", "carrier": "DHL", "service": service, "rate": price, "currency": currency,
                   "delivery_days": if is_heavy { 4 } else { 1 }, "delivery_date": null})
        };
        let late = rate("Late", "1.00", "EUR");
        let body = if is_heavy {
            json!({"rates": [rate("Parcel", "5.00", "EUR"), rate("Abroad", "5.00", "USD"), late, late], "messages": []})
        } else {
            json!({"rates": [rate("Letter", "1.00", "EUR"), rate("Parcel", "2.00", "EUR"),
                             rate("Abroad", "2.00", "EUR"), rate("Parcel", "0.01", "EUR")]})
        };
        reply(201, &body)
    });
    let carrier = EasyPost::new(settings(&serve(app).await)).unwrap();
    let expected = [
        "dhl/parcel 7.00 EUR 2026-11-26 [r r]",
        "no: DHL: Letter: has prices for 1 of 2 parcels",
        "no: DHL: Abroad: its prices for the parcels do not add up",
        "no: DHL: Late: has prices for 1 of 2 parcels",
    ];
    check(&carrier, &[500, 1_000], false, &expected).await;
}

#[tokio::test]
async fn shippo_is_asked_in_strings() {
    let body = json!({"object_id": "s", "status": "SUCCESS", "rates": [
        {"object_id": "rate_a", "provider": "DHL Express", "amount": "7.421", "currency": "EUR", "amount_local": "8.00",
         "currency_local": "USD", "servicelevel": {"token": "dhl_express_worldwide", "name": "Worldwide"},
         "estimated_days": 2, "arrives_by": "10:30:00", "attributes": ["FASTEST"]},
        {"object_id": "rate_b", "provider": "USPS", "amount": "5.50", "currency": "XXY",
         "servicelevel": {"token": "usps_priority"}, "estimated_days": null},
        {"object_id": "rate_c", "provider": "DPD", "amount": 4, "currency": "eur",
         "servicelevel": {"token": "dpd_classic"}, "estimated_days": null},
    ], "messages": [
        {"source": "UPS", "code": "carrier_timeout", "text": "no answer"},
        {"source": "FedEx", "code": "", "text": "account inactive: timeout"},
        {"source": "DPD", "code": "", "text": "no Saturdays"},
    ]});
    let expected = [
        "dhl_express/dhl_express_worldwide 7.43 EUR 2026-11-24 [rate_a]",
        "dpd/dpd_classic 4.00 EUR - [rate_c]",
        "no: USPS: usps_priority: currency must be a currency of ISO 4217 such as \"EUR\", is \"XXY\"",
        "not now: UPS: no answer",
        "no: FedEx: account inactive: timeout",
    ];
    let carrier = Shippo::new(settings(&vendor(shippo, 201, body.clone()).await)).unwrap();
    for (weights_g, insured) in
        [(&[500][..], false), (&[1_000], true), (&[500, 1_000], false), (&[500, 1_000], true)]
    {
        check(&carrier, weights_g, insured, &expected).await;
    }
    let waiting = json!({"status": "QUEUED", "rates": [], "messages": []});
    let carrier = Shippo::new(settings(&vendor(shippo, 201, waiting).await)).unwrap();
    let expected = ["not now: shippo: not all carriers had answered: status QUEUED"];
    check(&carrier, &[500], false, &expected).await;
}

#[tokio::test]
async fn shipengine_is_asked_in_grams_and_adds_up_its_amounts() {
    let amount = |currency: &str, amount: f64| json!({"currency": currency, "amount": amount});
    let rate = |service: &str, shipping: Value, other: Value| {
        json!({"rate_id": "se-9", "carrier_id": "se-1", "carrier_code": "dhl_express", "service_code": service,
               "package_type": "package", "shipping_amount": shipping, "insurance_amount": amount("usd", 0.0),
               "confirmation_amount": amount("eur", 0.1), "other_amount": other, "tax_amount": null,
               "delivery_days": 3, "estimated_delivery_date": "2026-11-26T10:00:00Z", "guaranteed_service": true,
               "validation_status": "valid", "error_messages": []})
    };
    let mut days_only = rate("slow", amount("eur", 4.0), amount("eur", -0.5));
    days_only["estimated_delivery_date"] = Value::Null;
    days_only["guaranteed_service"] = json!(false);
    let mut envelope = rate("flat", amount("eur", 1.0), Value::Null);
    envelope["package_type"] = json!("flat_rate_envelope");
    let mut invalid = rate("none", amount("eur", 0.0), Value::Null);
    invalid["validation_status"] = json!("invalid");
    invalid["error_messages"] = json!(["no such zone", "none"]);
    let body = json!({"shipment_id": "se-5", "rate_response": {
    "rates": [rate("express", amount("eur", 10.2), amount("eur", 0.1)), days_only, envelope, invalid,
              rate("mixed", amount("eur", 1.0), amount("usd", 0.01))],
    "invalid_rates": [{"carrier_code": "ups", "service_code": "ups_ground", "error_messages": ["too heavy"]}],
    "status": "partial",
    "errors": [
        {"error_source": "carrier", "error_type": "integrations", "error_code": "unspecified", "message": "down",
         "carrier_code": "fedex", "carrier_id": "se-2"},
        {"error_source": "carrier", "error_type": "business_rules", "error_code": "rate_limit_exceeded",
         "message": "slow down", "carrier_id": "se-3"},
        {"error_source": "shipengine", "error_type": "validation", "error_code": "invalid_address",
         "message": "system integrations", "carrier_id": "unknown"},
    ]}});
    let carrier = ShipEngine::new(settings(&vendor(shipengine, 200, body).await)).unwrap();
    let expected = [
        "dhl_express/express 10.40 EUR 2026-11-26 guaranteed [se-9]",
        "dhl_express/slow 3.60 EUR 2026-11-24 [se-9]",
        "no: dhl_express: none: invalid: no such zone; none",
        "no: dhl_express: mixed: amounts in EUR and usd",
        "no: ups: ups_ground: too heavy",
        "not now: fedex: down",
        "not now: se-3: slow down",
        "no: unknown: system integrations",
    ];
    check(&carrier, &[500], false, &expected).await;
    check(&carrier, &[500, 1_000], true, &expected).await;
    let working = json!({"rate_response": {"rates": [], "status": "working"}});
    let carrier = ShipEngine::new(settings(&vendor(shipengine, 200, working).await)).unwrap();
    let expected = ["not now: shipengine: not all carriers had answered: status working"];
    check(&carrier, &[500], false, &expected).await;
}

/// The servers above would let nobody through who asks in another shape.
#[tokio::test]
async fn each_vendor_refuses_what_another_is_asked() {
    let shapes = [easypost, shippo, shipengine];
    for (position, shape) in shapes.into_iter().enumerate() {
        let url = vendor(shape, 200, json!({})).await;
        let carriers: [Box<dyn Carrier>; 3] = [
            Box::new(EasyPost::new(settings(&url)).unwrap()),
            Box::new(Shippo::new(settings(&url)).unwrap()),
            Box::new(ShipEngine::new(settings(&url)).unwrap()),
        ];
        for (other, carrier) in carriers.iter().enumerate() {
            let fault = ask(carrier.as_ref(), &shipment(&[500])).await.unwrap_err();
            let is_refused = matches!(fault, QuoteFault::RefusedUs { .. });
            assert_eq!(is_refused, position != other, "{fault:?}");
        }
    }
    let url = vendor(easypost, 201, json!({})).await;
    let keyless = EasyPost::new(stockgate::carriers::HttpSource { key: "other".into(), ..settings(&url) });
    let fault = ask(&keyless.unwrap(), &shipment(&[500])).await.unwrap_err();
    assert!(matches!(fault, QuoteFault::RefusedUs { .. }), "{fault:?}");
    let fault = ask(&EasyPost::new(settings(&url)).unwrap(), &shipment(&[600])).await.unwrap_err();
    assert!(
        matches!(&fault, QuoteFault::RefusedShipment { error } if error.as_str().contains("weight")),
        "{fault:?}"
    );
}

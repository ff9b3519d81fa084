//! Sources over HTTP when things go wrong: what every status, silence and broken answer means, for all three vendors alike.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::Response,
};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use stockgate::{
    carriers::{Carrier, EasyPost, HttpSource, HttpSourceError, QuoteFault, Quoted, ShipEngine, Shippo},
    domain::{
        Text,
        carrier::{Country, Currency, Money, Parcel, Parcels, Place, PostalCode, Shipment, SourceId},
    },
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

/// Never to be seen in an error.
pub(crate) const KEY: &str = "hunter2-the-key";
/// When shipments are ready.
pub(crate) const NOW: &str = "2026-11-21T12:00:00Z";
/// Long enough for any answer on a loaded machine; nothing waits for it.
const PLENTY: Duration = Duration::from_secs(60);

pub(crate) fn settings(url: &str) -> HttpSource {
    HttpSource {
        source: SourceId::parse("live").unwrap(),
        url: url.to_owned(),
        key: KEY.into(),
        accounts: vec!["se-1".to_owned(), "se-2".to_owned()],
        timeout: PLENTY,
    }
}

pub(crate) fn euros(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap()).unwrap()
}

/// Parcels of so many grams, 254 x 100 x 55 mm each, from Berlin to San Francisco.
pub(crate) fn shipment(weights_g: &[i64]) -> Shipment {
    let text = |text: &str| text.to_owned();
    let parcels = weights_g.iter().map(|weight_g| Parcel::parse(*weight_g, [254, 100, 55]).unwrap());
    Shipment {
        origin: Place {
            country: Country::parse("DE").unwrap(),
            postal_code: PostalCode::parse("10115").unwrap(),
            state: Text::default(),
            city: Text::parse(text("Berlin")).unwrap(),
            street: Text::parse(text("Invalidenstr. 1")).unwrap(),
            is_residential: Some(false),
        },
        destination: Place {
            country: Country::parse("US").unwrap(),
            postal_code: PostalCode::parse("94107").unwrap(),
            state: Text::parse(text("CA")).unwrap(),
            city: Text::parse(text("San Francisco")).unwrap(),
            street: Text::default(),
            is_residential: None,
        },
        parcels: Parcels::parse(parcels.collect()).unwrap(),
        value: None,
        currency: Currency::parse("EUR").unwrap(),
        collect: None,
    }
}

/// Serves until the test's runtime ends.
pub(crate) async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    url
}

pub(crate) async fn ask(carrier: &dyn Carrier, shipment: &Shipment) -> Result<Quoted, QuoteFault> {
    carrier.quote(shipment, NOW.parse().unwrap()).await
}

fn all_three(settings: &HttpSource) -> [Box<dyn Carrier>; 3] {
    [
        Box::new(EasyPost::new(settings.clone()).unwrap()),
        Box::new(Shippo::new(settings.clone()).unwrap()),
        Box::new(ShipEngine::new(settings.clone()).unwrap()),
    ]
}

/// The fault all three vendors make of one answer.
async fn fault_of<F>(answer: F) -> QuoteFault
where
    F: Fn(Request) -> Response<Body> + Clone + Send + Sync + 'static,
{
    let url = serve(Router::new().fallback(move |request: Request| {
        let response = answer(request);
        async move { response }
    }))
    .await;
    fault_at(&settings(&url)).await
}

async fn fault_at(settings: &HttpSource) -> QuoteFault {
    let mut faults = Vec::new();
    for carrier in all_three(settings) {
        let fault = ask(carrier.as_ref(), &shipment(&[500])).await.unwrap_err();
        assert!(!format!("{fault:?}").contains(KEY), "{fault:?}");
        faults.push(fault);
    }
    assert!(faults.iter().all(|fault| *fault == faults[0]), "{faults:?}");
    faults.remove(0)
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

#[tokio::test]
async fn every_status_has_its_fault() {
    async fn word(status: u16, headers: &'static [(&str, &str)]) -> (&'static str, Option<u64>) {
        let fault = fault_of(move |_| answer(status, headers, "no\nway")).await;
        let (word, error, after) = match fault {
            QuoteFault::RefusedUs { error } => ("us", error, None),
            QuoteFault::RefusedShipment { error } => ("shipment", error, None),
            QuoteFault::Failed { error } => ("failed", error, None),
            QuoteFault::Throttled { after, error } => ("throttled", error, after),
            QuoteFault::TimedOut { .. } => panic!("it has answered"),
        };
        assert!(error.as_str().starts_with(&format!("{status} ")), "{error}");
        (word, after.map(|after| after.as_secs()))
    }
    for status in [301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 410, 423] {
        assert_eq!(word(status, &[("location", "/elsewhere")]).await, ("us", None), "{status}");
    }
    for status in [400, 409, 413, 415, 422] {
        assert_eq!(word(status, &[]).await, ("shipment", None), "{status}");
    }
    for status in [408, 425, 500, 502, 503, 504] {
        assert_eq!(word(status, &[]).await, ("failed", None), "{status}");
    }
    assert_eq!(word(429, &[]).await, ("throttled", None));
    assert_eq!(word(429, &[("retry-after", "7")]).await, ("throttled", Some(7)));
    assert_eq!(word(503, &[("retry-after", "120")]).await, ("throttled", Some(120)));
    let far = &[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")];
    assert_eq!(word(429, far).await, ("throttled", Some(86_400)));
}

#[tokio::test]
async fn a_date_to_come_back_at_is_honoured() {
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&later).unwrap();
    let url = serve(Router::new().fallback(move || {
        let response = answer(429, &[("retry-after", date.as_str())], "");
        async move { response }
    }))
    .await;
    let carrier = Shippo::new(settings(&url)).unwrap();
    let fault = ask(&carrier, &shipment(&[500])).await.unwrap_err();
    let QuoteFault::Throttled { after: Some(after), .. } = fault else { panic!("{fault:?}") };
    assert!((3_000..=3_600).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn redirects_lead_nowhere() {
    let fault = fault_of(|request| match request.uri().path() {
        "/elsewhere" => panic!("the key went elsewhere"),
        _ => answer(307, &[("location", "/elsewhere")], ""),
    })
    .await;
    let QuoteFault::RefusedUs { error } = fault else { panic!("{fault:?}") };
    assert_eq!(
        error.as_str(),
        "307 Temporary Redirect: redirects are not followed: set url to the final one"
    );
}

#[tokio::test]
async fn answers_that_are_no_answers_have_failed() {
    async fn check(expected: &str, body: fn() -> Response<Body>) {
        let fault = fault_of(move |_| body()).await;
        let QuoteFault::Failed { error } = fault else { panic!("{fault:?}") };
        assert!(error.as_str().contains(expected), "{expected}: {error}");
    }
    check("not of the shape", || answer(200, &[JSON], "")).await;
    check("not of the shape", || answer(201, &[JSON], "{\"rates\":")).await;
    check("not of the shape", || answer(200, &[JSON], "7")).await;
    check("text/html, not JSON", || answer(200, &[("content-type", "text/html")], "{\"rates\":[]}")).await;
    check("longer than 2000000 bytes", || answer(200, &[JSON], " ".repeat(3_000_000))).await;
    check("longer than 2000000 bytes", || {
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(" ".repeat(1024)));
        answer(200, &[JSON], Body::from_stream(endless))
    })
    .await;
    check("broke before the answer", || {
        let half = stream::iter([Ok(Bytes::from("{\"rates\":")), Err(std::io::Error::other("gone"))]);
        answer(200, &[JSON, ("content-length", "1000")], Body::from_stream(half))
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_repeated_is_not_shown() {
    let app = Router::new().fallback(|request: Request| async move {
        let said = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let said = said("authorization").or_else(|| said("api-key")).unwrap();
        answer(401, &[], format!("{said}: bad key {KEY}"))
    });
    for carrier in all_three(&settings(&serve(app).await)) {
        let text = format!("{:?}", ask(carrier.as_ref(), &shipment(&[500])).await.unwrap_err());
        assert!(text.contains("bad key [key]") && !text.contains("hunter2"), "{text}");
        assert!(!text.contains("aHVudGVyMi10aGUta2V5Og"), "{text}");
    }
    let shown = format!("{:?}", EasyPost::new(settings("http://127.0.0.1:1")).unwrap());
    assert!(shown.starts_with("EasyPost { source: ") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_dead_port_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let QuoteFault::Failed { error } = fault_at(&settings(&url)).await else { panic!("it is dead") };
    assert!(error.as_str().starts_with("cannot connect to the source: "), "{error}");
}

#[tokio::test]
async fn silence_and_a_stuck_body_time_out() {
    let after = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    assert_eq!(
        fault_at(&HttpSource { timeout: after, ..settings(&silent) }).await,
        QuoteFault::TimedOut { after }
    );
    let stuck = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let url = serve(Router::new().fallback(move || async move { answer(200, &[JSON], stuck()) })).await;
    let fault = fault_at(&HttpSource { timeout: Duration::from_secs(2), ..settings(&url) }).await;
    assert_eq!(fault, QuoteFault::TimedOut { after: Duration::from_secs(2) });
}

#[tokio::test]
async fn a_lost_connection_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let carrier = Shippo::new(settings(&url)).unwrap();
    let parcel = shipment(&[500]);
    let hang_up = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 1024]).await.unwrap() > 0);
    };
    let (fault, ()) = tokio::join!(ask(&carrier, &parcel), hang_up);
    assert!(matches!(fault, Err(QuoteFault::Failed { .. })), "{fault:?}");
}

#[test]
fn bad_settings_are_named_with_their_fix() {
    fn check(settings: HttpSource, expected: &str) {
        let refused: [Result<(), HttpSourceError>; 3] = [
            EasyPost::new(settings.clone()).map(drop),
            Shippo::new(settings.clone()).map(drop),
            ShipEngine::new(settings).map(drop),
        ];
        for error in refused.map(Result::unwrap_err) {
            assert_eq!(error.to_string(), format!("source live: {expected}"));
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
    let good = || settings("https://api.example.com");
    let more = "url must be host and path alone: leave out user, password, ? and #; the key goes into key or key_file";
    check(settings("api.example.com"), "url does not parse: write it as https://api.example.com");
    check(settings("ftp://example.com"), "url must begin with https:// or http://, begins with ftp:");
    check(settings("https://me:hunter2@example.com"), more);
    check(settings("https://example.com/?key=hunter2"), more);
    check(
        HttpSource { key: "".into(), ..good() },
        "key is empty: set key or key_file to the API key of the account",
    );
    check(
        HttpSource { key: "hunter2\n".into(), ..good() },
        "key must be printable ASCII without spaces: look for a line break or a quote in key or key_file",
    );
    check(HttpSource { accounts: vec![String::new()], ..good() }, "accounts has an empty entry: take it out");
    check(
        HttpSource { accounts: vec!["se-1".to_owned(); 61], ..good() },
        "accounts must be at most 60, are 61: share them out over two sources",
    );
    check(HttpSource { timeout: Duration::ZERO, ..good() }, "timeout must be above zero, e.g. \"2s\"");
    let alone = HttpSource { accounts: Vec::new(), ..good() };
    assert!(EasyPost::new(alone.clone()).is_ok() && Shippo::new(alone.clone()).is_ok());
    assert_eq!(
        ShipEngine::new(alone).unwrap_err().to_string(),
        "source live: accounts is empty: list the carrier ids to ask, such as [\"se-123456\"]"
    );
}

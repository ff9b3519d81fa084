//! The HTTP client of one foreign server. Each has its own, so that the connections of a sick one hurt nobody else.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};
use rustls::crypto::ring;

/// Idle connections kept per server; a call that finds none opens one.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Shorter than the keep-alive of common servers (5 s in Node.js): a connection the server is just closing would
/// turn a push into one of unknown outcome.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Builds the client for calls to `url`, each within `timeout` from connect to the end of the answer.
pub fn client(url: &Url, timeout: Duration) -> Result<Client, reqwest::Error> {
    // One provider per process: whoever installed one first has decided, and that is fine.
    let _ = ring::default_provider().install_default();
    let mut builder = ClientBuilder::new()
        .user_agent(concat!("stockgate/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        // A signed call is for the url of the settings and no other.
        .redirect(Policy::none())
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if url.scheme() == "http" {
        // Without this the client reads the system's certificates even if it never needs one, and a container
        // without any could not start.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(url) {
        // HTTP_PROXY is for the world outside: a proxy's loopback is not ours.
        builder = builder.no_proxy();
    }
    builder.build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_are_kept_from_the_proxy() {
        let check = |url: &str, expected| {
            assert_eq!(is_loopback(&Url::parse(url).expect("a url")), expected, "{url}");
        };
        check("http://127.0.0.1:9001/stock", true);
        check("http://127.9.9.9/", true);
        check("http://[::1]:9001/", true);
        check("http://localhost/", true);
        check("http://10.0.0.1/", false);
        check("http://localhost.example.com/", false);
        check("https://shop.example.com/", false);
    }
}

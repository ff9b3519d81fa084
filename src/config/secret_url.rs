//! A URL that may hold a password or a token, and does not print it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use crate::store::Address;

/// A URL whose user, password, query and fragment are never printed.
#[derive(Clone)]
pub struct SecretUrl {
    full: SecretString,
    shown: String,
}

impl SecretUrl {
    /// Wraps a URL; what is not one is kept, but nothing of it is printed.
    pub fn new(url: &str) -> Self {
        Self { full: SecretString::from(url), shown: shown(url) }
    }

    /// The whole URL, password included: for whoever connects, not for logs.
    pub fn expose(&self) -> &str {
        self.full.expose_secret()
    }
}

fn shown(url: &str) -> String {
    // A list of hosts is no URL to others.
    if let Some(several) = Address::parse(url).ok().filter(|url| url.is_sentinel() || url.is_cluster()) {
        return several.to_string();
    }
    // The url crate by way of reqwest: it parses any scheme.
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return "***".to_owned();
    };
    let has_user = !parsed.username().is_empty() || parsed.password().is_some();
    if has_user && (parsed.set_username("***").is_err() || parsed.set_password(None).is_err()) {
        return format!("{}:***", parsed.scheme());
    }
    if parsed.query().is_some() {
        parsed.set_query(Some("***"));
    }
    if parsed.fragment().is_some() {
        parsed.set_fragment(Some("***"));
    }
    parsed.to_string()
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|url| Self::new(&url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_printed_without_what_is_secret() {
        let check = |url, printed: &str| {
            assert_eq!(SecretUrl::new(url).to_string(), printed);
            assert_eq!(format!("{:?}", SecretUrl::new(url)), printed);
            assert_eq!(SecretUrl::new(url).expose(), url);
        };
        check("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0");
        check("redis://:hunter2@redis:6379/0", "redis://***@redis:6379/0");
        check("rediss://shop:hunter2@redis/1", "rediss://***@redis/1");
        check("redis+unix:///run/r.sock?user=a&pass=hunter2", "redis+unix:///run/r.sock?***");
        check("https://shop.example/stock?token=hunter2#x", "https://shop.example/stock?***#***");
        check("redis+sentinel://shop:hunter2@a,b:1/shop", "redis+sentinel://***@a:26379,b:1/shop/0");
        check("redis+sentinel://shop:hunter2@a:1,b:1", "***");
        check("hunter2", "***");
    }
}

//! Standard Webhooks 1.0.0, symmetric signatures: `v1,` and the base64 HMAC-SHA256 of `{id}.{timestamp}.{body}`.
//!
//! Our own thirty lines instead of the crate `standardwebhooks`: that one signs text only and with one key, and would
//! bring a second HMAC, an older base64 and a second crate for time.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

const SECRET_PREFIX: &str = "whsec_";
/// What the specification allows: 24 to 64 bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Rotation needs two; every one adds 48 bytes to the header of every call.
const SECRETS_MAX: usize = 4;

/// Why the secrets of a channel were not accepted. Never shows any part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// None was given.
    #[error("has no secret: make one with `echo whsec_$(openssl rand -base64 32)`")]
    Missing,
    /// More than a rotation needs.
    #[error(
        "has {given} secrets, at most {SECRETS_MAX} are allowed: remove the ones no receiver uses any more"
    )]
    TooMany {
        /// How many.
        given: usize,
    },
    /// It does not look like a Standard Webhooks secret.
    #[error(
        "secret {place} must be whsec_ and base64: make one with `echo whsec_$(openssl rand -base64 32)`"
    )]
    Malformed {
        /// Which one, from 1.
        place: usize,
    },
    /// The key is too short to be safe, or longer than receivers accept.
    #[error(
        "secret {place} must hold 24 to 64 bytes, holds {len}: make one with `echo whsec_$(openssl rand -base64 32)`"
    )]
    Length {
        /// Which one, from 1.
        place: usize,
        /// Bytes it holds.
        len: usize,
    },
}

/// Signs with every secret of a channel, so that receivers may change theirs one after the other.
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// Accepts 1 to 4 secrets of the form `whsec_` + base64 of 24 to 64 bytes.
    pub(super) fn new(secrets: &[SecretString]) -> Result<Self, SecretProblem> {
        match secrets.len() {
            0 => Err(SecretProblem::Missing),
            given if given > SECRETS_MAX => Err(SecretProblem::TooMany { given }),
            _ => (1..)
                .zip(secrets)
                .map(|(place, secret)| keyed(place, secret))
                .collect::<Result<_, _>>()
                .map(Self),
        }
    }

    /// The value of `webhook-signature`: one signature per secret, separated by spaces.
    pub(super) fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp_s}.");
        let signatures = self.0.iter().map(|keyed| {
            let mac = keyed.clone().chain_update(head.as_bytes()).chain_update(body).finalize();
            format!("v1,{}", BASE64_STANDARD.encode(mac.into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn keyed(place: usize, secret: &SecretString) -> Result<Hmac<Sha256>, SecretProblem> {
    let text =
        secret.expose_secret().strip_prefix(SECRET_PREFIX).ok_or(SecretProblem::Malformed { place })?;
    // The decoder's own error quotes a byte of the secret, so it is dropped.
    let key = BASE64_STANDARD.decode(text).map_err(|_| SecretProblem::Malformed { place })?;
    if !KEY_BYTES.contains(&key.len()) {
        return Err(SecretProblem::Length { place, len: key.len() });
    }
    Ok(Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secrets: &[&str]) -> Result<Signer, SecretProblem> {
        Signer::new(&secrets.iter().map(|&secret| secret.into()).collect::<Vec<_>>())
    }

    fn of_bytes(len: usize) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(vec![7; len]))
    }

    #[test]
    fn signs_like_the_reference() {
        let check = |secret, id, timestamp_s, body: &str, signature: &str| {
            let signer = signer(&[secret]).expect("a legal secret");
            assert_eq!(signer.sign(id, timestamp_s, body.as_bytes()), signature);
        };
        check(
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "msg_demo1",
            1_700_000_000,
            r##"{"id":1001,"name":"#1001"}"##,
            "v1,8pwCr5q5nIDt5kb9euWu/0TKvdxCSnBLspb6shRzjgs=",
        );
        // The test case of the official libraries.
        check(
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        );
    }

    #[test]
    fn every_secret_signs_any_bytes() {
        let (old, new) = (of_bytes(24), of_bytes(64));
        let alone = |secret: &str| signer(&[secret]).expect("legal").sign("id", 1, b"\xff\x00");
        let both = signer(&[&new, &old]).expect("legal").sign("id", 1, b"\xff\x00");
        assert_eq!(both, format!("{} {}", alone(&new), alone(&old)));
    }

    #[test]
    fn bad_secrets_are_refused_by_place_and_never_shown() {
        let good = of_bytes(32);
        let check = |secrets: &[&str], problem: SecretProblem| {
            assert_eq!(signer(secrets).err(), Some(problem), "{secrets:?}");
        };
        check(&[], SecretProblem::Missing);
        check(&[good.as_str(); 5], SecretProblem::TooMany { given: 5 });
        check(&["hunter2"], SecretProblem::Malformed { place: 1 });
        check(&[&good, "whsec_not*base64"], SecretProblem::Malformed { place: 2 });
        check(&["whsec_"], SecretProblem::Length { place: 1, len: 0 });
        check(&[&of_bytes(23)], SecretProblem::Length { place: 1, len: 23 });
        check(&[&of_bytes(65)], SecretProblem::Length { place: 1, len: 65 });
    }
}

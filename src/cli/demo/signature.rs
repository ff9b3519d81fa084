//! Checks a Standard Webhooks 1.0.0 signature the way a shop would: on its own, from the specification.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How far a timestamp may lie from our clock; the specification's libraries use five minutes.
const TOLERANCE_S: u64 = 300;

/// Why a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureProblem {
    #[error("webhook-timestamp is not a number of seconds")]
    BadTimestamp,
    #[error("webhook-timestamp is {distance_s} s away from the clock here")]
    TooFar { distance_s: u64 },
    #[error("no signature matches")]
    NoMatch,
}

/// A shared secret.
#[derive(Clone)]
pub(super) struct Secret(Vec<u8>);

impl Secret {
    /// Reads `whsec_` and base64; None when it is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text.strip_prefix("whsec_")?).ok().map(Self)
    }

    /// Accepts a call when one of its signatures is of this secret and it is fresh.
    pub(super) fn verify(&self, call: &SignedCall<'_>, now_s: u64) -> Result<(), SignatureProblem> {
        let sent_s: u64 = call.timestamp.parse().map_err(|_| SignatureProblem::BadTimestamp)?;
        let distance_s = now_s.abs_diff(sent_s);
        if distance_s > TOLERANCE_S {
            return Err(SignatureProblem::TooFar { distance_s });
        }
        let matches = |candidate: &str| {
            let signature = candidate.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            signature.is_some_and(|signature| self.mac(call).verify_slice(&signature).is_ok())
        };
        if call.signatures.split(' ').any(matches) { Ok(()) } else { Err(SignatureProblem::NoMatch) }
    }

    fn mac(&self, call: &SignedCall<'_>) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in [call.id.as_bytes(), b".", call.timestamp.as_bytes(), b".", call.body] {
            mac.update(part);
        }
        mac
    }

    #[cfg(test)]
    pub(super) fn sign(&self, call: &SignedCall<'_>) -> String {
        format!("v1,{}", STANDARD.encode(self.mac(call).finalize().into_bytes()))
    }
}

/// What a signature covers, and the signatures.
pub(super) struct SignedCall<'a> {
    pub(super) id: &'a str,
    pub(super) timestamp: &'a str,
    pub(super) signatures: &'a str,
    pub(super) body: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const CALL: SignedCall<'_> = SignedCall {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        body: br#"{"test": 2432232314}"#,
    };

    #[test]
    fn example_of_the_specification_is_believed() {
        let secret = Secret::parse(SECRET).unwrap();
        assert_eq!(secret.verify(&CALL, 1_614_265_330), Ok(()));
        let rotated = format!("v1,AAAA v2,x {}", CALL.signatures);
        assert_eq!(secret.verify(&SignedCall { signatures: &rotated, ..CALL }, 1_614_265_331), Ok(()));
    }

    #[test]
    fn changed_or_stale_calls_are_not_believed() {
        let secret = Secret::parse(SECRET).unwrap();
        let check =
            |call: SignedCall<'_>, now_s, problem| assert_eq!(secret.verify(&call, now_s), Err(problem));
        check(SignedCall { body: b"{}", ..CALL }, 1_614_265_330, SignatureProblem::NoMatch);
        check(SignedCall { id: "msg_x", ..CALL }, 1_614_265_330, SignatureProblem::NoMatch);
        check(SignedCall { signatures: "", ..CALL }, 1_614_265_330, SignatureProblem::NoMatch);
        check(SignedCall { timestamp: "soon", ..CALL }, 1_614_265_330, SignatureProblem::BadTimestamp);
        check(CALL, 1_614_265_631, SignatureProblem::TooFar { distance_s: 301 });
        assert!(Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none(), "the prefix is part of it");
    }
}

//! What the answer of a receiver, or its absence, means for the items of the call.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Response, StatusCode};

use super::super::PushOutcome;
use crate::outbound::{ErrorText, body_start, retry_after, root_cause};

/// Of the body at most this is read: enough to say what was wrong, and small answers keep their connection.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// Reads the answer to a call of so many items. Its status has decided; the body only explains, so a body that breaks off
/// changes nothing.
pub(super) async fn outcome(mut response: Response, items: usize) -> PushOutcome {
    let body = body_start(&mut response, BODY_BYTES_MAX).await;
    let status = response.status();
    if status.is_success() {
        return PushOutcome::Applied;
    }
    if status.is_redirection() {
        let error = ErrorText::new(&format!("{status}: redirects are not followed: set the final url"));
        return PushOutcome::PermanentAuth { error };
    }
    let error = ErrorText::new(&format!("{status}: {}", String::from_utf8_lossy(&body)));
    // Who says when to come back refuses nothing for good, whatever the status.
    let after = retry_after(response.headers(), Timestamp::now());
    if after.is_some() {
        return PushOutcome::RetryAfter { after, throttled: true, error };
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS => PushOutcome::RetryAfter { after: None, throttled: true, error },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => failed(error),
        _ if status.is_server_error() => failed(error),
        StatusCode::UNAUTHORIZED
        | StatusCode::PAYMENT_REQUIRED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::GONE
        | StatusCode::LOCKED => PushOutcome::PermanentAuth { error },
        _ if items > 1 => PushOutcome::BatchRejected { error },
        _ => PushOutcome::PermanentItem { error },
    }
}

/// Tells a call that never went out from one whose answer is missing.
pub(super) fn no_answer(error: reqwest::Error, timeout: Duration) -> PushOutcome {
    if error.is_connect() {
        return failed(ErrorText::new(&format!("cannot connect to the receiver: {}", root_cause(&error))));
    }
    let error = if error.is_timeout() {
        ErrorText::new(&format!("no answer within {} ms", timeout.as_millis()))
    } else {
        ErrorText::new(&format!("the connection broke before the answer came: {}", root_cause(&error)))
    };
    PushOutcome::Unknown { error }
}

fn failed(error: ErrorText) -> PushOutcome {
    PushOutcome::RetryAfter { after: None, throttled: false, error }
}

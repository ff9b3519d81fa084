//! What can be told of an answer, or of the want of one.

use std::error::Error;

use reqwest::Response;

/// Reads the body up to so many bytes, or to where it breaks off: for words that only explain.
pub async fn body_start(response: &mut Response, bytes_max: usize) -> Vec<u8> {
    let mut start = Vec::new();
    while start.len() < bytes_max {
        match response.chunk().await {
            Ok(Some(chunk)) => start.extend_from_slice(&chunk[..chunk.len().min(bytes_max - start.len())]),
            Ok(None) | Err(_) => break,
        }
    }
    start
}

/// The innermost cause: the client's own words repeat the url, which may hold a password.
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = match error.source() {
        Some(source) => source,
        None => return "no reason given".to_owned(),
    };
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

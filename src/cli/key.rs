//! Idempotency keys: a fresh one when none is given, shown so that the very same call can be repeated; and
//! `stockgate keys`.

use clap::{Args, Subcommand};
use serde::Serialize;
use tonic::Status;
use uuid::Uuid;

use super::{
    Verdict,
    failure::CliError,
    gateway::GatewayArgs,
    output::{Output, Row},
};
use crate::proto::{KeyOutcome, ResolveKeyRequest};

/// `--key`, on every command that changes something.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Name this request; a repeat with the same key gets the first answer again [default: a fresh one, printed]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl KeyArgs {
    /// The given key, or a fresh one.
    pub(super) fn key(&self) -> Key {
        let text = self.key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
        let repeat = format!("--key {}", shell_word(&text));
        Key { text, repeat }
    }

    /// True when the user named the request: perhaps a repeat.
    pub(super) fn is_given(&self) -> bool {
        self.key.is_some()
    }
}

/// The key of one call, and the flags that repeat it.
#[derive(Debug)]
pub(super) struct Key {
    text: String,
    repeat: String,
}

impl Key {
    /// Adds a flag without which the repeat would be another request.
    pub(super) fn with_flag(mut self, flag: &str) -> Self {
        self.repeat = format!("{} {flag}", self.repeat);
        self
    }

    /// The key itself.
    pub(super) fn text(&self) -> String {
        self.text.clone()
    }

    /// The error for a call that used this key: it says how to repeat it.
    pub(super) fn error(&self, status: Status) -> CliError {
        CliError::Status { status: Box::new(status), repeat: Some(self.repeat.clone()) }
    }
}

/// A word a shell reads back as it was.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What can be asked about keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Say what a key was answered. A key that was never used is burnt: no late request with it can succeed any more
    Resolve(Resolve),
}

/// Asks about one key.
#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// The first SKU, in byte order, of the request that used the key (of the hold, for its commit or release)
    sku: String,
    /// The key
    key: String,
}

impl KeysCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let Self::Resolve(Resolve { sku, key }) = self;
        let gateway = gateway.connect().await?;
        let request =
            gateway.request(ResolveKeyRequest { sku, idempotency_key: key.clone(), durability: None });
        let found = gateway.stock().resolve_key(request).await?.into_inner();
        output.object(&ResolvedRow {
            outcome: outcome_word(found.outcome()),
            idempotency_key: key,
            rpc: found.rpc,
            reason: found.reason,
            hold_id: found.hold_id,
            event_ids: found.event_ids,
        })?;
        Ok(Verdict::Fine)
    }
}

#[derive(Debug, Serialize)]
struct ResolvedRow {
    idempotency_key: String,
    outcome: &'static str,
    rpc: String,
    reason: String,
    hold_id: String,
    event_ids: Vec<String>,
}

impl Row for ResolvedRow {
    const HEAD: &'static [&'static str] = &["key", "outcome", "rpc", "reason", "hold", "events"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.idempotency_key.clone(),
            self.outcome.to_owned(),
            self.rpc.clone(),
            self.reason.clone(),
            self.hold_id.clone(),
            self.event_ids.join(" "),
        ]
    }
}

fn outcome_word(outcome: KeyOutcome) -> &'static str {
    match outcome {
        KeyOutcome::Applied => "applied",
        KeyOutcome::Refused => "refused",
        KeyOutcome::Burnt => "burnt",
        KeyOutcome::Unspecified => "unspecified",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_keys_differ_and_given_ones_stay() {
        let fresh = KeyArgs { key: None };
        assert_ne!(fresh.key().text(), fresh.key().text());
        assert_eq!(KeyArgs { key: Some("order 17".to_owned()) }.key().text(), "order 17");
    }

    #[test]
    fn error_repeats_with_every_flag_quoted_for_the_shell() {
        let key = KeyArgs { key: Some("it's 17".to_owned()) }.key().with_flag("--expect-version 4");
        let text = key.error(Status::deadline_exceeded("late")).to_string();
        assert!(text.contains(r"--key 'it'\''s 17' --expect-version 4"), "{text}");
    }
}

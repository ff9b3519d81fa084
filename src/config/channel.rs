//! A `[[channels]]` section, and the channel it describes.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::domain::{Backoff, ChannelId, PublishPolicy};

use super::{Problem, Propagation, SecretUrl, layers::Origins};

/// The most channels a gateway serves: each has its tasks, and its label in every metric.
pub const CHANNELS_MAX: usize = 64;
/// The most that is read of a secret file, in bytes; a secret is far shorter.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// A place that sells the stock and must be told the number.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub id: ChannelId,
    /// What it speaks.
    pub kind: ChannelKind,
    /// Where it is told.
    pub url: SecretUrl,
    /// What signs the calls.
    pub secret: SecretString,
    /// SKUs in one call.
    pub batch: usize,
    /// How much of the stock it may show.
    pub publish: PublishPolicy,
    /// Calls on their way at the same time.
    pub concurrency: usize,
    /// How long one call may take.
    pub timeout: Duration,
    /// The waits between attempts.
    pub backoff: Backoff,
}

/// What a channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// CloudEvents, signed by Standard Webhooks.
    Webhook,
}

/// A channel as it was written.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct RawChannel {
    pub(super) id: Option<String>,
    pub(super) kind: ChannelKind,
    pub(super) url: Option<SecretUrl>,
    pub(super) secret: Option<SecretString>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) batch: usize,
    pub(super) buffer: i64,
    pub(super) share: f64,
    pub(super) cap: Option<i64>,
    pub(super) concurrency: usize,
    #[serde(with = "humantime_serde")]
    pub(super) timeout: Duration,
}

impl Default for RawChannel {
    fn default() -> Self {
        let publish = PublishPolicy::default();
        Self {
            id: None,
            kind: ChannelKind::Webhook,
            url: None,
            secret: None,
            secret_file: None,
            batch: 1,
            buffer: publish.buffer,
            share: publish.share,
            cap: publish.cap,
            concurrency: 8,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Converts the sections that are complete, and notes what the others lack.
pub(super) fn convert(
    sections: Vec<RawChannel>,
    propagation: &Propagation,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) -> Vec<Channel> {
    let mut channels: Vec<Channel> = Vec::with_capacity(sections.len());
    for (index, section) in sections.into_iter().enumerate() {
        let path = format!("channels.{index}");
        let Some(channel) = complete(section, &path, propagation, origins, problems) else { continue };
        if channels.iter().any(|other| other.id == channel.id) {
            let detail = "is the id of more than one channel: give each its own".to_owned();
            problems.push(origins.invalid(&format!("{path}.id"), detail));
        }
        check_timeout(&channel, &path, propagation, origins, problems);
        channels.push(channel);
    }
    channels
}

fn check_timeout(
    channel: &Channel,
    path: &str,
    propagation: &Propagation,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) {
    if channel.timeout < propagation.lease {
        return;
    }
    // Else another worker takes the SKUs over while this one still waits, and both push.
    let detail = format!(
        "is {}, must be shorter than propagation.lease, {} in {}: raise the lease or lower the timeout",
        humantime::format_duration(channel.timeout),
        humantime::format_duration(propagation.lease),
        origins.of("propagation.lease"),
    );
    problems.push(origins.invalid(&format!("{path}.timeout"), detail));
}

fn complete(
    section: RawChannel,
    path: &str,
    propagation: &Propagation,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) -> Option<Channel> {
    let mut missing = |field: &str, fix: &str| {
        let setting = format!("{}.{field}", origins.name(path));
        // A value that was there and refused has been noted already.
        let noted = |problem: &Problem| matches!(problem, Problem::Invalid { setting: noted, .. } if *noted == setting);
        if !problems.iter().any(noted) {
            problems.push(Problem::Missing { setting, fix: fix.to_owned() });
        }
    };
    let id = section.id.and_then(|id| ChannelId::parse(&id).ok());
    if id.is_none() {
        missing("id", "write id = \"web\", or what you call it");
    }
    if section.url.is_none() {
        missing("url", "write url = \"https://…\", where the channel is told");
    }
    let given = section.secret.filter(|secret| !secret.expose_secret().is_empty());
    if given.is_none() && section.secret_file.is_none() {
        missing("secret", "write secret = \"whsec_…\", or secret_file = \"PATH\"");
    }
    let secret = match (given, section.secret_file) {
        (Some(_), Some(_)) => {
            let detail = format!(
                "is set beside secret in {}: keep one of them",
                origins.of(&format!("{path}.secret"))
            );
            problems.push(origins.invalid(&format!("{path}.secret_file"), detail));
            None
        }
        (given, None) => given,
        (None, Some(file)) => {
            read_secret(&file, path, origins).map_err(|problem| problems.push(problem)).ok()
        }
    };
    Some(Channel {
        id: id?,
        kind: section.kind,
        url: section.url?,
        secret: secret?,
        batch: section.batch,
        publish: PublishPolicy {
            buffer: section.buffer,
            share: section.share,
            cap: section.cap,
            ..PublishPolicy::default()
        },
        concurrency: section.concurrency,
        timeout: section.timeout,
        backoff: propagation.backoff(),
    })
}

fn read_secret(file: &Path, path: &str, origins: &Origins) -> Result<SecretString, Problem> {
    let setting = format!("{path}.secret_file");
    let text = read_bounded(file).map_err(|source| Problem::Unreadable {
        what: origins.name(&setting),
        path: file.to_owned(),
        source,
    })?;
    match text.trim() {
        "" => Err(origins.invalid(&setting, "names an empty file: write the secret into it".to_owned())),
        secret => Ok(SecretString::from(secret)),
    }
}

fn read_bounded(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(file)?.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= SECRET_FILE_BYTES_MAX) {
        return Ok(text);
    }
    let reason = format!("more than {SECRET_FILE_BYTES_MAX} bytes: a secret is one short line");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
}

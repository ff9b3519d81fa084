//! Secrets that stand in files of their own.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use secrecy::SecretString;

use super::{Problem, layers::Origins};

/// The most that is read of a secret file, in bytes; a secret is far shorter.
const SECRET_FILE_BYTES_MAX: u64 = 4096;
/// The most that is read of a file with certificates, in bytes; the authorities of a whole system fit.
const PEM_FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the secret in the file that the setting at `path` names, without the space around it.
pub(super) fn secret(file: &Path, path: &str, origins: &Origins) -> Result<SecretString, Problem> {
    let text = read(file, path, SECRET_FILE_BYTES_MAX, "a secret is one short line", origins)?;
    match text.trim() {
        "" => Err(origins.invalid(path, "names an empty file: write the secret into it".to_owned())),
        secret => Ok(SecretString::from(secret)),
    }
}

/// Reads the certificates or the key in the file that the setting at `path` names.
pub(super) fn pem(file: &Path, path: &str, origins: &Origins) -> Result<String, Problem> {
    read(file, path, PEM_FILE_BYTES_MAX, "that is no file of certificates", origins)
}

fn read(file: &Path, path: &str, bytes_max: u64, reason: &str, origins: &Origins) -> Result<String, Problem> {
    read_bounded(file, bytes_max, reason).map_err(|source| Problem::Unreadable {
        what: origins.name(path),
        path: file.to_owned(),
        source,
    })
}

fn read_bounded(file: &Path, bytes_max: u64, reason: &str) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(file)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
        return Ok(text);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {bytes_max} bytes: {reason}")))
}

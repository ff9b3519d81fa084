//! Who the gateway is to Redis, and whom it believes to be Redis: user, password and certificates. Nothing here prints itself.

use redis::{ClientTlsConfig, RedisConnectionInfo, TlsCertificates};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};

/// A user and his password; what is None is not sent.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// The ACL user. None: the default user.
    pub user: Option<String>,
    /// His password. None: none is asked for.
    pub password: Option<SecretString>,
}

impl Login {
    /// Says who we are, where the URL does not.
    pub(super) fn apply(&self, mut info: RedisConnectionInfo) -> RedisConnectionInfo {
        if let Some(user) = &self.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password.expose_secret());
        }
        info
    }
}

/// The certificates of encrypted connections.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    authorities: Option<Vec<u8>>,
    client: Option<ClientTlsConfig>,
}

/// What is wrong with certificates. The texts follow the name of the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// In the file of authorities.
    #[error(
        "names a file without a certificate in PEM: write the one of the authority that signed redis's into it"
    )]
    Authorities,
    /// In the file of the client's certificate.
    #[error("names a file without a certificate in PEM: write the one of this gateway into it")]
    Client,
    /// In the file of the client's key.
    #[error("names a file without a private key in PEM: write the one of redis.client_cert_file into it")]
    Key,
}

impl Certificates {
    /// Believes these authorities (PEM) instead of those of the system.
    pub fn trust(&mut self, authorities: Vec<u8>) -> Result<(), CertificateError> {
        self.authorities = Some(pem_certificates(authorities).ok_or(CertificateError::Authorities)?);
        Ok(())
    }

    /// Shows this certificate (PEM, the chain after it) to a Redis that asks for one, with its key (PEM).
    pub fn show(&mut self, certificate: Vec<u8>, key: &SecretString) -> Result<(), CertificateError> {
        let client_cert = pem_certificates(certificate).ok_or(CertificateError::Client)?;
        let client_key = key.expose_secret().as_bytes().to_vec();
        PrivateKeyDer::from_pem_slice(&client_key).map_err(|_| CertificateError::Key)?;
        self.client = Some(ClientTlsConfig { client_cert, client_key });
        Ok(())
    }

    /// None: those of the system, and nothing is shown.
    pub(super) fn for_client(&self) -> Option<TlsCertificates> {
        let is_set = self.authorities.is_some() || self.client.is_some();
        is_set
            .then(|| TlsCertificates { client_tls: self.client.clone(), root_cert: self.authorities.clone() })
    }
}

fn pem_certificates(pem: Vec<u8>) -> Option<Vec<u8>> {
    let mut certificates = CertificateDer::pem_slice_iter(&pem).peekable();
    certificates.peek()?;
    certificates.all(|certificate| certificate.is_ok()).then_some(pem)
}

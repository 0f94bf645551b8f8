//! TLS: trusted certificates, and the handshake.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tidegate_sdk::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::server::address::Address;
use crate::server::options::TlsOptions;

/// The TLS options of connections. The files are read for each connection, so a renewed certificate needs no
/// restart.
pub(crate) struct Tls(TlsOptions);

impl Tls {
    /// TLS with these options.
    pub(crate) fn new(options: TlsOptions) -> Self {
        Self(options)
    }

    /// Verifies that the peer is `host`, and encrypts the stream.
    pub(crate) async fn shake_hands(
        &self,
        stream: TcpStream,
        host: &str,
        address: &Address,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let config = configure(&self.0).await?;
        let name = self.0.server_name.as_deref().unwrap_or(host).to_owned();
        let server = ServerName::try_from(name.clone()).map_err(|_| {
            Error::misconfigured(format!("`{name}` is not a name that a certificate can be for"))
        })?;
        let connector = TlsConnector::from(config);
        connector.connect(server, stream).await.map_err(|error| {
            let message = format!("no TLS connection to {address}: {error}");
            // A wrong certificate stays wrong until it is replaced. A broken connection is retried.
            match error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
                true => Error::misconfigured(message),
                false => Error::retry(message),
            }
        })
    }
}

async fn configure(options: &TlsOptions) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path).await? {
                roots.add(certificate).map_err(|error| unusable(path, &error))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::fatal(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots);
    let config = match (&options.client_cert, &options.client_key) {
        (Some(chain), Some(key)) => {
            let pem = read(key).await?;
            let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(key, &error))?;
            let chain = certificates(chain).await?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| unusable(key, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

async fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path).await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unusable(path, &"it holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(path, &error)),
    }
}

async fn read(path: &str) -> Result<Vec<u8>, Error> {
    tokio::fs::read(path).await.map_err(|error| unusable(path, &error))
}

fn unusable(path: &str, reason: &dyn std::fmt::Display) -> Error {
    Error::misconfigured(format!("`{path}` cannot be used for TLS: {reason}"))
}

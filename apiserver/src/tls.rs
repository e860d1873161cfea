use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig as RustlsConfig;

use crate::ServerError;

/// A certificate chain and its private key, ready to serve HTTP/2 and HTTP/1.1.
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<RustlsConfig>,
}

impl TlsIdentity {
    /// Reads PEM texts, as they stand in files.
    ///
    /// # Errors
    /// `Tls` if there is no certificate, no key, or they do not belong together.
    pub fn from_pem(certificate_chain: &[u8], private_key: &[u8]) -> Result<Self, ServerError> {
        let chain = CertificateDer::pem_slice_iter(certificate_chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| ServerError::Tls(format!("certificate chain: {error}")))?;
        if chain.is_empty() {
            let why = "certificate chain: no PEM block of type CERTIFICATE";
            return Err(ServerError::Tls(why.into()));
        }
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|error| ServerError::Tls(format!("private key: {error}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = RustlsConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ServerError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| ServerError::Tls(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(crate) fn config(&self) -> Arc<RustlsConfig> {
        Arc::clone(&self.config)
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity")
    }
}

//! Who the server is and who may come in: made at the first start, kept in the data directory,
//! renewed before it ends.

mod certificates;
mod credentials;
mod kubeconfig;

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use apiserver::{Authentication, TlsIdentity};
use storage_core::Clock;

use crate::data_dir::DataDir;
use crate::settings::TlsFiles;

pub(crate) use kubeconfig::{KUBECONFIG, read as read_kubeconfig};

/// What the server shows and asks for.
pub(crate) struct Identity {
    pub(crate) tls: TlsIdentity,
    pub(crate) authentication: Authentication,
    /// What clients must trust, in PEM form.
    trusted: String,
    admin_token: String,
}

impl Identity {
    /// Loads what is there and makes what is missing or about to end.
    pub(crate) fn load_or_create(
        data: &DataDir,
        listen: IpAddr,
        files: Option<&TlsFiles>,
        clock: &dyn Clock,
    ) -> Result<Self> {
        let (tls, trusted) = match files {
            Some(files) => given(files)?,
            None => {
                let certificates = certificates::load_or_create(data, listen, clock)?;
                let tls = TlsIdentity::from_pem(
                    certificates.server.as_bytes(),
                    certificates.key.as_bytes(),
                )?;
                (tls, certificates.ca)
            }
        };
        let credentials = credentials::load_or_create(data)?;
        Ok(Self {
            tls,
            trusted,
            authentication: credentials.authentication,
            admin_token: credentials.admin_token,
        })
    }

    /// Writes the kubeconfig, unless the one that is there leads to this server.
    pub(crate) fn write_kubeconfig(&self, data: &DataDir, listening: SocketAddr) -> Result<()> {
        let entries = kubeconfig::Entries {
            server: format!("https://{}", reachable(listening)),
            trusted: &self.trusted,
            token: &self.admin_token,
        };
        match data.read(KUBECONFIG)? {
            Some(text) if entries.are_in(&text) => Ok(()),
            Some(_) | None => data.write(KUBECONFIG, &entries.render()),
        }
    }
}

/// Loads a certificate that somebody else made. Clients are told to trust exactly its chain.
fn given(files: &TlsFiles) -> Result<(TlsIdentity, String)> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (chain, key) = (read(&files.cert)?, read(&files.key)?);
    let tls = TlsIdentity::from_pem(chain.as_bytes(), key.as_bytes()).with_context(|| {
        format!(
            "cannot use {} with {}",
            files.cert.display(),
            files.key.display()
        )
    })?;
    Ok((tls, chain))
}

/// Returns an address that a client on this machine can connect to.
pub(crate) fn reachable(listening: SocketAddr) -> SocketAddr {
    let address = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(address, listening.port())
}

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use storage_core::{Clock, Timestamp};

use crate::data_dir::DataDir;

const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const SERVER_CERT: &str = "server.crt";
const SERVER_KEY: &str = "server.key";
/// What the certificates say, for us: written last, so that without it they are made again.
const NOTES: &str = "certificates.json";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate authority is valid.
const CA_VALID_DAYS: u32 = 3650;
/// How long a server certificate is valid.
const SERVER_VALID_DAYS: u32 = 365;
/// A certificate that ends sooner is made again at the start of the server.
const RENEW_BEFORE_DAYS: u32 = 90;

/// The certificates of a server and its authority, in PEM form.
pub(super) struct Certificates {
    pub(super) ca: String,
    pub(super) server: String,
    pub(super) key: String,
}

/// What is needed to know whether the certificates still serve.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Notes {
    ca_ends_unix_ms: u64,
    server_ends_unix_ms: u64,
    server_names: Vec<String>,
}

/// Loads the certificates, or makes those that are missing, about to end, or for other names.
pub(super) fn load_or_create(
    data: &DataDir,
    listen: IpAddr,
    clock: &dyn Clock,
) -> Result<Certificates> {
    let now = clock.now();
    let names = names(listen);
    let notes = match data.read(NOTES)? {
        Some(text) => serde_json::from_str::<Notes>(&text).ok(),
        None => None,
    };
    let authority = match notes
        .as_ref()
        .filter(|notes| lasts(notes.ca_ends_unix_ms, now))
    {
        Some(notes) => Authority::load(data, notes.ca_ends_unix_ms)?,
        None => None,
    };
    let authority = match authority {
        Some(authority) => {
            let valid = |n: &&Notes| lasts(n.server_ends_unix_ms, now) && n.server_names == names;
            let pair = (data.read(SERVER_CERT)?, data.read(SERVER_KEY)?);
            if let (Some(_), (Some(server), Some(key))) = (notes.as_ref().filter(valid), pair) {
                let ca = authority.pem;
                return Ok(Certificates { ca, server, key });
            }
            authority
        }
        None => Authority::create(data, now)?,
    };
    authority.issue(data, names, now)
}

struct Authority {
    pem: String,
    key: KeyPair,
    ends: u64,
}

impl Authority {
    fn load(data: &DataDir, ends: u64) -> Result<Option<Self>> {
        let (Some(pem), Some(key)) = (data.read(CA_CERT)?, data.read(CA_KEY)?) else {
            return Ok(None);
        };
        let key = KeyPair::from_pem(&key)
            .with_context(|| format!("cannot read {}", data.file(CA_KEY).display()))?;
        Ok(Some(Self { pem, key, ends }))
    }

    fn create(data: &DataDir, now: Timestamp) -> Result<Self> {
        let key = KeyPair::generate()?;
        let ends = now.saturating_add(DAY * CA_VALID_DAYS);
        let mut params = Self::params();
        set_validity(&mut params, now, ends)?;
        let pem = params.self_signed(&key)?.pem();
        data.write(CA_KEY, &key.serialize_pem())?;
        data.write(CA_CERT, &pem)?;
        let ends = ends.as_millis();
        Ok(Self { pem, key, ends })
    }

    /// Everything that a certificate needs to know of the authority that issues it.
    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "unistore authority");
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params
    }

    fn issue(self, data: &DataDir, names: Vec<String>, now: Timestamp) -> Result<Certificates> {
        let ends = now.saturating_add(DAY * SERVER_VALID_DAYS);
        let ends = ends.min(Timestamp::from_millis(self.ends));
        let mut params = CertificateParams::new(names.clone())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "unistore");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, now, ends)?;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(Self::params(), &self.key);
        let server = params.signed_by(&key, &issuer)?.pem();
        let notes = Notes {
            ca_ends_unix_ms: self.ends,
            server_ends_unix_ms: ends.as_millis(),
            server_names: names,
        };
        data.write(SERVER_KEY, &key.serialize_pem())?;
        data.write(SERVER_CERT, &server)?;
        data.write(NOTES, &serde_json::to_string_pretty(&notes)?)?;
        Ok(Certificates {
            ca: self.pem,
            server,
            key: key.serialize_pem(),
        })
    }
}

/// Returns the names that clients may call the server by.
fn names(listen: IpAddr) -> Vec<String> {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let mut names: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    for name in [host, listen.to_string()] {
        let is_name = !name.is_empty() && name.is_ascii() && !name.contains(char::is_whitespace);
        if is_name && !listen_to_all(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn listen_to_all(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

fn lasts(ends_unix_ms: u64, now: Timestamp) -> bool {
    Timestamp::from_millis(ends_unix_ms) > now.saturating_add(DAY * RENEW_BEFORE_DAYS)
}

/// Sets from yesterday, since clocks differ, to a day.
fn set_validity(params: &mut CertificateParams, now: Timestamp, ends: Timestamp) -> Result<()> {
    let day = |time: Timestamp| -> Result<_> {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(time.as_millis())?)?;
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        let (month, day) = (u8::try_from(date.month())?, u8::try_from(date.day())?);
        Ok(date_time_ymd(date.year().into(), month, day))
    };
    params.not_before = day(now.saturating_sub(DAY))?;
    params.not_after = day(ends)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use storage_core::ManualClock;

    use super::*;

    fn start() -> ManualClock {
        ManualClock::new(Timestamp::from_millis(1_800_000_000_000))
    }

    fn load(data: &DataDir, clock: &ManualClock) -> Certificates {
        load_or_create(data, IpAddr::from([127, 0, 0, 1]), clock).unwrap()
    }

    #[test]
    fn certificates_are_kept_until_they_are_about_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let clock = start();
        let first = load(&data, &clock);
        clock.advance(DAY * (SERVER_VALID_DAYS - RENEW_BEFORE_DAYS - 1));
        let second = load(&data, &clock);
        assert_eq!(
            (&first.ca, &first.server, &first.key),
            (&second.ca, &second.server, &second.key)
        );
        clock.advance(DAY * 2);
        let third = load(&data, &clock);
        assert_eq!(first.ca, third.ca);
        assert_ne!(first.server, third.server);
        clock.advance(DAY * CA_VALID_DAYS);
        assert_ne!(first.ca, load(&data, &clock).ca);
    }

    #[test]
    fn another_address_gets_another_certificate_of_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let clock = start();
        let first = load(&data, &clock);
        let second = load_or_create(&data, IpAddr::from([192, 0, 2, 1]), &clock).unwrap();
        assert_eq!(first.ca, second.ca);
        assert_ne!(first.server, second.server);
    }

    #[test]
    fn what_a_crash_left_incomplete_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let clock = start();
        let first = load(&data, &clock);
        std::fs::remove_file(data.file(SERVER_KEY)).unwrap();
        let second = load(&data, &clock);
        assert_eq!(first.ca, second.ca);
        assert_ne!(first.key, second.key);
        std::fs::remove_file(data.file(NOTES)).unwrap();
        load(&data, &clock);
    }
}

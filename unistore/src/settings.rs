//! What the server is told: flags and environment first, then the file, then defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use dualwriter::DualWriterConfig;
use storage_core::Retention;
use unistore::{StoreUrl, registry};

use crate::cli::{LogArguments, LogFormat, ServeArguments, UnifiedStorageArguments};
use crate::config_file::{self, ConfigFile};
use crate::unified_storage;

/// Where the server listens unless told otherwise: reachable from this machine only.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// The folder of the server's files unless told otherwise.
pub(crate) const DATA_DIR: &str = "unistore-data";

/// How often the past is tidied unless told otherwise.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// Every setting of the file, as section and key, but for the modes of kinds. An environment
/// variable for each is `UNISTORE_SECTION_KEY`.
pub(crate) const KEYS: [(&str, &str); 18] = [
    ("server", "listen"),
    ("server", "data_dir"),
    ("server", "tls_cert"),
    ("server", "tls_key"),
    ("storage", "store"),
    ("storage", "legacy"),
    ("unified_storage", "enable_data_sync"),
    ("unified_storage", "data_sync_interval"),
    ("unified_storage", "data_sync_records_limit"),
    ("unified_storage", "skip_data_sync"),
    ("retention", "changes_age_min"),
    ("retention", "changes_age_max"),
    ("retention", "changes_max"),
    ("retention", "history_per_object"),
    ("retention", "trash_age_max"),
    ("retention", "interval"),
    ("log", "filter"),
    ("log", "format"),
];

/// All that `serve` needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) store: StoreUrl,
    pub(crate) legacy: Option<Legacy>,
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) retention: Retention,
    pub(crate) retention_interval: Duration,
}

/// The store to move away from, and how.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) store: StoreUrl,
    pub(crate) config: DualWriterConfig,
}

impl Legacy {
    /// Brings together what is said about it.
    pub(crate) fn new(
        given: Option<StoreUrl>,
        sync: UnifiedStorageArguments,
        file: &ConfigFile,
    ) -> Result<Option<Self>> {
        let given = match given {
            Some(given) => Some(given),
            None => unified_storage::legacy_by_short_name()?,
        };
        let config = unified_storage::config(sync, file, config_file::variables())?;
        match file.or(given, "storage", "legacy")? {
            Some(store) => Ok(Some(Self { store, config })),
            None if config == DualWriterConfig::default() => Ok(None),
            None => bail!(
                "[unified_storage] is about moving from one store to another: name the one to move \
                 away from with --legacy, or leave the section out"
            ),
        }
    }
}

/// The files of a certificate that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Settings {
    /// Brings flags, environment and file together.
    pub(crate) fn new(arguments: ServeArguments, file: &ConfigFile) -> Result<Self> {
        let data_dir = file.or(arguments.data_dir, "server", "data_dir")?;
        let data_dir = data_dir.unwrap_or_else(|| DATA_DIR.into());
        let store = file.or(arguments.stores.store, "storage", "store")?;
        let legacy = Legacy::new(arguments.stores.legacy, arguments.unified_storage, file)?;
        let cert: Option<PathBuf> = file.or(arguments.tls_cert, "server", "tls_cert")?;
        let tls = match (cert, file.or(arguments.tls_key, "server", "tls_key")?) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (Some(_), None) => bail!("--tls-cert needs --tls-key: the certificate's private key"),
            (None, Some(_)) => bail!("--tls-key needs --tls-cert: the key's certificate"),
        };
        let given = arguments.retention;
        let interval = file.or(given.retention_interval, "retention", "interval")?;
        let listen = file.or(arguments.listen, "server", "listen")?;
        let defaults = Retention::default();
        Ok(Self {
            store: match store {
                Some(store) => store,
                None => default_store(&data_dir)?,
            },
            legacy,
            listen: listen.unwrap_or(LISTEN),
            data_dir,
            tls,
            retention: Retention {
                changes_age_min: file
                    .or(given.changes_age_min, "retention", "changes_age_min")?
                    .map_or(defaults.changes_age_min, |age| age.0),
                changes_age_max: file
                    .or(given.changes_age_max, "retention", "changes_age_max")?
                    .map_or(defaults.changes_age_max, |limit| limit.0.map(|age| age.0)),
                changes_max: file
                    .or(given.changes_max, "retention", "changes_max")?
                    .map_or(defaults.changes_max, |limit| limit.0),
                history_per_object: file
                    .or(given.history_per_object, "retention", "history_per_object")?
                    .map_or(defaults.history_per_object, |limit| limit.0),
                trash_age_max: file
                    .or(given.trash_age_max, "retention", "trash_age_max")?
                    .map_or(defaults.trash_age_max, |limit| limit.0.map(|age| age.0)),
                step_max: defaults.step_max,
            },
            retention_interval: interval.map_or(RETENTION_INTERVAL, |age: Age| age.0),
        })
    }
}

/// What is logged, and how.
#[derive(Debug)]
pub(crate) struct LogSettings {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

impl LogSettings {
    /// Brings flags, environment and file together.
    pub(crate) fn new(
        arguments: &LogArguments,
        file: &ConfigFile,
        default_filter: &str,
    ) -> Result<Self> {
        let filter = file.or(arguments.log_filter.clone(), "log", "filter")?;
        let format = file.or(arguments.log_format, "log", "format")?;
        Ok(Self {
            filter: filter.unwrap_or_else(|| default_filter.into()),
            format: format.unwrap_or_default(),
        })
    }
}

/// Returns the embedded store of this binary that is first in its list.
fn default_store(data_dir: &std::path::Path) -> Result<StoreUrl> {
    let Some(engine) = registry::engines().iter().find(|engine| engine.embedded) else {
        bail!("this binary has no embedded engine: name a store with --store");
    };
    let path = data_dir.join(format!("store.{}", engine.scheme));
    Ok(format!("{}:{}", engine.scheme, path.display()).parse()?)
}

/// A time span as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = humantime::parse_duration(text);
        let age = parsed.map_err(|error| format!("{error}; a time is 90s, 15m, 12h or 30d"))?;
        if age.is_zero() {
            return Err("a time must be longer than nothing".into());
        }
        Ok(Self(age))
    }
}

/// A limit that may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit<T>(pub(crate) Option<T>);

impl<T: FromStr<Err: std::fmt::Display>> FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self(None));
        }
        let limit = text
            .parse()
            .map_err(|error: T::Err| format!("{error}; or `unlimited`"))?;
        Ok(Self(Some(limit)))
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        clap::ValueEnum::from_str(text, false).map_err(|_| "it must be text or json".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn settings(flags: &[&str], file: &str) -> Result<Settings> {
        let arguments = [&["unistore", "serve"], flags].concat();
        let Command::Serve(serve) = Arguments::try_parse_from(arguments)?.command else {
            bail!("not serve");
        };
        Settings::new(*serve, &ConfigFile::parse("test.ini", file)?)
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let file = "[server]\nlisten = 127.0.0.1:1\n[storage]\nstore = memory:\n";
        let read = settings(&["--listen", "127.0.0.1:2"], file).unwrap();
        assert_eq!(read.listen.port(), 2);
        assert_eq!(read.store.secret(), "memory:");
        assert_eq!(read.data_dir, PathBuf::from(DATA_DIR));
        assert_eq!(read.retention, Retention::default());
        let read = settings(&["--store", "memory:"], "").unwrap();
        assert_eq!(read.listen, LISTEN);
    }

    #[test]
    fn retention_is_read_from_both() {
        let flags = [
            "--store=memory:",
            "--history-per-object=unlimited",
            "--changes-age-min=90s",
        ];
        let file = "[retention]\ntrash_age_max = 1d\nchanges_max = 7\ninterval = 5s\n";
        let read = settings(&flags, file).unwrap();
        let expected = Retention {
            changes_age_min: Duration::from_secs(90),
            changes_max: Some(7),
            history_per_object: None,
            trash_age_max: Some(Duration::from_secs(86_400)),
            ..Retention::default()
        };
        assert_eq!(read.retention, expected);
        assert_eq!(read.retention_interval, Duration::from_secs(5));
    }

    #[test]
    fn half_a_certificate_is_refused() {
        let error = settings(&["--store=memory:", "--tls-cert=a"], "").unwrap_err();
        assert!(error.to_string().contains("--tls-key"), "{error}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused_with_what_does() {
        for flag in [
            "--changes-age-min=0s",
            "--changes-max=many",
            "--retention-interval=5 parsecs",
        ] {
            settings(&["--store=memory:", flag], "").unwrap_err();
        }
        let error =
            settings(&["--store=memory:"], "[retention]\nchanges_max = many\n").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "test.ini:2: [retention] changes_max: invalid digit found in string; or `unlimited`"
        );
    }
}

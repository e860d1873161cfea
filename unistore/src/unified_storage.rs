//! The settings of the dual writer: how the sync runs, and which mode each kind should be in.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use dualwriter::{
    DataSync, DualWriterConfig, Kind, Mode, SYNC_INTERVAL_MIN, SYNC_RECORDS_LIMIT_MAX, SyncGate,
    parse_duration, parse_section,
};
use unistore::StoreUrl;
use unistore::resource::Kinds;

use crate::cli::UnifiedStorageArguments;
use crate::config_file::ConfigFile;

/// How the sections of kinds start.
pub(crate) const SECTION_PREFIX: &str = "unified_storage.";
/// The only key of such a section.
const MODE_KEY: &str = "dualWriterMode";
/// How the variables of modes start and end.
const VARIABLE_PREFIX: &str = "UNISTORE_UNIFIED_STORAGE_";
const VARIABLE_SUFFIX: &str = "_DUALWRITERMODE";
/// The short name of `UNISTORE_STORAGE_LEGACY`.
const LEGACY_VARIABLE: &str = "UNISTORE_LEGACY";

/// Brings flags, environment and file together.
pub(crate) fn config(
    given: UnifiedStorageArguments,
    file: &ConfigFile,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<DualWriterConfig> {
    const SECTION: &str = "unified_storage";
    let enabled = file.or(given.enable_data_sync, SECTION, "enable_data_sync")?;
    let interval = file.or(given.data_sync_interval, SECTION, "data_sync_interval")?;
    let limit = file.or(
        given.data_sync_records_limit,
        SECTION,
        "data_sync_records_limit",
    )?;
    let skipped = file.or(given.skip_data_sync, SECTION, "skip_data_sync")?;
    let mut config = DualWriterConfig {
        data_sync: match enabled {
            None | Some(true) => DataSync::Enabled,
            Some(false) => DataSync::Disabled,
        },
        sync_gate: match skipped {
            None | Some(false) => SyncGate::Enforced,
            Some(true) => SyncGate::Skipped,
        },
        ..DualWriterConfig::default()
    };
    if let Some(SyncInterval(interval)) = interval {
        config.data_sync_interval = interval;
    }
    if let Some(SyncRecordsLimit(limit)) = limit {
        config.data_sync_records_limit = limit;
    }
    for section in file.sections_below(SECTION_PREFIX) {
        if let Some(mode) = file.or(None, section, MODE_KEY)? {
            config.modes.insert(parse_section(section)?, mode);
        }
    }
    for (name, value) in environment {
        if let Some(kind) = kind_of_variable(&name) {
            let mode: Mode = value.parse().map_err(|error| anyhow!("{name}: {error}"))?;
            config.modes.insert(kind, mode);
        }
    }
    config.validate()?;
    Ok(config)
}

/// Returns the store that the short name of its variable names.
pub(crate) fn legacy_by_short_name() -> Result<Option<StoreUrl>> {
    let Ok(url) = std::env::var(LEGACY_VARIABLE) else {
        return Ok(None);
    };
    url.parse().map(Some).context(LEGACY_VARIABLE)
}

/// Refuses a section that names no kind.
pub(crate) fn check_section(section: &str) -> Result<(), String> {
    let kind = parse_section(section).map_err(|error| error.context().to_owned())?;
    let kinds = kinds();
    if !kinds.contains(&kind) {
        let sections = kinds.iter().map(|kind| format!("[{SECTION_PREFIX}{kind}]"));
        let sections: Vec<_> = sections.collect();
        return Err(format!(
            "unknown kind in [{section}]; there are {}",
            sections.join(", ")
        ));
    }
    Ok(())
}

/// Refuses a key that the section of a kind does not have.
pub(crate) fn check_key(section: &str, key: &str) -> Result<(), String> {
    if key != MODE_KEY {
        return Err(format!(
            "unknown key {key} in [{section}]; there is {MODE_KEY}"
        ));
    }
    Ok(())
}

/// Tells whether a variable sets the mode of a kind.
pub(crate) fn is_mode_variable(name: &str) -> bool {
    kind_of_variable(name).is_some()
}

/// Returns the variables of modes, if a name without its `UNISTORE_` looks like one.
pub(crate) fn mode_variables_like(setting: &str) -> Vec<String> {
    let is_like = format!("UNISTORE_{setting}").starts_with(VARIABLE_PREFIX);
    let kinds = if is_like { kinds() } else { Vec::new() };
    kinds.iter().map(variable).collect()
}

fn kind_of_variable(name: &str) -> Option<Kind> {
    name.strip_prefix(VARIABLE_PREFIX)?
        .strip_suffix(VARIABLE_SUFFIX)?;
    kinds().into_iter().find(|kind| variable(kind) == name)
}

fn variable(kind: &Kind) -> String {
    let kind = kind.to_string().replace(['.', '-'], "_").to_uppercase();
    format!("{VARIABLE_PREFIX}{kind}{VARIABLE_SUFFIX}")
}

/// Returns the kinds that have a mode.
pub(crate) fn kinds() -> Vec<Kind> {
    let snapshot = Kinds::built_in().snapshot();
    let versions = snapshot.groups().iter().flat_map(|group| &group.versions);
    let kinds = versions.flat_map(|version| &version.kinds);
    let mut kinds: Vec<_> = kinds
        .map(|kind| Kind::new(kind.group(), kind.plural()))
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// A kind by its name: `<resource>.<group>`, or the resource alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KindName(pub(crate) Kind);

impl FromStr for KindName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = kinds();
        let names = |kind: &&Kind| kind.to_string() == text || kind.resource() == text;
        if let Some(kind) = kinds.iter().find(names) {
            return Ok(Self(kind.clone()));
        }
        let known: Vec<_> = kinds.iter().map(ToString::to_string).collect();
        Err(format!("unknown kind; there are {}", known.join(", ")))
    }
}

/// How often a sync runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncInterval(Duration);

impl FromStr for SyncInterval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let interval = parse_duration(text).map_err(|error| error.context().to_owned())?;
        if interval < SYNC_INTERVAL_MIN {
            return Err(format!(
                "{text:?} is too short, at least {SYNC_INTERVAL_MIN:?} is allowed"
            ));
        }
        Ok(Self(interval))
    }
}

/// How many objects a sync compares at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncRecordsLimit(usize);

impl FromStr for SyncRecordsLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let limit = text.parse().unwrap_or(0);
        if limit == 0 || limit > SYNC_RECORDS_LIMIT_MAX {
            return Err(format!(
                "{text:?} is not a number from 1 to {SYNC_RECORDS_LIMIT_MAX}"
            ));
        }
        Ok(Self(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DASHBOARDS: &str = "dashboards.dashboard.grafana.app";
    const VARIABLE: &str =
        "UNISTORE_UNIFIED_STORAGE_DASHBOARDS_DASHBOARD_GRAFANA_APP_DUALWRITERMODE";

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<DualWriterConfig> {
        let file = ConfigFile::parse("a.ini", text)?;
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        config(UnifiedStorageArguments::default(), &file, environment)
    }

    fn error(text: &str) -> String {
        format!("{:#}", read(text, &[]).unwrap_err())
    }

    #[test]
    fn the_source_documents_sections_are_read() {
        let text = format!(
            "[unified_storage]\nenable_data_sync = false\ndata_sync_interval = 15m\n\
             data_sync_records_limit = 7\nskip_data_sync = true\n\
             [unified_storage.{DASHBOARDS}]\ndualWriterMode = 2\n"
        );
        let config = read(&text, &[]).unwrap();
        assert_eq!(config.data_sync, DataSync::Disabled);
        assert_eq!(config.data_sync_interval, Duration::from_secs(900));
        assert_eq!(config.data_sync_records_limit, 7);
        assert_eq!(config.sync_gate, SyncGate::Skipped);
        let dashboards: Kind = DASHBOARDS.parse().unwrap();
        assert_eq!(config.modes[&dashboards], Mode::Two);
        assert_eq!(read("", &[]).unwrap(), DualWriterConfig::default());
        // A variable goes before the file, and needs none.
        for text in [text.as_str(), ""] {
            let config = read(text, &[(VARIABLE, "3")]).unwrap();
            assert_eq!(config.modes[&dashboards], Mode::Three);
        }
    }

    #[test]
    fn errors_name_file_section_key_and_what_is_allowed() {
        for (text, message) in [
            (
                format!("[unified_storage.{DASHBOARDS}]\n; a comment\ndualWriterMode = 6\n"),
                format!(
                    "a.ini:3: [unified_storage.{DASHBOARDS}] dualWriterMode: parse mode: dual \
                     writer mode 6 does not exist, 0 to 5 are allowed"
                ),
            ),
            (
                format!("[unified_storage.{DASHBOARDS}]\nmode = 1\n"),
                format!(
                    "a.ini:2: unknown key mode in [unified_storage.{DASHBOARDS}]; there is \
                     dualWriterMode"
                ),
            ),
            (
                "[unified_storage.dashboard.grafana.app]\ndualWriterMode = 1\n".to_owned(),
                "a.ini:1: unknown kind in [unified_storage.dashboard.grafana.app]; there are \
                 [unified_storage.dashboards.dashboard.grafana.app], \
                 [unified_storage.folders.folder.grafana.app], \
                 [unified_storage.playlists.playlist.grafana.app]"
                    .to_owned(),
            ),
            (
                "[unified_storage]\ndata_sync_interval = 10ms\n".to_owned(),
                "a.ini:2: [unified_storage] data_sync_interval: \"10ms\" is too short, at least \
                 1s is allowed"
                    .to_owned(),
            ),
            (
                "[unified_storage]\ndata_sync_records_limit = 0\n".to_owned(),
                "a.ini:2: [unified_storage] data_sync_records_limit: \"0\" is not a number from \
                 1 to 10000"
                    .to_owned(),
            ),
            (
                "[unified_storage]\nskip_data_sync = maybe\n".to_owned(),
                "a.ini:2: [unified_storage] skip_data_sync: provided string was not `true` or \
                 `false`"
                    .to_owned(),
            ),
        ] {
            assert_eq!(error(&text), message);
        }
        let wrong = read("", &[(VARIABLE, "two")]).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            format!(
                "{VARIABLE}: parse mode: \"two\" is not a dual writer mode, 0 to 5 are allowed"
            )
        );
    }

    #[test]
    fn variables_of_modes_are_known() {
        assert!(is_mode_variable(VARIABLE));
        let misspelt = VARIABLE.replace("DASHBOARDS", "BOARDS");
        assert!(!is_mode_variable(&misspelt));
        assert!(mode_variables_like("UNIFIED_STORAGE_X").contains(&VARIABLE.to_owned()));
        assert!(mode_variables_like("SERVER_X").is_empty());
    }
}

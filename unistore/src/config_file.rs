//! The file of settings: INI, every key known, every error with its line.
//!
//! Read by hand, because an error must name its line and the libraries do not keep it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};

use crate::settings::KEYS;
use crate::unified_storage;

/// Longest file that is read: settings are short, and a wrong path may be anything.
const BYTES_MAX: u64 = 1 << 20;

/// The settings of a file.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    name: String,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    section: String,
    key: String,
    value: String,
    line: usize,
}

impl ConfigFile {
    /// Reads a file; none is an empty one.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let name = path.display().to_string();
        let meta = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
        if meta.len() > BYTES_MAX {
            bail!(
                "{name} has {} bytes, at most {BYTES_MAX} are allowed",
                meta.len()
            );
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        Self::parse(&name, &text)
    }

    /// Reads the text of a file.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self> {
        let mut file = Self {
            name: name.to_owned(),
            entries: Vec::new(),
        };
        let mut section = String::new();
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            let result = match Line::parse(text) {
                Ok(Line::Empty) => Ok(()),
                Ok(Line::Section(name)) => {
                    name.clone_into(&mut section);
                    check_section(name)
                }
                Ok(Line::Setting { key, value }) => file.add(Entry {
                    section: section.clone(),
                    key: key.to_owned(),
                    value: value.to_owned(),
                    line,
                }),
                Err(why) => Err(why),
            };
            result.map_err(|why| anyhow!("{name}:{line}: {why}"))?;
        }
        Ok(file)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let Entry { section, key, .. } = &entry;
        check_key(section, key)?;
        let is_same = |other: &&Entry| other.section == *section && other.key == *key;
        if let Some(first) = self.entries.iter().find(is_same) {
            return Err(format!("{key} is set in line {} already", first.line));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Returns the sections whose names start with a prefix.
    pub(crate) fn sections_below(&self, prefix: &str) -> BTreeSet<&str> {
        let sections = self.entries.iter().map(|entry| entry.section.as_str());
        sections
            .filter(|section| section.starts_with(prefix))
            .collect()
    }

    /// Returns what was given, else what the file says.
    pub(crate) fn or<T>(&self, given: Option<T>, section: &str, key: &str) -> Result<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        let found = |entry: &&Entry| entry.section == section && entry.key == key;
        match (given, self.entries.iter().find(found)) {
            (None, Some(entry)) => {
                let (name, line) = (&self.name, entry.line);
                let value = entry.value.parse();
                value
                    .map(Some)
                    .map_err(|error| anyhow!("{name}:{line}: [{section}] {key}: {error}"))
            }
            (given, _) => Ok(given),
        }
    }
}

/// One line.
enum Line<'a> {
    Empty,
    Section(&'a str),
    Setting { key: &'a str, value: &'a str },
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let text = without_comment(text).trim();
        if text.is_empty() {
            return Ok(Self::Empty);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let name = rest.strip_suffix(']').ok_or("a section is [NAME]")?;
            return Ok(Self::Section(name.trim()));
        }
        let (key, value) = text.split_once('=').ok_or("a setting is KEY = VALUE")?;
        Ok(Self::Setting {
            key: key.trim(),
            value: unquoted(value.trim()),
        })
    }
}

/// A comment starts with `;` or `#`, at the start of a line or after a space.
fn without_comment(text: &str) -> &str {
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        if matches!(c, ';' | '#') && before.is_whitespace() {
            return &text[..index];
        }
        before = c;
    }
    text
}

fn unquoted(value: &str) -> &str {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

fn check_section(section: &str) -> Result<(), String> {
    if section.starts_with(unified_storage::SECTION_PREFIX) {
        return unified_storage::check_section(section);
    }
    if KEYS.iter().any(|(known, _)| *known == section) {
        return Ok(());
    }
    Err(format!(
        "unknown section [{section}]; there are {}",
        sections().join(", ")
    ))
}

/// Refuses a key that a known section does not have.
fn check_key(section: &str, key: &str) -> Result<(), String> {
    if section.is_empty() {
        return Err(format!("{key} stands before the first section"));
    }
    if section.starts_with(unified_storage::SECTION_PREFIX) {
        return unified_storage::check_key(section, key);
    }
    if KEYS.contains(&(section, key)) {
        return Ok(());
    }
    let in_section = KEYS.iter().filter(|(known, _)| *known == section);
    let keys: Vec<_> = in_section.map(|(_, key)| *key).collect();
    Err(format!(
        "unknown key {key} in [{section}]; there are {}",
        keys.join(", ")
    ))
}

fn sections() -> Vec<String> {
    let mut sections: Vec<_> = KEYS
        .iter()
        .map(|(section, _)| format!("[{section}]"))
        .collect();
    sections.dedup();
    sections.push(format!(
        "[{}RESOURCE.GROUP]",
        unified_storage::SECTION_PREFIX
    ));
    sections
}

/// Returns the environment, but for what is not UTF-8 and so no setting.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text)
}

/// Fails on a variable that looks like a setting and is none.
pub(crate) fn check_environment(names: impl Iterator<Item = String>) -> Result<()> {
    for name in names {
        let Some(setting) = name.strip_prefix("UNISTORE_") else {
            continue;
        };
        let is_key =
            |(section, key): &(&str, &str)| setting == format!("{section}_{key}").to_uppercase();
        let in_section = |(section, _): &(&str, &str)| {
            setting
                .strip_prefix(&section.to_uppercase())
                .is_some_and(|rest| rest.starts_with('_'))
        };
        if KEYS.iter().any(in_section)
            && !KEYS.iter().any(is_key)
            && !unified_storage::is_mode_variable(&name)
        {
            let known: Vec<_> = KEYS
                .iter()
                .filter(|key| in_section(key))
                .map(|(section, key)| {
                    format!("UNISTORE_{}_{}", section.to_uppercase(), key.to_uppercase())
                })
                .chain(unified_storage::mode_variables_like(setting))
                .collect();
            bail!(
                "unknown setting {name} in the environment; there are {}",
                known.join(", ")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        format!("{:#}", ConfigFile::parse("a.ini", text).unwrap_err())
    }

    #[test]
    fn unknown_names_are_refused_with_their_line() {
        assert_eq!(
            error("; comment\n[server]\nlisten = 127.0.0.1:1\nlisten_on = x\n"),
            "a.ini:4: unknown key listen_on in [server]; there are listen, data_dir, tls_cert, tls_key"
        );
        assert_eq!(
            error("[serve]\nlisten = 127.0.0.1:1\n"),
            "a.ini:1: unknown section [serve]; there are [server], [storage], \
             [unified_storage], [retention], [log], [unified_storage.RESOURCE.GROUP]"
        );
        assert_eq!(
            error("[storage]\nstore = memory:\n\nstore = memory:\n"),
            "a.ini:4: store is set in line 2 already"
        );
        // Without a key nobody looked at its name.
        let error_without_key = error("[server]\n\n[nonsense]\n");
        assert!(
            error_without_key
                .starts_with("a.ini:3: unknown section [nonsense]; there are [server]"),
            "{error_without_key}"
        );
        assert_eq!(
            error("[unified_storage.x.y]"),
            "a.ini:1: unknown kind in [unified_storage.x.y]; there are \
             [unified_storage.dashboards.dashboard.grafana.app], \
             [unified_storage.folders.folder.grafana.app], \
             [unified_storage.playlists.playlist.grafana.app]"
        );
        assert!(error("[]").starts_with("a.ini:1: unknown section []"));
        assert_eq!(error("[server\n"), "a.ini:1: a section is [NAME]");
        assert_eq!(
            error("[server]\nlisten\n"),
            "a.ini:2: a setting is KEY = VALUE"
        );
        assert_eq!(
            error("listen = 127.0.0.1:1"),
            "a.ini:1: listen stands before the first section"
        );
    }

    #[test]
    fn values_are_taken_as_they_stand() {
        let text = "[storage]\nstore = postgres://u:p=1;x@h/d?a=b ; or another\n\
                    [server]\n# a comment\ndata_dir = \"/a b/\\x\"\n";
        let file = ConfigFile::parse("a.ini", text).unwrap();
        let store: Option<String> = file.or(None, "storage", "store").unwrap();
        assert_eq!(store.as_deref(), Some("postgres://u:p=1;x@h/d?a=b"));
        let folder: Option<String> = file.or(None, "server", "data_dir").unwrap();
        assert_eq!(folder.as_deref(), Some("/a b/\\x"));
        let given = file
            .or(Some("flag".to_owned()), "storage", "store")
            .unwrap();
        assert_eq!(given.as_deref(), Some("flag"));
    }

    #[test]
    fn misspelt_variables_are_refused() {
        let check = |name: &str| check_environment(std::iter::once(name.to_owned()));
        for fine in [
            "UNISTORE_SERVER_LISTEN",
            "UNISTORE_TEST_POSTGRES",
            "UNISTORE_CONFIG",
            "HOME",
        ] {
            check(fine).unwrap();
        }
        let error = check("UNISTORE_SERVER_LISTN").unwrap_err().to_string();
        assert!(error.contains("UNISTORE_SERVER_LISTEN,"), "{error}");
    }
}

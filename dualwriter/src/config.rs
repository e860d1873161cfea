use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use storage_core::{Clock, Error, Result, SystemClock};

use crate::{Kind, Mode};

/// Most records that one step of a sync or a verification may look at.
pub const SYNC_RECORDS_LIMIT_MAX: usize = 10_000;
/// Shortest interval between two syncs.
pub const SYNC_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The space of a dual writer that is not below or above another one.
pub const SPACE: &str = "dual";
/// Shortest lease of an instance; a shorter one would be lost to an ordinary pause.
pub const LEASE_MIN: Duration = Duration::from_millis(100);

/// The `[unified_storage]` settings, typed. Reading the file is the binary's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DualWriterConfig {
    /// `[unified_storage.<resource>.<group>] dualWriterMode`: what is asked for. The stored state
    /// is the truth; a difference is settled by [`DualWriter::apply_config`](crate::DualWriter).
    pub modes: BTreeMap<Kind, Mode>,
    /// The mode of a kind that has no state and none of its own here. It is stored at the first
    /// open and stays what it was then.
    pub default_mode: Mode,
    /// `enable_data_sync`: whether the sync runs by itself.
    pub data_sync: DataSync,
    /// `data_sync_interval`.
    pub data_sync_interval: Duration,
    /// `data_sync_records_limit`: how many records one batch of a sync has. It is no cap.
    pub data_sync_records_limit: usize,
    /// `skip_data_sync`: what a gate that asks for a sync does without one.
    pub sync_gate: SyncGate,
}

/// Whether the sync runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSync {
    /// At its interval, for each kind whose mode has it run.
    Enabled,
    /// Only when it is asked for.
    Disabled,
}

/// What a gate that asks for a completed sync does without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncGate {
    /// It is shut.
    Enforced,
    /// It opens, and says so loudly (`skip_data_sync = true`).
    Skipped,
}

impl Default for DualWriterConfig {
    fn default() -> Self {
        Self {
            modes: BTreeMap::new(),
            default_mode: Mode::Zero,
            data_sync: DataSync::Enabled,
            data_sync_interval: Duration::from_secs(60 * 60),
            data_sync_records_limit: 1000,
            sync_gate: SyncGate::Enforced,
        }
    }
}

impl DualWriterConfig {
    /// Asks for one mode for every kind.
    #[must_use]
    pub fn everything(mode: Mode) -> Self {
        Self {
            default_mode: mode,
            ..Self::default()
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// `Invalid`, with the name of the setting and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::invalid("configure the dual writer", why));
        if self.data_sync_interval < SYNC_INTERVAL_MIN {
            return refuse(format!(
                "data_sync_interval is {:?}, at least {SYNC_INTERVAL_MIN:?} is allowed",
                self.data_sync_interval
            ));
        }
        let limit = self.data_sync_records_limit;
        if limit == 0 || limit > SYNC_RECORDS_LIMIT_MAX {
            return refuse(format!(
                "data_sync_records_limit is {limit}, 1 to {SYNC_RECORDS_LIMIT_MAX} are allowed"
            ));
        }
        Ok(())
    }
}

/// Reads a section's name, `unified_storage.<resource>.<group>`. The group may hold dots; the
/// source document's form with a kind between resource and group is not ours to guess.
///
/// # Errors
/// `Invalid` if it is not such a name.
pub fn parse_section(section: &str) -> Result<Kind> {
    let rest = section.strip_prefix("unified_storage.").unwrap_or_default();
    rest.parse().map_err(|_| {
        let context = format!("{section:?} is not unified_storage.<resource>.<group>");
        Error::invalid("configure the dual writer", context)
    })
}

/// Reads a duration: a number and one of `ms`, `s`, `m`, `h`, `d`, or several of these, as `1h30m`.
///
/// # Errors
/// `Invalid`, naming the text and what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let refuse = || {
        let context = format!("{text:?} is not a duration, such as 90s, 15m, 1h or 1h30m");
        Error::invalid("parse duration", context)
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refuse());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(refuse)?;
        let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit_ms: u64 = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(refuse()),
        };
        let ms = number.checked_mul(unit_ms).ok_or_else(refuse)?;
        total = total
            .checked_add(Duration::from_millis(ms))
            .ok_or_else(refuse)?;
        rest = &rest[unit..];
    }
    Ok(total)
}

/// How a dual writer behaves as a process among others. The defaults are for production.
#[derive(Clone, Debug)]
pub struct Options {
    /// The settings.
    pub config: DualWriterConfig,
    /// Tells the time of records and of what people read. Safety does not rest on it.
    pub clock: Arc<dyn Clock>,
    /// Names this process, differently at each start and from all others.
    pub instance: InstanceId,
    /// The first part of the names of our control records. Dual writers that share a store, one
    /// on top of the other, need different ones.
    pub space: &'static str,
    /// How long a process may answer reads without having looked whether the mode changed.
    pub lease: Duration,
    /// How long an unfinished write of another process is left alone before it is helped along.
    pub help_after: Duration,
    /// How long a read or write waits for another one or for a change of mode before it is refused
    /// as `Unavailable`.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: DualWriterConfig::default(),
            clock: Arc::new(SystemClock),
            instance: InstanceId::random(),
            space: SPACE,
            lease: Duration::from_secs(5),
            help_after: Duration::from_millis(250),
            patience: Duration::from_secs(5),
        }
    }
}

impl Options {
    /// Returns options with these settings.
    #[must_use]
    pub fn new(config: DualWriterConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.config.validate()?;
        let refuse = |why: String| Err(Error::invalid("configure the dual writer", why));
        if self.lease < LEASE_MIN {
            return refuse(format!(
                "the lease is {:?}, at least {LEASE_MIN:?} is allowed",
                self.lease
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.space.is_empty() || self.space.len() > 32 || !self.space.chars().all(plain) {
            return refuse(format!(
                "the space is {:?}, 1 to 32 letters, digits and dashes are allowed",
                self.space
            ));
        }
        Ok(())
    }
}

/// Names one start of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u128);

impl InstanceId {
    /// Returns a name that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        // Each `RandomState` of the standard library is seeded by the system.
        let word = || u128::from(RandomState::new().build_hasher().finish());
        Self(word() << 64 | word())
    }
}

impl std::fmt::Display for InstanceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, ms) in [
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("90s", 90_000),
            ("250ms", 250),
            (" 2d ", 172_800_000),
        ] {
            assert_eq!(parse_duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for text in ["", "1", "h", "1w", "-1h", "1h x", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn sections_name_kinds() {
        let kind = parse_section("unified_storage.dashboards.dashboard.grafana.app").unwrap();
        assert_eq!(kind, Kind::new("dashboard.grafana.app", "dashboards"));
        assert_eq!(
            parse_section("unified_storage.pods").unwrap(),
            Kind::new("", "pods")
        );
        for section in [
            "unified_storage",
            "unified_storage.",
            "unified_storage..g",
            "x.a.b",
        ] {
            assert!(parse_section(section).is_err(), "{section:?} was taken");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let config = DualWriterConfig {
            data_sync_records_limit: 0,
            ..DualWriterConfig::default()
        };
        let text = config.validate().unwrap_err().to_string();
        assert!(text.contains("data_sync_records_limit is 0"), "{text}");
        let config = DualWriterConfig {
            data_sync_interval: Duration::ZERO,
            ..DualWriterConfig::default()
        };
        let text = config.validate().unwrap_err().to_string();
        assert!(text.contains("data_sync_interval"), "{text}");
        DualWriterConfig::default().validate().unwrap();
    }

    #[test]
    fn instances_have_different_names() {
        assert_ne!(InstanceId::random(), InstanceId::random());
    }
}

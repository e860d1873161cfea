use std::fmt;
use std::str::FromStr;

use storage_core::{Error, Result};

/// How far a kind has moved from the legacy store to the unified store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Legacy only.
    Zero,
    /// Legacy, and unified as well as it can.
    One,
    /// Both stores; legacy is read and decides.
    Two,
    /// Both stores; unified is read and decides.
    Three,
    /// Unified only, after a completed sync.
    Four,
    /// Unified only, whatever was synced.
    Five,
}

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The store that a kind moves away from.
    Legacy,
    /// The store that a kind moves to.
    Unified,
}

/// Where reads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Legacy.
    Legacy,
    /// Legacy; unified is read in the background and differences are counted.
    LegacyShadowed,
    /// Legacy, after unified was read as well: an absent object is ignored, an error is returned.
    LegacyVerified,
    /// Unified; an object that unified never had is looked for in legacy.
    UnifiedWithFallback,
    /// Unified.
    Unified,
}

/// Where writes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Legacy.
    Legacy,
    /// Legacy, then unified in the background by a bounded queue.
    LegacyThenQueue,
    /// Both, by the journal; legacy decides preconditions.
    JournalLegacyDecides,
    /// Both, by the journal; unified decides preconditions.
    JournalUnifiedDecides,
    /// Unified.
    Unified,
}

/// What becomes of an error of the unified store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnifiedErrors {
    /// There are none: unified is not used.
    None,
    /// Counted and logged, never returned; the sync mark is cleared.
    Counted,
    /// Returned; legacy is left as it was.
    ReturnedBeforeLegacy,
    /// Returned.
    Returned,
}

/// What the sync has to do with the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncing {
    /// None.
    None,
    /// Runs at its interval.
    Runs,
    /// A completed one opens the gate to this mode.
    Gate,
    /// None: the mode is forced.
    Forced,
}

/// What a mode does: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where reads go.
    pub reads: Reads,
    /// Where writes go.
    pub writes: Writes,
    /// What becomes of an error of the unified store.
    pub unified_errors: UnifiedErrors,
    /// What the sync has to do with the mode.
    pub syncing: Syncing,
}

impl Mode {
    /// All modes, lowest first.
    pub const ALL: [Self; 6] = [
        Self::Zero,
        Self::One,
        Self::Two,
        Self::Three,
        Self::Four,
        Self::Five,
    ];

    /// Returns what the mode does. Everything that depends on a mode asks this table.
    #[must_use]
    pub const fn policy(self) -> Policy {
        let (reads, writes, unified_errors, syncing) = match self {
            Self::Zero => (
                Reads::Legacy,
                Writes::Legacy,
                UnifiedErrors::None,
                Syncing::None,
            ),
            Self::One => (
                Reads::LegacyShadowed,
                Writes::LegacyThenQueue,
                UnifiedErrors::Counted,
                Syncing::Runs,
            ),
            Self::Two => (
                Reads::LegacyVerified,
                Writes::JournalLegacyDecides,
                UnifiedErrors::ReturnedBeforeLegacy,
                Syncing::Runs,
            ),
            Self::Three => (
                Reads::UnifiedWithFallback,
                Writes::JournalUnifiedDecides,
                UnifiedErrors::ReturnedBeforeLegacy,
                Syncing::Gate,
            ),
            Self::Four => (
                Reads::Unified,
                Writes::Unified,
                UnifiedErrors::Returned,
                Syncing::Gate,
            ),
            Self::Five => (
                Reads::Unified,
                Writes::Unified,
                UnifiedErrors::Returned,
                Syncing::Forced,
            ),
        };
        Policy {
            reads,
            writes,
            unified_errors,
            syncing,
        }
    }

    /// Returns the store that answers reads, and whose revisions callers see.
    #[must_use]
    pub const fn read_side(self) -> Side {
        match self.policy().reads {
            Reads::Legacy | Reads::LegacyShadowed | Reads::LegacyVerified => Side::Legacy,
            Reads::UnifiedWithFallback | Reads::Unified => Side::Unified,
        }
    }

    /// Returns the store whose control record of the kind is the truth in this mode: one that the
    /// mode cannot do without.
    #[must_use]
    pub const fn home(self) -> Side {
        match self.policy().writes {
            Writes::Legacy | Writes::LegacyThenQueue => Side::Legacy,
            Writes::JournalLegacyDecides | Writes::JournalUnifiedDecides | Writes::Unified => {
                Side::Unified
            }
        }
    }

    /// Tells whether every acknowledged write of this mode is in the store of `side`.
    #[must_use]
    pub const fn writes_reach(self, side: Side) -> bool {
        match (self.policy().writes, side) {
            (Writes::JournalLegacyDecides | Writes::JournalUnifiedDecides, _)
            | (Writes::Legacy | Writes::LegacyThenQueue, Side::Legacy)
            | (Writes::Unified, Side::Unified) => true,
            (Writes::Legacy | Writes::LegacyThenQueue, Side::Unified)
            | (Writes::Unified, Side::Legacy) => false,
        }
    }

    /// Returns the number of the mode.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
            Self::Five => 5,
        }
    }

    /// Returns the mode with this number.
    ///
    /// # Errors
    /// `Invalid` above 5.
    pub fn from_number(number: u8) -> Result<Self> {
        Self::ALL.get(usize::from(number)).copied().ok_or_else(|| {
            let context = format!("dual writer mode {number} does not exist, 0 to 5 are allowed");
            Error::invalid("parse mode", context)
        })
    }
}

impl Side {
    /// Returns the other store.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Unified,
            Self::Unified => Self::Legacy,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Unified => "unified",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.trim().parse::<u8>().map_err(|_| {
            let context = format!("{text:?} is not a dual writer mode, 0 to 5 are allowed");
            Error::invalid("parse mode", context)
        })?;
        Self::from_number(number)
    }
}

impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::LegacyShadowed => "legacy; unified read in the background, differences counted",
            Self::LegacyVerified => {
                "legacy, after a verification read of unified: not found is ignored, \
                 other errors are returned"
            }
            Self::UnifiedWithFallback => "unified; legacy on not found, but never past a tombstone",
            Self::Unified => "unified",
        })
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::LegacyThenQueue => "legacy, then unified in the background by a bounded queue",
            Self::JournalLegacyDecides => "legacy, then unified; legacy decides preconditions",
            Self::JournalUnifiedDecides => "legacy, then unified; unified decides preconditions",
            Self::Unified => "unified",
        })
    }
}

impl fmt::Display for UnifiedErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Counted => "counted and logged, never returned; the sync mark is cleared",
            Self::ReturnedBeforeLegacy => "returned; legacy is left as it was",
            Self::Returned => "returned",
        })
    }
}

impl fmt::Display for Syncing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Runs => "runs",
            Self::Gate => "gate to get here",
            Self::Forced => "none, forced",
        })
    }
}

/// Prints the policy table as Markdown, the form in which it is documented.
#[must_use]
pub fn policy_table() -> String {
    let mut table = String::from("| mode | reads | writes | a unified error | sync |\n");
    table.push_str("|---|---|---|---|---|\n");
    for mode in Mode::ALL {
        let Policy {
            reads,
            writes,
            unified_errors,
            syncing,
        } = mode.policy();
        let row = format!("| {mode} | {reads} | {writes} | {unified_errors} | {syncing} |\n");
        table.push_str(&row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_numbers_of_the_configuration() {
        for (number, mode) in (0..).zip(Mode::ALL) {
            assert_eq!(mode.number(), number);
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        for text in ["6", "-1", "two", ""] {
            assert!(text.parse::<Mode>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_home_of_a_mode_is_a_store_that_it_writes() {
        for mode in Mode::ALL {
            assert!(mode.writes_reach(mode.home()));
            assert!(mode.writes_reach(mode.read_side()));
        }
    }
}

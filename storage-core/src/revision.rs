use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The number of a commit: one strictly rising counter per store.
///
/// Given at commit, in commit order. Every write of a transaction has the same revision, and no
/// other transaction has it. `Revision::ZERO` is before everything. On the wire a revision is an
/// opaque decimal string without leading zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);
    /// The last one there can be. SQL stores keep revisions in signed columns.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Returns the revision with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Revision {
    type Err = Error;

    /// Reads the wire form: decimal digits, no sign, no leading zero but in `0` itself.
    fn from_str(text: &str) -> Result<Self> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits || (text.len() > 1 && text.starts_with('0')) {
            return Err(Error::invalid(
                "parse revision",
                format!("{text:?} is not a revision"),
            ));
        }
        let number = text.parse::<u64>().ok().filter(|n| *n <= Self::MAX.0);
        number
            .map(Self)
            .ok_or_else(|| Error::invalid("parse revision", format!("{text:?} is out of range")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form_round_trips() {
        for n in [0, 1, 9, 10, u64::from(u32::MAX), Revision::MAX.get()] {
            let revision = Revision::new(n);
            assert_eq!(revision.to_string().parse::<Revision>().unwrap(), revision);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "00",
            "01",
            "-1",
            "+1",
            " 1",
            "1 ",
            "a",
            "9223372036854775808",
            "٣",
        ] {
            assert!(text.parse::<Revision>().is_err(), "{text:?} was taken");
        }
    }
}

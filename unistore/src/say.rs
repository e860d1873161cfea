//! Lines on standard output. Whoever reads them may go away at any time, as `head` does.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, Write};

use anyhow::Result;

/// Standard output took no line.
#[derive(Debug)]
pub(crate) struct Unwritable(io::Error);

impl Unwritable {
    /// Tells whether nobody reads any more, which is no fault to tell of.
    pub(crate) fn is_unread(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output cannot be written: {}", self.0)
    }
}

impl Error for Unwritable {}

/// Writes a line to standard output. An error is [`Unwritable`].
pub(crate) fn say(line: impl Display) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{line}").map_err(Unwritable)?)
}

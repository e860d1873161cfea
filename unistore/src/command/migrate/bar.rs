use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// How far a walk over both stores is, on standard error if that is a terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(what: &'static str) -> Result<Self> {
        let template = "{msg} {bar:40} {human_pos} of {human_len} objects, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template)?;
        let bar = ProgressBar::no_length().with_style(style);
        Ok(Self(bar.with_message(what)))
    }

    pub(super) fn show(&self, done: u64, total: u64) {
        self.0.set_length(total.max(done));
        self.0.set_position(done);
    }

    /// Prints something without the bar in between.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

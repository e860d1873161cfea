use anyhow::Result;
use dualwriter::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// How far a walk over both stores is, on standard error if that is a terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(what: &'static str) -> Result<Self> {
        let template = "{msg} {bar:40} {human_pos} of {human_len} objects, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template)?;
        Ok(Self(
            ProgressBar::no_length()
                .with_style(style)
                .with_message(what),
        ))
    }

    pub(super) fn show(&self, progress: Progress) {
        self.0.set_length(progress.total.max(progress.compared));
        self.0.set_position(progress.compared);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

use crate::limits::CAUSES_MAX;
use crate::{Cause, CauseReason};

/// What is wrong with an object: as many causes as an answer names. What one body can be wrong in
/// is a million times more.
#[derive(Debug, Default)]
pub(crate) struct Causes(Vec<Cause>);

impl Causes {
    pub(crate) fn push(&mut self, cause: Cause) {
        if !self.is_full() {
            self.0.push(cause);
        }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() >= CAUSES_MAX
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<Cause> {
        self.0
    }

    pub(crate) fn required(&mut self, field: impl Into<String>, why: &str) {
        self.push(Cause::required(field, why));
    }

    pub(crate) fn too_long(&mut self, field: impl Into<String>, bytes_max: usize) {
        let why = format!("Too long: may not be more than {bytes_max} bytes");
        self.push(Cause::new(CauseReason::TooLong, field, why));
    }
}

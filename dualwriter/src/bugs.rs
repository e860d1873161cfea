//! Faults planted on purpose, to see that the tests notice. In a build without the feature
//! `seeded-bugs` every question here is answered by a constant.

/// A fault that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the variants are asked for one by one")]
pub enum Bug {
    /// Legacy is written without looking at what is replaced.
    NoFence,
    /// A mode changes without settling intents.
    NoDrain,
    /// A mode changes without waiting for other processes to learn of it.
    NoAcknowledgement,
    /// The read side answers after its view of the mode ran out.
    NoLease,
    /// A read by fallback does not take an intent.
    FallbackWithoutIntent,
    /// The sync writes what it listed instead of what it reads again under an intent.
    SyncWithoutReread,
    /// Recovery removes an intent instead of rolling it forward.
    RecoveryRollsBack,
    /// A write that legacy has, and unified has not, is answered.
    AnswerBeforeApply,
    /// Unified is written although the intent is gone.
    ApplyWithoutIntent,
    /// Writes do not look whether the epoch passed.
    NoEpochCheck,
    /// A change of side does not raise the new reader's revisions.
    NoRaise,
    /// The last part of a reverse sync is left out.
    NoReverseDelta,
    /// A definite error is told although the intent may be there.
    DefiniteInDoubt,
}

#[cfg(feature = "seeded-bugs")]
pub use planted::plant;
pub(crate) use planted::planted;

#[cfg(not(feature = "seeded-bugs"))]
mod planted {
    use super::Bug;

    pub(crate) const fn planted(_: Bug) -> bool {
        false
    }
}

#[cfg(feature = "seeded-bugs")]
mod planted {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a fault for everything that runs on this thread, or removes it.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

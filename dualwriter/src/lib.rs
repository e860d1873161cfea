//! A backend made of two backends and a mode for each kind of object: it moves a kind from the
//! legacy store to the unified store while people read and write it, and back, and loses nothing.
//!
//! [`Mode`] is the table of what goes where, [`DualWriter`] the backend, [`DualWriter::set_mode`]
//! and [`DualWriter::sync`] what moves a kind. It knows no engine: fences, intents and control
//! records are records of the internal group of the two stores.
//!
//! # What holds
//!
//! The names are used in tests, in the model (`tests/model`) and in the simulator
//! (`proof`).
//!
//! * **D1** An acknowledged write is durable in every store that the mode writes.
//! * **D2** A write that failed with a definite error is in neither store.
//! * **D3** A write whose outcome is unknown happens once in both stores or in neither, is settled
//!   within a bound and does not flip.
//! * **D4** No acknowledged write is lost on any path of modes that the gates allow.
//! * **D5** No acknowledged deletion is undone.
//! * **D6** Get, list and watch agree on what exists.
//! * **D7** Each object is linearizable across processes and changes of mode.
//! * **D8** When nobody writes and the sync is complete, both stores are equal.
//! * **D9** A sync is complete only after a pass that left nothing; a later failure clears it.
//! * **D10** Any number of syncs and writers may run side by side.
//! * **D11** A sync writes only what the other store holds at that moment.
//! * **D12** No two processes act in modes that do not go together.
//! * **D13** A mode does not go back to a store that misses acknowledged writes.
//! * **D14** In mode 1 a slow or dead unified store costs legacy nothing.
//! * **D15** Of two creations of one name one succeeds.
//! * **D16** A precondition holds in the store that decides; revisions of one store are never
//!   taken for those of the other.
//! * **D17** At most one unfinished write per object, and it is shown.
//! * **D18** A write makes one revision and one event, also when somebody else finished it.
//!
//! A read may be answered by a process that looked up the mode less than a lease ago. Every write
//! checks the mode in its own transaction, so no clock has to be trusted for it.

#![deny(missing_docs)]

mod admin;
// Reachable only with the feature, which tests alone set.
#[cfg_attr(not(feature = "seeded-bugs"), allow(unreachable_pub))]
mod bugs;
mod commit;
mod config;
mod copy;
mod dual;
mod fence;
mod inner;
mod intent;
mod journal;
mod keeper;
mod kind;
mod merge;
mod merged;
mod mode;
mod queue;
mod range;
mod read;
mod record;
mod recovery;
mod right;
mod slots;
mod stored;
mod sync;
mod transition;
mod verify;
mod view;

pub mod observe;

pub use admin::{KindStatus, SyncStatus};
pub use config::{
    DataSync, DualWriterConfig, InstanceId, LEASE_MIN, Options, SPACE, SYNC_INTERVAL_MIN,
    SYNC_RECORDS_LIMIT_MAX, SyncGate, parse_duration, parse_section,
};
pub use copy::Direction;
pub use dual::DualWriter;
pub use kind::Kind;
pub use mode::{Mode, Policy, Reads, Side, Syncing, UnifiedErrors, Writes, policy_table};
pub use queue::QUEUE_OBJECTS_MAX;
pub use record::Forced;
pub use stored::{Outdated, StoredMode, outdated, stored_modes};
pub use sync::{OnProgress, Progress, SyncReport};
pub use transition::{Gate, Refusal, Transition, TransitionError};
pub use verify::{Difference, Repair, Unequal, VerifyReport};

#[cfg(feature = "seeded-bugs")]
pub use bugs::{Bug, plant};

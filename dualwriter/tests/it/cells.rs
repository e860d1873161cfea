//! The source document's table of modes, cell by cell: reads, writes, errors, fallback, clean-up,
//! sync.

use std::sync::Arc;
use std::time::Duration;

use conformance::step::{internal_key, key, scope};
use conformance::{Fault, Faults, Faulty, Operation};
use dualwriter::{DualWriter, Forced, Gate, Kind, Mode, Options, TransitionError};
use storage_core::{
    ChangesQuery, Error, ErrorKind, ListQuery, Memory, Outcome, Precondition, ResourceKey,
    Retention, Revision, StorageBackend, StorageBackendExt, Transaction, Write,
};

use crate::rig::{intents, options, until};

/// Two stores that can be seen through and made to fail, under a mode.
struct Rig {
    legacy: Arc<Memory>,
    unified: Arc<Memory>,
    legacy_faults: Faults,
    unified_faults: Faults,
    dual: DualWriter,
}

fn kind() -> Kind {
    Kind::of(&key("a"))
}

async fn text_in(store: &impl StorageBackend, key: &ResourceKey) -> Option<String> {
    let stored = store.get(key, None).await.unwrap();
    stored.map(|stored| String::from_utf8(stored.value.to_vec()).unwrap())
}

async fn rig(mode: Mode, legacy: &[(&str, &str)], unified: &[(&str, &str)]) -> Rig {
    let stores = [legacy, unified].map(|objects| (Arc::new(Memory::new()), objects));
    for (store, objects) in &stores {
        for (name, value) in *objects {
            store
                .create(key(name), value.to_string().into())
                .await
                .unwrap();
        }
    }
    let [legacy, unified] = stores.map(|(store, _)| store);
    let (legacy_faulty, unified_faulty) = (
        Faulty::new(Arc::clone(&legacy)),
        Faulty::new(Arc::clone(&unified)),
    );
    let (legacy_faults, unified_faults) = (legacy_faulty.faults(), unified_faulty.faults());
    let options = Options {
        // So long that nothing happens in the background but what the test is about.
        lease: Duration::from_secs(3600),
        help_after: Duration::from_millis(20),
        patience: Duration::from_secs(2),
        ..options(mode)
    };
    let opening = DualWriter::open(Arc::new(legacy_faulty), Arc::new(unified_faulty), options);
    let dual = opening.await.unwrap();
    // Once, so that the mode of the kind is known.
    dual.stats(&scope()).await.unwrap();
    Rig {
        legacy,
        unified,
        legacy_faults,
        unified_faults,
        dual,
    }
}

impl Rig {
    async fn text(&self, name: &str) -> Result<Option<String>, Error> {
        let stored = self.dual.get(&key(name), None).await?;
        Ok(stored.map(|stored| String::from_utf8(stored.value.to_vec()).unwrap()))
    }

    async fn put(&self, name: &str, value: &str) -> Result<Outcome, Error> {
        let put = Transaction::put(key(name), Precondition::Any, value.to_owned());
        self.dual.commit_one(put).await
    }

    async fn both(&self, name: &str) -> (Option<String>, Option<String>) {
        let key = key(name);
        (
            text_in(&*self.legacy, &key).await,
            text_in(&*self.unified, &key).await,
        )
    }

    async fn intents(&self) -> usize {
        intents(&self.unified).await
    }

    async fn sync(&self) -> bool {
        self.dual.sync(&kind(), &mut |_| {}).await.unwrap().complete
    }

    async fn legacy_errors_bubble_up(&self) {
        self.legacy_faults.crash();
        let error = self.put("a", "new").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        self.legacy_faults.heal();
        assert_ne!(self.both("a").await.0.as_deref(), Some("new"));
        assert_ne!(self.both("a").await.1.as_deref(), Some("new"));
        assert_eq!(self.intents().await, 0);
    }

    async fn unified_errors_leave_legacy_as_it_was(&self) {
        let before = self.both("a").await;
        self.unified_faults.crash();
        let error = self.put("a", "new").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "a definite error");
        self.unified_faults.heal();
        assert_eq!(self.both("a").await, before);
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn mode_0_read_source_is_legacy_only() {
    let rig = rig(
        Mode::Zero,
        &[("a", "legacy")],
        &[("a", "unified"), ("b", "unified")],
    )
    .await;
    let reads = rig.unified_faults.calls(Operation::Get);
    assert_eq!(rig.text("a").await.unwrap(), some("legacy"));
    assert_eq!(rig.text("b").await.unwrap(), None);
    assert_eq!(rig.unified_faults.calls(Operation::Get), reads);
}

#[tokio::test(start_paused = true)]
async fn mode_0_write_target_is_legacy_only_and_unified_is_not_needed() {
    let rig = rig(Mode::Zero, &[], &[]).await;
    rig.unified_faults.crash();
    rig.put("a", "1").await.unwrap();
    assert_eq!(rig.both("a").await, (some("1"), None));
}

#[tokio::test(start_paused = true)]
async fn mode_0_legacy_errors_bubble_up() {
    rig(Mode::Zero, &[("a", "old")], &[])
        .await
        .legacy_errors_bubble_up()
        .await;
}

#[tokio::test(start_paused = true)]
async fn mode_0_has_no_sync() {
    let rig = rig(Mode::Zero, &[("a", "1")], &[]).await;
    let error = rig.dual.sync(&kind(), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("mode 0, which has no sync"));
}

#[tokio::test(start_paused = true)]
async fn mode_1_reads_legacy_and_unified_in_the_background() {
    let rig = rig(Mode::One, &[("a", "legacy")], &[("a", "unified")]).await;
    let reads = rig.unified_faults.calls(Operation::Get);
    assert_eq!(rig.text("a").await.unwrap(), some("legacy"));
    until("a background read", async || {
        rig.unified_faults.calls(Operation::Get) > reads
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn mode_1_writes_legacy_at_once_and_unified_in_the_background() {
    let rig = rig(Mode::One, &[], &[]).await;
    let gate = rig.unified_faults.hold_next(Operation::Commit);
    rig.put("a", "1").await.unwrap();
    rig.put("a", "2").await.unwrap();
    gate.reached().await;
    assert_eq!(rig.both("a").await, (some("2"), None));
    gate.release();
    until("unified has it", async || {
        rig.both("a").await.1 == some("2")
    })
    .await;
    let gone = Transaction::delete(key("a"), Precondition::Present, "");
    rig.dual.commit_one(gone).await.unwrap();
    until("unified deleted it", async || {
        rig.both("a").await.1.is_none()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn mode_1_only_legacy_errors_bubble_up() {
    let rig = rig(Mode::One, &[("a", "old")], &[]).await;
    rig.unified_faults.crash();
    rig.put("b", "1").await.unwrap();
    assert_eq!(rig.text("b").await.unwrap(), some("1"));
    rig.unified_faults.heal();
    rig.legacy_errors_bubble_up().await;
}

#[tokio::test(start_paused = true)]
async fn mode_1_a_unified_error_clears_the_sync_mark() {
    let rig = rig(Mode::One, &[("a", "1")], &[]).await;
    assert!(rig.sync().await);
    rig.unified_faults
        .next(Operation::Commit, Fault::FailBefore);
    rig.put("a", "2").await.unwrap();
    until("the mark is cleared", async || {
        let sync = rig.dual.status(&kind()).await.unwrap().sync;
        !sync.complete && sync.cleared.is_some()
    })
    .await;
}

/// Legacy may have what its error does not tell: nobody queued it, and unified missed it.
#[tokio::test(start_paused = true)]
async fn mode_1_an_unknown_outcome_reaches_unified() {
    let rig = rig(Mode::One, &[], &[]).await;
    rig.legacy_faults.next(Operation::Commit, Fault::FailAfter);
    assert!(rig.put("a", "1").await.unwrap_err().is_indeterminate());
    until("unified has it", async || {
        rig.both("a").await == (some("1"), some("1"))
    })
    .await;
}

/// Nothing compacted what mode 1 writes in the background; and a unified store that is down fails
/// no compaction of legacy.
#[tokio::test(start_paused = true)]
async fn mode_1_compacts_unified_and_does_without() {
    let rig = rig(Mode::One, &[], &[]).await;
    for value in ["1", "2", "3"] {
        rig.put("a", value).await.unwrap();
        until("unified has it", async || {
            rig.both("a").await.1 == some(value)
        })
        .await;
    }
    let policy = Retention {
        changes_age_min: Duration::ZERO,
        changes_max: Some(1),
        ..Retention::default()
    };
    rig.dual.compact(&policy).await.unwrap();
    let first = ChangesQuery::new(scope(), Revision::ZERO);
    let gone = rig.unified.changes(&first).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Expired);
    rig.unified_faults.crash();
    rig.dual.compact(&policy).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn mode_1_sync_is_active_from_legacy_to_unified() {
    sync_makes_unified_equal(Mode::One).await;
}

#[tokio::test(start_paused = true)]
async fn mode_2_sync_is_active_from_legacy_to_unified() {
    sync_makes_unified_equal(Mode::Two).await;
}

/// Missing in unified: created. Missing in legacy: deleted. Different: updated. Identical: left.
async fn sync_makes_unified_equal(mode: Mode) {
    let rig = rig(
        mode,
        &[("missing", "1"), ("different", "1"), ("same", "1")],
        &[("extra", "2"), ("different", "2"), ("same", "1")],
    )
    .await;
    assert!(rig.sync().await);
    for name in ["missing", "different", "same", "extra"] {
        let (legacy, unified) = rig.both(name).await;
        assert_eq!(legacy, unified, "{name}");
    }
    assert!(rig.dual.status(&kind()).await.unwrap().sync.complete);
}

#[tokio::test(start_paused = true)]
async fn mode_2_read_source_is_legacy_and_not_found_in_unified_is_ignored() {
    let rig = rig(
        Mode::Two,
        &[("a", "legacy"), ("b", "legacy")],
        &[("a", "unified")],
    )
    .await;
    assert_eq!(rig.text("a").await.unwrap(), some("legacy"));
    assert_eq!(rig.text("b").await.unwrap(), some("legacy"));
    assert_eq!(
        rig.dual
            .list(&ListQuery::live(scope()))
            .await
            .unwrap()
            .items
            .len(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn mode_2_an_error_of_the_verification_read_bubbles_up() {
    let rig = rig(Mode::Two, &[("a", "legacy")], &[]).await;
    rig.unified_faults.crash();
    assert_eq!(
        rig.text("a").await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    let listed = rig.dual.list(&ListQuery::live(scope())).await;
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn modes_2_and_3_write_both_before_they_answer() {
    for mode in [Mode::Two, Mode::Three] {
        let rig = rig(mode, &[], &[]).await;
        rig.put("a", "1").await.unwrap();
        assert_eq!(rig.both("a").await, (some("1"), some("1")), "mode {mode}");
        let record = Transaction::put(internal_key("r"), Precondition::Any, "1");
        rig.dual.commit_one(record).await.unwrap();
        assert_eq!(text_in(&*rig.legacy, &internal_key("r")).await, some("1"));
        assert_eq!(rig.intents().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn modes_2_and_3_legacy_errors_bubble_up_first() {
    for mode in [Mode::Two, Mode::Three] {
        rig(mode, &[("a", "old")], &[("a", "old")])
            .await
            .legacy_errors_bubble_up()
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn modes_2_and_3_unified_errors_bubble_up_and_legacy_is_clean() {
    for mode in [Mode::Two, Mode::Three] {
        let rig = rig(mode, &[("a", "old")], &[("a", "old")]).await;
        rig.unified_errors_leave_legacy_as_it_was().await;
    }
}

/// D3: what may have happened is said, and settled forward.
#[tokio::test(start_paused = true)]
async fn modes_2_and_3_a_failed_apply_is_finished_and_not_undone() {
    for mode in [Mode::Two, Mode::Three] {
        for fault in [Fault::FailBefore, Fault::FailAfter, Fault::CrashAfter] {
            let rig = rig(mode, &[("a", "old")], &[("a", "old")]).await;
            rig.unified_faults
                .after(1, Operation::Commit, fault.clone());
            if let Err(error) = rig.put("a", "new").await {
                assert_eq!(error.kind(), ErrorKind::Indeterminate, "{fault:?}");
            }
            rig.unified_faults.heal();
            assert_eq!(
                rig.text("a").await.unwrap(),
                some("new"),
                "{mode} {fault:?}"
            );
            assert_eq!(
                rig.both("a").await,
                (some("new"), some("new")),
                "{mode} {fault:?}"
            );
            assert_eq!(rig.intents().await, 0);
        }
    }
}

/// D3: an unknown outcome in legacy.
#[tokio::test(start_paused = true)]
async fn modes_2_and_3_an_unknown_legacy_outcome_happens_once() {
    for mode in [Mode::Two, Mode::Three] {
        for fault in [Fault::FailUnknown, Fault::FailAfter] {
            let rig = rig(mode, &[], &[]).await;
            rig.legacy_faults.next(Operation::Commit, fault);
            let revision = rig.put("a", "new").await.unwrap().revision();
            assert_eq!(rig.both("a").await, (some("new"), some("new")));
            let stored = rig.dual.get(&key("a"), None).await.unwrap().unwrap();
            assert_eq!(Some(stored.revision), revision);
            let history = ListQuery::history(scope(), storage_core::Order::Ascending);
            assert_eq!(rig.legacy.list(&history).await.unwrap().items.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mode_3_reads_unified_and_falls_back_to_legacy_on_not_found() {
    let rig = rig(
        Mode::Three,
        &[("a", "legacy"), ("b", "legacy")],
        &[("a", "unified")],
    )
    .await;
    assert_eq!(rig.text("a").await.unwrap(), some("unified"));
    assert_eq!(rig.text("b").await.unwrap(), some("legacy"));
    // D6: what a get shows a list shows as well.
    let listed = rig.dual.list(&ListQuery::live(scope())).await.unwrap();
    assert_eq!(listed.items.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn mode_3_never_falls_back_past_a_tombstone() {
    let rig = rig(Mode::Three, &[("a", "legacy")], &[("a", "unified")]).await;
    // Deleted by somebody who knows unified only, as a process in mode 4 does.
    let gone = Transaction::delete(key("a"), Precondition::Present, "");
    rig.unified.commit_one(gone).await.unwrap();
    assert_eq!(rig.text("a").await.unwrap(), None);
    assert_eq!(rig.both("a").await.1, None);
}

#[tokio::test(start_paused = true)]
async fn mode_3_a_creation_finds_an_object_that_only_legacy_has() {
    let rig = rig(Mode::Three, &[("a", "legacy")], &[]).await;
    let create = Transaction::put(key("a"), Precondition::Absent, "new");
    let outcome = rig.dual.commit_one(create).await.unwrap();
    assert!(outcome.revision().is_none(), "{outcome:?}");
    assert_eq!(rig.both("a").await, (some("legacy"), some("legacy")));
}

#[tokio::test(start_paused = true)]
async fn modes_3_and_4_are_available_after_a_completed_sync_only() {
    for to in [Mode::Three, Mode::Four] {
        let rig = rig(Mode::Two, &[("a", "1")], &[]).await;
        let refused = rig
            .dual
            .set_mode(&kind(), to, Forced::No)
            .await
            .unwrap_err();
        let TransitionError::Refused(refusal) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal.gate, Gate::Sync);
        assert!(rig.sync().await);
        rig.dual.set_mode(&kind(), to, Forced::No).await.unwrap();
        assert_eq!(rig.text("a").await.unwrap(), some("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn modes_4_and_5_read_and_write_unified_only() {
    for mode in [Mode::Four, Mode::Five] {
        let rig = rig(
            mode,
            &[("a", "legacy"), ("b", "legacy")],
            &[("a", "unified")],
        )
        .await;
        rig.legacy_faults.crash();
        assert_eq!(rig.text("a").await.unwrap(), some("unified"));
        assert_eq!(rig.text("b").await.unwrap(), None, "no fallback");
        rig.put("c", "1").await.unwrap();
        assert_eq!(rig.both("c").await, (None, some("1")));
    }
}

#[tokio::test(start_paused = true)]
async fn modes_4_and_5_unified_errors_bubble_up() {
    for mode in [Mode::Four, Mode::Five] {
        let rig = rig(mode, &[], &[("a", "old")]).await;
        rig.unified_faults.crash();
        assert_eq!(
            rig.text("a").await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        assert_eq!(
            rig.put("a", "1").await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        rig.unified_faults.heal();
        assert_eq!(rig.both("a").await.1, some("old"));
    }
}

#[tokio::test(start_paused = true)]
async fn mode_5_is_forced_and_asks_for_no_sync() {
    let rig = rig(Mode::Zero, &[("a", "1")], &[]).await;
    rig.dual
        .set_mode(&kind(), Mode::Five, Forced::No)
        .await
        .unwrap();
    assert_eq!(rig.text("a").await.unwrap(), None);
    // What only legacy has is not deleted there by a sync of unified's emptiness.
    let error = rig.dual.sync(&kind(), &mut |_| {}).await.unwrap_err();
    assert!(
        error.to_string().contains("would delete from legacy"),
        "{error}"
    );
    let back = rig
        .dual
        .set_mode(&kind(), Mode::Zero, Forced::No)
        .await
        .unwrap_err();
    assert!(back.to_string().contains("accept the loss"), "{back}");
    rig.dual
        .set_mode(&kind(), Mode::Zero, Forced::AcceptLoss)
        .await
        .unwrap();
    assert_eq!(rig.text("a").await.unwrap(), some("1"));
}

/// D13, the story of a state that was forgotten: unified took writes, then somebody's
/// configuration asks for legacy again.
#[tokio::test(start_paused = true)]
async fn a_configuration_cannot_go_back_to_a_store_that_misses_writes() {
    let rig = rig(Mode::Four, &[], &[]).await;
    rig.put("a", "stale").await.unwrap();
    assert!(rig.sync().await);
    rig.dual
        .set_mode(&kind(), Mode::Five, Forced::No)
        .await
        .unwrap();
    rig.put("a", "fresh").await.unwrap();
    let stale_and_fresh = (some("stale"), some("fresh"));
    assert_eq!(rig.both("a").await, stale_and_fresh);
    let refused = rig
        .dual
        .set_mode(&kind(), Mode::Zero, Forced::No)
        .await
        .unwrap_err();
    let TransitionError::Refused(refusal) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refusal.gate, Gate::ReverseSync);
    assert!(rig.sync().await);
    rig.put("b", "after the sync").await.unwrap();
    rig.dual
        .set_mode(&kind(), Mode::Zero, Forced::No)
        .await
        .unwrap();
    assert_eq!(rig.text("a").await.unwrap(), some("fresh"));
    assert_eq!(rig.text("b").await.unwrap(), some("after the sync"));
}

/// A deletion with no condition, and conditions alone, were decided by what unified had; what only
/// legacy had came back with the next read.
#[tokio::test(start_paused = true)]
async fn mode_3_decides_by_what_only_legacy_has() {
    let rig = rig(Mode::Three, &[("a", "1"), ("b", "1")], &[]).await;
    let delete = Transaction::delete(key("a"), Precondition::Any, "1");
    rig.dual.commit_one(delete).await.unwrap();
    assert_eq!(rig.text("a").await.unwrap(), None);
    assert_eq!(rig.both("a").await, (None, None));
    for (precondition, holds) in [(Precondition::Present, true), (Precondition::Absent, false)] {
        let check = Transaction::from(Write::check(key("b"), precondition));
        let outcome = rig.dual.commit_one(check).await.unwrap();
        assert_eq!(outcome.revision().is_some(), holds, "{precondition:?}");
    }
}

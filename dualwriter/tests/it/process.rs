//! What a process does at its start and at its end.

use std::sync::Arc;
use std::time::Duration;

use conformance::step::{key, put};
use conformance::{Fault, Faulty, Gate, Operation};
use dualwriter::{DualWriter, DualWriterConfig, Forced, Gate as ModeGate, Kind, Mode, Options};
use storage_core::{
    ErrorKind, INTERNAL_GROUP, ListQuery, Memory, Precondition, ResourceKey, Scope, StorageBackend,
    StorageBackendExt, Transaction,
};

use crate::rig::{Backend, intents, open, open_faulty, options, until};

fn kind() -> Kind {
    Kind::of(&key("a"))
}

fn stores() -> (Backend, Backend) {
    (Arc::new(Memory::new()), Arc::new(Memory::new()))
}

fn configured(mode: Mode) -> Options {
    let mut config = DualWriterConfig::default();
    config.modes.insert(kind(), mode);
    Options {
        config,
        ..options(Mode::Zero)
    }
}

/// A process that starts with the configuration of yesterday would undo a promotion of today.
#[tokio::test(start_paused = true)]
async fn a_configuration_raises_a_mode_and_never_lowers_it() {
    let (legacy, unified) = stores();
    let first = open(&legacy, &unified, configured(Mode::Two)).await;
    assert!(first.apply_config().await.unwrap().is_empty());
    assert_eq!(first.status(&kind()).await.unwrap().mode, 2);
    first.sync(&kind(), &mut |_| {}).await.unwrap();
    first.promote(&kind(), Forced::No).await.unwrap();
    first.close().await.unwrap();

    let second = open(&legacy, &unified, configured(Mode::Two)).await;
    let refused = second.apply_config().await.unwrap();
    let [(of, refusal)] = refused.as_slice() else {
        panic!("{refused:?}");
    };
    assert_eq!((of, refusal.gate), (&kind(), ModeGate::Configuration));
    assert_eq!(second.status(&kind()).await.unwrap().mode, 3);
}

/// The kinds behind one whose control record cannot be read stayed where they were.
#[tokio::test(start_paused = true)]
async fn a_kind_that_fails_does_not_keep_others_from_their_configured_mode() {
    let (legacy, unified) = stores();
    let last = Kind::new(kind().group(), "zebras");
    let first = open(&legacy, &unified, configured(Mode::One)).await;
    first.apply_config().await.unwrap();
    first.close().await.unwrap();
    let query = ListQuery::live(Scope::group(INTERNAL_GROUP));
    for record in legacy.list(&query).await.unwrap().items {
        if record.key.name().contains(kind().resource()) {
            let broken = Transaction::put(record.key, Precondition::Any, "{");
            legacy.commit_one(broken).await.unwrap();
        }
    }

    let mut options = configured(Mode::Two);
    options.config.modes.insert(last.clone(), Mode::Two);
    let second = open(&legacy, &unified, options).await;
    let error = second.apply_config().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(second.status(&last).await.unwrap().mode, 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_closed_is_not_waited_for() {
    let (legacy, unified) = stores();
    let long = || Options {
        lease: Duration::from_secs(3600),
        ..options(Mode::Two)
    };
    let (stays, leaves) = (
        open(&legacy, &unified, long()).await,
        open(&legacy, &unified, long()).await,
    );
    for dual in [&stays, &leaves] {
        dual.status(&kind()).await.unwrap();
    }
    leaves.close().await.unwrap();
    let kind = kind();
    let change = stays.set_mode(&kind, Mode::One, Forced::No);
    let changed = tokio::time::timeout(Duration::from_secs(60), change).await;
    changed.expect("nobody is waited for").unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_hands_over_what_mode_1_left_to_the_background() {
    let (legacy, unified) = stores();
    let dual = Arc::new(open(&legacy, &unified, options(Mode::One)).await);
    let backend: Backend = dual.clone();
    for number in 0..200 {
        put(&backend, &key(&number.to_string()), "x").await;
    }
    dual.close().await.unwrap();
    for number in 0..200 {
        let copied = unified.get(&key(&number.to_string()), None).await.unwrap();
        assert!(copied.is_some(), "{number} was not copied");
    }
}

/// The simulator took two reads for reads of the same state, and the write of a caller that had gone
/// away landed between them: no intent told of it yet.
#[tokio::test(start_paused = true)]
async fn a_write_whose_caller_went_away_is_under_way_until_it_is_done() {
    let (legacy, unified) = stores();
    let connection = Faulty::new(Arc::clone(&unified));
    let faults = connection.faults();
    let options = options(Mode::Two);
    let opening = DualWriter::open(Arc::clone(&legacy), Arc::new(connection), options);
    let dual = Arc::new(opening.await.unwrap());
    dual.status(&kind()).await.unwrap();
    assert_eq!(dual.commits_under_way(), 0);

    let placing = faults.hold_next(Operation::Commit);
    let caller = tokio::spawn({
        let dual = Arc::clone(&dual);
        async move { dual.create(key("a"), "1".into()).await }
    });
    placing.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert_eq!((intents(&unified).await, dual.commits_under_way()), (0, 1));

    placing.release();
    until("the write is done", async || dual.commits_under_way() == 0).await;
    for store in [&legacy, &unified] {
        assert!(store.get(&key("a"), None).await.unwrap().is_some());
    }
}

/// Paused time goes on when nobody has anything to do.
async fn background_is_idle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Who broke a sync off with Ctrl-C and asked again was told for 15 s that another process syncs.
#[tokio::test(start_paused = true)]
async fn closing_gives_up_the_right_of_a_sync_that_was_broken_off() {
    let (legacy, unified) = stores();
    legacy.create(key("a"), "1".into()).await.unwrap();
    let (first, [_, faults]) = open_faulty(&legacy, &unified, options(Mode::Two)).await;
    first.status(&kind()).await.unwrap();
    let second = open(&legacy, &unified, options(Mode::Two)).await;
    background_is_idle().await;

    let listing = faults.hold_next(Operation::List);
    let syncing = tokio::spawn({
        let first = Arc::clone(&first);
        async move { first.sync(&kind(), &mut |_| {}).await }
    });
    listing.reached().await;
    let refused = second.sync(&kind(), &mut |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("is being synced"), "{refused}");
    syncing.abort();
    assert!(syncing.await.unwrap_err().is_cancelled());
    listing.release();
    first.close().await.unwrap();
    assert!(second.sync(&kind(), &mut |_| {}).await.unwrap().complete);
}

/// Of 64 writers that began together each looked the mode up for itself.
#[tokio::test(start_paused = true)]
async fn writers_that_begin_together_share_one_look_at_the_mode() {
    let (legacy, unified) = stores();
    let (dual, [faults, _]) = open_faulty(&legacy, &unified, options(Mode::Zero)).await;
    background_is_idle().await;
    let looks = Gate::default();
    for call in 0..64 {
        faults.after(call, Operation::Get, Fault::HoldBefore(looks.clone()));
    }
    let before = faults.calls(Operation::Get);
    let writing: Vec<_> = (0..64)
        .map(|number| {
            let dual = Arc::clone(&dual);
            let create = async move { dual.create(key(&number.to_string()), "1".into()).await };
            tokio::spawn(create)
        })
        .collect();
    looks.reached().await;
    background_is_idle().await;
    assert_eq!(faults.calls(Operation::Get), before + 1);
    looks.release();
    for writing in writing {
        writing.await.unwrap().unwrap();
    }
}

/// Leaves a write behind that legacy has and unified has not, by a process that died.
async fn leave_unfinished(legacy: &Backend, unified: &Backend) {
    let connection = Faulty::new(Arc::clone(unified));
    let faults = connection.faults();
    let options = options(Mode::Zero);
    let opening = DualWriter::open(Arc::clone(legacy), Arc::new(connection), options);
    let dies = opening.await.unwrap();
    dies.set_mode(&kind(), Mode::Two, Forced::No).await.unwrap();
    assert!(dies.sync(&kind(), &mut |_| {}).await.unwrap().complete);
    dies.set_mode(&kind(), Mode::Three, Forced::No)
        .await
        .unwrap();
    faults.after(1, Operation::Commit, Fault::CrashBefore);
    let unknown = dies.create(key("a"), "1".into()).await.unwrap_err();
    assert!(unknown.is_indeterminate(), "{unknown}");
    drop(dies);
    assert_eq!(intents(unified).await, 1);
}

/// A process that was asked for no object of a kind did not look for what others left of it.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_kind_that_nobody_asks_for_is_finished() {
    let idle = || options(Mode::Zero);
    // One process comes later, the other one was there before.
    for was_there in [false, true] {
        let (legacy, unified) = stores();
        let connection = Faulty::new(Arc::clone(&unified));
        let faults = connection.faults();
        let connection: Backend = Arc::new(connection);
        let early = open(&legacy, &connection, idle()).await;
        if was_there {
            let looked = async || faults.calls(Operation::List) > 0;
            until("it looked for kinds", looked).await;
        } else {
            drop(early);
        }
        leave_unfinished(&legacy, &unified).await;
        let _late = match was_there {
            true => None,
            false => Some(open(&legacy, &unified, idle()).await),
        };
        until("nothing is in doubt", async || intents(&unified).await == 0).await;
        assert!(unified.get(&key("a"), None).await.unwrap().is_some());
    }
}

/// A list of all kinds did not wait for what was begun, as lists of one kind do.
#[tokio::test(start_paused = true)]
async fn a_list_of_all_kinds_shows_what_was_begun() {
    let (legacy, unified) = stores();
    leave_unfinished(&legacy, &unified).await;
    let patient = Options {
        lease: Duration::from_secs(3600),
        ..options(Mode::Zero)
    };
    let dual = open(&legacy, &unified, patient).await;
    let listed = dual.list(&ListQuery::live(Scope::All)).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}

/// Whoever began in mode 4 beside a legacy store that held objects had them deleted by a sync.
#[tokio::test(start_paused = true)]
async fn a_first_start_in_mode_4_does_not_take_legacy_for_empty() {
    let (legacy, unified) = stores();
    legacy.create(key("a"), "1".into()).await.unwrap();
    let dual = open(&legacy, &unified, options(Mode::Four)).await;
    let refused = dual.sync(&kind(), &mut |_| {}).await.unwrap_err();
    assert!(
        refused.to_string().contains("would delete from legacy"),
        "{refused}"
    );
    assert!(legacy.get(&key("a"), None).await.unwrap().is_some());
}

/// A kind was read from unified for the first time, and what was listed there had a revision above the head:
/// who waited for the head to come to it waited until somebody wrote.
#[tokio::test(start_paused = true)]
async fn what_is_listed_is_not_ahead_of_the_head() {
    let (legacy, unified) = stores();
    let dual = open(&legacy, &unified, options(Mode::Zero)).await;
    dual.create(key("a"), "1".into()).await.unwrap();
    for mode in [Mode::Two, Mode::Three, Mode::Four] {
        dual.set_mode(&kind(), mode, Forced::No).await.unwrap();
        assert_listed_below_head(&dual).await;
        if mode == Mode::Two {
            assert!(dual.sync(&kind(), &mut |_| {}).await.unwrap().complete);
        }
    }
    dual.close().await.unwrap();
    let again = open(&legacy, &unified, options(Mode::Zero)).await;
    assert_listed_below_head(&again).await;
}

async fn assert_listed_below_head(dual: &DualWriter) {
    let listed = dual.list(&ListQuery::live(kind().scope())).await.unwrap();
    let head = *dual.head().borrow();
    assert!(listed.revision <= head, "{} above {head}", listed.revision);
}

/// The head is that of the store that is ahead; a kind of the other one could not be read there.
#[tokio::test(start_paused = true)]
async fn each_kind_can_be_read_at_the_head() {
    let (legacy, unified) = stores();
    let dual = open(&legacy, &unified, options(Mode::Zero)).await;
    let other = ResourceKey::new("g", "others", "ns", "b").unwrap();
    let scope = Scope::resource("g", "others");
    dual.create(other.clone(), "1".into()).await.unwrap();
    dual.set_mode(&kind(), Mode::Five, Forced::No)
        .await
        .unwrap();
    for number in 0..20 {
        dual.create(key(&number.to_string()), "1".into())
            .await
            .unwrap();
    }
    let head = *dual.head().borrow();
    assert!(head > *legacy.head().borrow());
    let listed = dual.list(&ListQuery::live(scope).at(head)).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    for number in 20..40 {
        dual.create(key(&number.to_string()), "1".into())
            .await
            .unwrap();
    }
    let head = *dual.head().borrow();
    assert!(dual.get(&other, Some(head)).await.unwrap().is_some());
}

/// A watch whose client does not read is not polled. If it was looking a mode up, everybody else waited
/// for it.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_holds_up_nobody() {
    let (legacy, unified) = stores();
    let (dual, [faults, _]) = open_faulty(&legacy, &unified, options(Mode::Zero)).await;
    background_is_idle().await;
    let look = faults.hold_next(Operation::Get);
    let object = key("a");
    let mut first = Box::pin(dual.get(&object, None));
    assert!(futures::poll!(&mut first).is_pending());
    look.reached().await;
    let second = tokio::spawn({
        let dual = Arc::clone(&dual);
        async move { dual.get(&key("b"), None).await }
    });
    background_is_idle().await;
    look.release();
    let answer = tokio::time::timeout(Duration::from_secs(60), second).await;
    answer.expect("it is answered").unwrap().unwrap();
    assert!(first.await.unwrap().is_none());
}

/// Two syncs in one process shared its right. The second took it from the first, which failed and then
/// cleared the mark that the second had set.
#[tokio::test(start_paused = true)]
async fn a_second_sync_in_a_process_does_not_break_the_first() {
    let (legacy, unified) = stores();
    legacy.create(key("a"), "1".into()).await.unwrap();
    let (dual, [_, faults]) = open_faulty(&legacy, &unified, options(Mode::Two)).await;
    dual.status(&kind()).await.unwrap();
    background_is_idle().await;
    let listing = faults.hold_next(Operation::List);
    let first = tokio::spawn({
        let dual = Arc::clone(&dual);
        async move { dual.sync(&kind(), &mut |_| {}).await }
    });
    listing.reached().await;
    let refused = dual.sync(&kind(), &mut |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(refused.to_string().contains("already"), "{refused}");
    listing.release();
    assert!(first.await.unwrap().unwrap().complete);
    assert!(dual.status(&kind()).await.unwrap().sync.complete);
    assert!(dual.sync(&kind(), &mut |_| {}).await.unwrap().complete);
}

//! Who comes late does nothing: what its write would replace is not there any more.

use std::sync::Arc;
use std::time::Duration;

use conformance::step::key;
use conformance::{Fault, Faults, Faulty, Gate, Operation};
use dualwriter::{DualWriter, Forced, Kind, Mode, Options, Side};
use storage_core::{
    Clock, INTERNAL_GROUP, ListQuery, ManualClock, Memory, OperationId, Order, Outcome,
    Precondition, ResourceKey, Revision, Scope, StorageBackend, StorageBackendExt, Stored,
    Transaction, Write,
};

use crate::rig::{Backend, open, open_faulty, options, until};

#[derive(Clone, Copy, Debug)]
enum Change {
    Put(&'static str),
    Delete,
}

impl Change {
    fn transaction(self, precondition: Precondition, operation: u128) -> Transaction {
        let transaction = match self {
            Self::Put(value) => Transaction::put(key("a"), precondition, value),
            Self::Delete => Transaction::delete(key("a"), precondition, "gone"),
        };
        transaction.operation(OperationId(operation))
    }

    /// Tells whether this is what was done last.
    fn is_done(self, stored: Option<&Stored>) -> bool {
        match self {
            Self::Put(value) => stored.is_some_and(|stored| stored.value == value),
            Self::Delete => stored.is_none(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Story {
    before: &'static [Change],
    late: Change,
    precondition: Precondition,
    after: &'static [Change],
}

/// Stands for the revision of the object at that time.
const AS_SEEN: Precondition = Precondition::Revision(Revision::ZERO);

const STORIES: [Story; 8] = [
    Story {
        before: &[Change::Put("1")],
        late: Change::Put("2"),
        precondition: AS_SEEN,
        after: &[Change::Put("3")],
    },
    Story {
        before: &[],
        late: Change::Put("2"),
        precondition: Precondition::Absent,
        after: &[Change::Put("3")],
    },
    Story {
        before: &[Change::Put("1")],
        late: Change::Put("2"),
        precondition: Precondition::Any,
        after: &[Change::Put("3")],
    },
    Story {
        before: &[Change::Put("1")],
        late: Change::Put("2"),
        precondition: Precondition::Present,
        after: &[Change::Delete, Change::Put("3")],
    },
    Story {
        before: &[],
        late: Change::Put("2"),
        precondition: Precondition::Absent,
        after: &[Change::Delete],
    },
    Story {
        before: &[Change::Put("1"), Change::Delete],
        late: Change::Put("2"),
        precondition: Precondition::Any,
        after: &[Change::Put("3"), Change::Delete],
    },
    Story {
        before: &[Change::Put("1")],
        late: Change::Delete,
        precondition: Precondition::Any,
        after: &[Change::Put("3")],
    },
    Story {
        before: &[Change::Put("1")],
        late: Change::Delete,
        precondition: Precondition::Present,
        after: &[Change::Put("3"), Change::Delete],
    },
];

/// The operation of the late write.
const LATE: u128 = 100;

fn process(mode: Mode) -> Options {
    Options {
        help_after: Duration::from_millis(1),
        ..options(mode)
    }
}

/// A dual writer whose calls to its stores can be held up.
async fn slow(legacy: &Backend, unified: &Backend, mode: Mode) -> (Arc<DualWriter>, [Faults; 2]) {
    let (dual, faults) = open_faulty(legacy, unified, process(mode)).await;
    dual.status(&Kind::of(&key("a"))).await.unwrap();
    (dual, faults)
}

/// Who is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The one whose write it is.
    Owner,
    /// One that finishes it, as its owner crashed before legacy had it, or after.
    Helper { owner: Side },
}

/// Lets the story happen while somebody is held up before one of its calls; false if it makes no
/// such call.
async fn is_late(
    who: Who,
    mode: Mode,
    story: Story,
    (side, operation, call): (Side, Operation, u64),
) -> bool {
    let case = format!("{who:?} in mode {mode} before {operation:?} {call} of {side}: {story:?}");
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let other = open(&legacy, &unified, process(mode)).await;
    for (number, change) in (1..).zip(story.before) {
        let made = change.transaction(Precondition::Any, number);
        other.commit_one(made).await.unwrap();
    }
    let (owner, owners) = slow(&legacy, &unified, mode).await;
    let precondition = match story.precondition {
        AS_SEEN => {
            let seen = other.get(&key("a"), None).await.unwrap().unwrap();
            Precondition::Revision(seen.revision)
        }
        other => other,
    };
    let late = story.late.transaction(precondition, LATE);
    let gate = Gate::default();
    let hold = |faults: &[Faults; 2]| {
        let faults = match side {
            Side::Legacy => &faults[0],
            Side::Unified => &faults[1],
        };
        faults.after(call, operation, Fault::HoldBefore(gate.clone()));
    };
    let mut held = match who {
        Who::Owner => {
            hold(&owners);
            tokio::spawn(async move {
                let answer = owner.commit_one(late).await;
                (owner, answer.ok())
            })
        }
        Who::Helper { owner: crashed } => {
            // Before the legacy part, or before unified has it.
            match crashed {
                Side::Legacy => owners[0].next(Operation::Commit, Fault::CrashBefore),
                Side::Unified => owners[1].after(1, Operation::Commit, Fault::CrashBefore),
            }
            owner.commit_one(late).await.unwrap_err();
            drop(owner);
            let (helper, helpers) = slow(&legacy, &unified, mode).await;
            hold(&helpers);
            tokio::spawn(async move {
                let _ = helper.get(&key("a"), None).await;
                (helper, None)
            })
        }
    };
    let reached = tokio::select! {
        () = gate.reached() => true,
        _ = &mut held => false,
    };
    if reached {
        let seen = other.get(&key("a"), None).await.unwrap();
        let done = story.late.is_done(seen.as_ref());
        for (number, change) in (1000..).zip(story.after) {
            let made = change.transaction(Precondition::Any, number);
            other.commit_one(made).await.unwrap();
        }
        gate.release();
        let (_held, answer) = held.await.unwrap();
        let now = other.get(&key("a"), None).await.unwrap();
        if done {
            let last = story.after.last().unwrap();
            assert!(last.is_done(now.as_ref()), "{case}: {now:?}");
            // It was overtaken, so it may not know; but it was not refused.
            let refused = matches!(answer, Some(Outcome::Conflict(_)));
            assert!(!refused, "{case}: {answer:?}");
        }
    }
    assert_eq!(
        operations(&legacy).await,
        operations(&unified).await,
        "{case}"
    );
    let lates = operations(&legacy).await;
    let lates = lates.iter().filter(|operation| operation.0 == LATE);
    assert!(lates.count() <= 1, "{case}");
    reached
}

/// Returns the operations of the object's history, which no two writes share.
async fn operations(store: &Backend) -> Vec<OperationId> {
    operations_of(store, "a").await
}

async fn operations_of(store: &Backend, name: &str) -> Vec<OperationId> {
    let history = ListQuery::history(Scope::Object(key(name)), Order::Ascending);
    let history = store.list(&history).await.unwrap().items;
    history.iter().map(|stored| stored.operation).collect()
}

async fn all_are_late(who: Who) {
    let mut held = 0;
    for mode in [Mode::Two, Mode::Three] {
        for story in STORIES {
            for side in [Side::Legacy, Side::Unified] {
                for operation in [Operation::Get, Operation::Commit] {
                    let mut call = 0;
                    while is_late(who, mode, story, (side, operation, call)).await {
                        call += 1;
                    }
                    held += call;
                }
            }
        }
    }
    assert!(held > 20, "{who:?} was held up only {held} times");
}

#[tokio::test(start_paused = true)]
async fn a_late_owner_does_nothing() {
    all_are_late(Who::Owner).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_helper_of_what_legacy_has_not_does_nothing() {
    let owner = Side::Legacy;
    all_are_late(Who::Helper { owner }).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_helper_of_what_legacy_has_does_nothing() {
    let owner = Side::Unified;
    all_are_late(Who::Helper { owner }).await;
}

/// A helper read what legacy holds, then the owner's write came, and legacy refused the helper's:
/// what refused it was the write itself. The model found it.
#[tokio::test(start_paused = true)]
async fn a_write_is_not_refused_by_itself() {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let (owner, [owners, dies]) = slow(&legacy, &unified, Mode::Two).await;
    dies.after(1, Operation::Commit, Fault::CrashBefore);
    let (helper, [helpers, _]) = slow(&legacy, &unified, Mode::Two).await;
    let [late, later] = [owners, helpers].map(|faults| faults.hold_next(Operation::Commit));
    let creating = tokio::spawn(async move {
        let create = Change::Put("1").transaction(Precondition::Absent, LATE);
        let _ = owner.commit_one(create).await;
        owner
    });
    late.reached().await;
    let helping = tokio::spawn(async move { helper.get(&key("a"), None).await });
    later.reached().await;
    late.release();
    let _owner = creating.await.unwrap();
    later.release();
    let seen = helping.await.unwrap().unwrap();
    assert_eq!(seen.unwrap().value, "1");
    for store in [&legacy, &unified] {
        assert_eq!(operations(store).await, [OperationId(LATE)]);
    }
}

/// A helper looked at one object before the owner's write came, and at another one after it: what
/// the second one held was the write itself, and the helper took it for what refuses the write.
#[tokio::test(start_paused = true)]
async fn a_write_of_two_objects_is_not_refused_by_itself() {
    let mut held = 0;
    for call in 0.. {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let (owner, [owners, dies]) = slow(&legacy, &unified, Mode::Two).await;
        dies.after(1, Operation::Commit, Fault::CrashBefore);
        let (helper, [helpers, _]) = slow(&legacy, &unified, Mode::Two).await;
        let late = owners.hold_next(Operation::Commit);
        let creating = tokio::spawn(async move {
            let first = Change::Put("1").transaction(Precondition::Any, LATE);
            let second = Transaction::put(key("b"), Precondition::Absent, "1");
            let both = second.writes.into_iter().fold(first, Transaction::and);
            let _ = owner.commit_one(both).await;
            owner
        });
        late.reached().await;
        let gate = Gate::default();
        helpers.after(call, Operation::Get, Fault::HoldBefore(gate.clone()));
        let mut helping = tokio::spawn(async move {
            let _ = helper.get(&key("a"), None).await;
            helper
        });
        tokio::select! {
            () = gate.reached() => held += 1,
            _ = &mut helping => break,
        }
        late.release();
        let _owner = creating.await.unwrap();
        gate.release();
        let _helper = helping.await.unwrap();
        let other = open(&legacy, &unified, process(Mode::Two)).await;
        other.get(&key("a"), None).await.unwrap();
        for (store, name) in [
            (&legacy, "a"),
            (&legacy, "b"),
            (&unified, "a"),
            (&unified, "b"),
        ] {
            let operations = operations_of(store, name).await;
            assert_eq!(operations, [OperationId(LATE)], "{name} before read {call}");
        }
    }
    assert!(held > 3, "the helper was held up only {held} times");
}

/// A client named a revision that the object did not have, as after a restore. Its request was held
/// up, others found that legacy refuses it, and then the object came to just that revision.
#[tokio::test(start_paused = true)]
async fn a_revision_that_is_yet_to_come_is_not_waited_for() {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let other = open(&legacy, &unified, process(Mode::Two)).await;
    let before = Change::Put("1").transaction(Precondition::Any, 1);
    other.commit_one(before).await.unwrap();
    let (owner, [faults, _]) = slow(&legacy, &unified, Mode::Two).await;
    let gate = faults.hold_next(Operation::Commit);
    let future = Revision::new(1_000);
    let writing = tokio::spawn(async move {
        let late = Change::Put("2").transaction(Precondition::Revision(future), LATE);
        let answer = owner.commit_one(late).await;
        (owner, answer)
    });
    gate.reached().await;
    other.get(&key("a"), None).await.unwrap();
    let arrives = Transaction {
        at_least: Some(future),
        ..Change::Put("3").transaction(Precondition::Any, 2)
    };
    let arrived = other.commit_one(arrives).await.unwrap();
    assert_eq!(arrived.revision(), Some(future));
    gate.release();
    let (_owner, answer) = writing.await.unwrap();
    assert!(!matches!(answer, Ok(Outcome::Committed { .. })));
    for store in [&legacy, &unified] {
        assert_eq!(operations(store).await, [OperationId(1), OperationId(2)]);
    }
}

/// A write that also checks another object was held up, others found that legacy refuses it, and
/// then the check would have held: the late request wrote legacy alone.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_refused_does_not_come_after_all() {
    for precondition in [
        Precondition::Any,
        Precondition::Present,
        Precondition::Absent,
    ] {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let other = open(&legacy, &unified, process(Mode::Two)).await;
        if precondition != Precondition::Absent {
            let before = Change::Put("1").transaction(Precondition::Any, 1);
            other.commit_one(before).await.unwrap();
        }
        let (owner, [faults, _]) = slow(&legacy, &unified, Mode::Two).await;
        let gate = faults.hold_next(Operation::Commit);
        let writing = tokio::spawn(async move {
            let check = Write::check(key("b"), Precondition::Present);
            let late = Change::Put("2").transaction(precondition, LATE);
            let answer = owner.commit_one(late.and(check)).await;
            (owner, answer)
        });
        gate.reached().await;
        other.get(&key("a"), None).await.unwrap();
        other.create(key("b"), "1".into()).await.unwrap();
        gate.release();
        let (_owner, answer) = writing.await.unwrap();
        assert!(!matches!(answer, Ok(Outcome::Committed { .. })));
        for store in [&legacy, &unified] {
            let operations = operations(store).await;
            assert!(!operations.contains(&OperationId(LATE)), "{precondition:?}");
        }
    }
}

/// Legacy's revisions are ahead of unified's when a kind begins to write both. What is there then
/// is not taken for a write that puts the same value again and was interrupted.
#[tokio::test(start_paused = true)]
async fn what_was_there_before_is_not_taken_for_the_write() {
    for opened in [Mode::Two, Mode::Zero] {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        // Of internal records stores keep neither the request nor the time.
        let record = ResourceKey::internal("example", "", "a").unwrap();
        let put = || Transaction::put(record.clone(), Precondition::Any, "same");
        let ahead = Transaction {
            at_least: Some(Revision::new(1_000)),
            ..put()
        };
        let before = legacy.commit_one(ahead).await.unwrap().revision();
        let (owner, [faults, _]) = slow(&legacy, &unified, opened).await;
        let kind = Kind::of(&record);
        owner.set_mode(&kind, Mode::Two, Forced::No).await.unwrap();
        owner.status(&kind).await.unwrap();
        faults.next(Operation::Commit, Fault::CrashBefore);
        let begun = owner.commit_one(put()).await;
        assert!(begun.unwrap_err().is_indeterminate());
        drop(owner);
        let helper = open(&legacy, &unified, process(opened)).await;
        let finished = helper.get(&record, None).await.unwrap().unwrap();
        assert!(Some(finished.revision) > before, "opened in mode {opened}");
    }
}

/// A process writes by what it remembers of legacy, and another one wrote meanwhile.
#[tokio::test(start_paused = true)]
async fn what_a_process_remembers_may_be_wrong() {
    for mode in [Mode::Two, Mode::Three] {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let [one, two] = [
            open(&legacy, &unified, process(mode)).await,
            open(&legacy, &unified, process(mode)).await,
        ];
        let changes = [
            (&one, Change::Put("1"), Precondition::Absent),
            (&two, Change::Put("2"), Precondition::Present),
            (&one, Change::Put("3"), Precondition::Any),
            (&two, Change::Delete, Precondition::Present),
            (&one, Change::Put("4"), Precondition::Absent),
            (&two, Change::Put("5"), Precondition::Any),
            (&one, Change::Delete, Precondition::Any),
            (&two, Change::Put("6"), Precondition::Any),
            (&one, Change::Put("7"), Precondition::Present),
        ];
        for (number, (writer, change, precondition)) in (1..).zip(changes) {
            let made = change.transaction(precondition, number);
            let made = writer.commit_one(made).await.unwrap();
            assert!(made.revision().is_some(), "{mode} {number}: {made:?}");
        }
        // What is refused is refused although it was remembered otherwise.
        let refused = [
            (&two, Precondition::Absent),
            (&one, Precondition::Revision(Revision::new(1))),
        ];
        for (writer, precondition) in refused {
            let made = Change::Put("8").transaction(precondition, 50);
            let made = writer.commit_one(made).await.unwrap();
            let Outcome::Conflict(conflict) = made else {
                panic!("{mode} {precondition:?}: {made:?}");
            };
            assert_eq!(conflict.expected, precondition);
        }
        // A check takes part, and the first that fails is told.
        let made = Change::Put("9").transaction(Precondition::Present, 51);
        let other = Write::check(key("b"), Precondition::Present);
        let made = two.commit_one(made.and(other)).await.unwrap();
        assert!(matches!(made, Outcome::Conflict(conflict) if conflict.key == key("b")));
        let expected: Vec<OperationId> = (1..=9).map(OperationId).collect();
        for store in [&legacy, &unified] {
            assert_eq!(operations(store).await, expected, "{mode}");
        }
    }
}

/// A kind that came down from mode 4 has its legacy store made equal to unified by copies, under
/// intents. A copier was slow, a writer took its intent over and wrote legacy, and before unified
/// had it the copier put the older value of unified over it.
#[tokio::test(start_paused = true)]
async fn a_late_copier_does_not_undo_a_write() {
    for call in 0..6 {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let kind = Kind::of(&key("a"));
        let operator = open(&legacy, &unified, process(Mode::Four)).await;
        let before = Change::Put("1").transaction(Precondition::Any, 1);
        operator.commit_one(before).await.unwrap();
        assert!(operator.sync(&kind, &mut |_| {}).await.unwrap().complete);
        let down = operator.set_mode(&kind, Mode::Three, Forced::No).await;
        down.unwrap();
        // Somebody who does not know of all this makes the two differ.
        let foreign = Change::Put("0").transaction(Precondition::Any, 2);
        legacy.commit_one(foreign).await.unwrap();

        let (copier, [copiers, _]) = slow(&legacy, &unified, Mode::Four).await;
        let (writer, [writers, _]) = slow(&legacy, &unified, Mode::Four).await;
        let slow_copier = Gate::default();
        copiers.after(call, Operation::Get, Fault::HoldBefore(slow_copier.clone()));
        let slow_writer = Gate::default();
        writers.next(Operation::Commit, Fault::HoldAfter(slow_writer.clone()));
        let mut copying = tokio::spawn({
            let kind = kind.clone();
            async move { copier.sync(&kind, &mut |_| {}).await }
        });
        tokio::select! {
            () = slow_copier.reached() => {}
            _ = &mut copying => continue,
        }
        let writing = tokio::spawn(async move {
            let late = Change::Put("2").transaction(Precondition::Any, LATE);
            let answer = writer.commit_one(late).await;
            (writer, answer)
        });
        slow_writer.reached().await;
        slow_copier.release();
        // It ends when the write does, or has harmed it by then.
        let copied = tokio::time::timeout(Duration::from_millis(100), &mut copying).await;
        slow_writer.release();
        let (_writer, _) = writing.await.unwrap();
        if copied.is_err() {
            copying.await.unwrap().unwrap();
        }
        for store in [&legacy, &unified] {
            let operations = operations(store).await;
            let lates = operations.iter().filter(|it| it.0 == LATE).count();
            assert_eq!(lates, 1, "before read {call}: {operations:?}");
            assert_eq!(operations.last(), Some(&OperationId(LATE)));
        }
    }
}

/// In mode 4 a copy into legacy came late, after the object was deleted and after another sync,
/// which had found nothing to do, as neither store had the object. The way back then took what only
/// legacy had for the truth.
#[tokio::test(start_paused = true)]
async fn a_late_copy_does_not_bring_an_object_back() {
    for call in 0..6 {
        let (legacy, unified): (Backend, Backend) =
            (Arc::new(Memory::new()), Arc::new(Memory::new()));
        let kind = Kind::of(&key("a"));
        let clock = Arc::new(ManualClock::default());
        let process = || Options {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..process(Mode::Four)
        };
        let operator = open(&legacy, &unified, process()).await;
        let create = Change::Put("1").transaction(Precondition::Absent, 1);
        operator.commit_one(create).await.unwrap();
        // What the process sends arrives late, and then it is dead.
        let network = Faulty::new(Arc::clone(&legacy));
        let delays = network.faults();
        let connection = Faulty::new(network);
        let faults = connection.faults();
        let other = Faulty::new(Arc::clone(&unified));
        let dead = other.faults();
        let copier = DualWriter::open(Arc::new(connection), Arc::new(other), process());
        let copier = copier.await.unwrap();
        copier.status(&kind).await.unwrap();
        let gate = Gate::default();
        delays.after(call, Operation::Commit, Fault::HoldBefore(gate.clone()));
        faults.after(call, Operation::Commit, Fault::CrashAfter);
        let mut copying = tokio::spawn({
            let kind = kind.clone();
            async move { copier.sync(&kind, &mut |_| {}).await.is_ok() }
        });
        tokio::select! {
            () = gate.reached() => {}
            _ = &mut copying => continue,
        }
        let delete = Change::Delete.transaction(Precondition::Present, 2);
        operator.commit_one(delete).await.unwrap();
        // The right to sync of the slow process runs out.
        clock.advance(Duration::from_secs(60));
        assert!(operator.sync(&kind, &mut |_| {}).await.unwrap().complete);
        dead.crash();
        gate.release();
        copying.await.unwrap();
        let down = operator.set_mode(&kind, Mode::Two, Forced::No).await;
        down.unwrap();
        let seen = operator.get(&key("a"), None).await.unwrap();
        assert!(seen.is_none(), "before commit {call}: {seen:?}");
    }
}

/// Internal records have no changes to be asked for, so a kind of them could not come down from
/// mode 4: the change never ended.
#[tokio::test(start_paused = true)]
async fn a_kind_of_internal_records_comes_down_from_mode_4() {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let operator = open(&legacy, &unified, process(Mode::Four)).await;
    let record = ResourceKey::internal("example", "", "a").unwrap();
    let put = |value: &'static str| Transaction::put(record.clone(), Precondition::Any, value);
    operator.commit_one(put("1")).await.unwrap();
    let kind = Kind::of(&record);
    assert!(operator.sync(&kind, &mut |_| {}).await.unwrap().complete);
    operator.commit_one(put("2")).await.unwrap();
    let down = operator.set_mode(&kind, Mode::Two, Forced::No).await;
    down.unwrap();
    let seen = operator.get(&record, None).await.unwrap().unwrap();
    assert_eq!(seen.value, "2");
}

/// Returns the revision of the unfinished write to an object.
async fn intent_of(unified: &Backend, object: &ResourceKey) -> Option<Revision> {
    let intents = ListQuery::live(Scope::resource(INTERNAL_GROUP, "dual.intent"));
    let page = unified.list(&intents).await.unwrap();
    let mut of_object = page.items.iter().filter(|intent| {
        let name = object.name().as_bytes();
        intent.key.name().as_bytes().ends_with(name)
    });
    of_object.next().map(|intent| intent.revision)
}

/// A process finishes writes that did not move between two looks. While it was at the first of
/// them the next one ended, and another write of that object began: it is alive, and left alone.
#[tokio::test(start_paused = true)]
async fn a_write_that_began_while_another_was_helped_is_left_alone() {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let connect = || {
        let connection = Faulty::new(Arc::clone(&legacy));
        let faults = connection.faults();
        (Arc::new(connection) as Backend, faults)
    };
    let ((of_writer, writers), (of_helper, helpers)) = (connect(), connect());
    let quiet = || options(Mode::Two);
    let writer = Arc::new(open(&of_writer, &unified, quiet()).await);
    let helper = open(&of_helper, &unified, quiet()).await;
    let kind = Kind::of(&key("first"));
    for process in [&*writer, &helper] {
        process.status(&kind).await.unwrap();
    }
    let held_write = async |name: &str, precondition: Precondition, value: &'static str| {
        let gate = writers.hold_next(Operation::Commit);
        let put = Transaction::put(key(name), precondition, value);
        let writer = Arc::clone(&writer);
        let writing = tokio::spawn(async move { writer.commit_one(put).await });
        gate.reached().await;
        (gate, writing)
    };
    let (first, first_writing) = held_write("first", Precondition::Absent, "1").await;
    let (second, second_writing) = held_write("second", Precondition::Absent, "1").await;

    let helping = helpers.hold_next(Operation::Commit);
    helping.reached().await;
    second.release();
    let written = second_writing.await.unwrap().unwrap().revision().unwrap();
    let known = Precondition::Revision(written);
    let (third, third_writing) = held_write("second", known, "2").await;
    let alive = intent_of(&unified, &key("second")).await;
    assert!(alive.is_some());
    helping.release();
    let helped = async || intent_of(&unified, &key("first")).await.is_none();
    until("the first write is finished", helped).await;
    // Less than to its next look: this ends when the helper has nothing more to do.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(intent_of(&unified, &key("second")).await, alive);

    third.release();
    first.release();
    let written = third_writing.await.unwrap().unwrap();
    assert!(written.revision().is_some());
    // It was taken over, and its writer need not know how it ended.
    if let Err(error) = first_writing.await.unwrap() {
        assert!(error.is_indeterminate(), "{error}");
    }
    for (name, value) in [("first", "1"), ("second", "2")] {
        for store in [&legacy, &unified] {
            let stored = store.get(&key(name), None).await.unwrap().unwrap();
            assert_eq!(stored.value, value);
        }
    }
}

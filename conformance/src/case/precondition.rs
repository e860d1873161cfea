use bytes::Bytes;
use storage_core::{Op, Precondition, Revision, Transaction, Write};

use crate::step::{
    commit, commit_all, conflict, create, delete, get, head, key, put, revision, text, update,
};
use crate::{Backend, Fixture};

/// Every precondition, for every operation, on an object in every state.
pub async fn every_precondition_in_every_state(t: Fixture) {
    let store = t.open().await;
    let mut number = 0;
    for state in [State::Never, State::Live, State::Deleted, State::Recreated] {
        for op in [Op::Put("v".into()), Op::Delete("d".into()), Op::Check] {
            for precondition in preconditions() {
                number += 1;
                try_one(&store, &format!("k{number}"), state, &op, precondition).await;
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Never,
    Live,
    Deleted,
    Recreated,
}

/// Which revision a precondition names, relative to the object's revisions.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Any,
    Absent,
    Present,
    Newest,
    Older,
    Zero,
    Future,
}

const fn preconditions() -> [Wanted; 7] {
    [
        Wanted::Any,
        Wanted::Absent,
        Wanted::Present,
        Wanted::Newest,
        Wanted::Older,
        Wanted::Zero,
        Wanted::Future,
    ]
}

async fn try_one(store: &Backend, name: &str, state: State, op: &Op, wanted: Wanted) {
    let key = key(name);
    let older = head(store);
    let newest = prepare(store, name, state).await;
    let precondition = match wanted {
        Wanted::Any => Precondition::Any,
        Wanted::Absent => Precondition::Absent,
        Wanted::Present => Precondition::Present,
        Wanted::Newest => Precondition::Revision(newest),
        Wanted::Older => Precondition::Revision(older),
        Wanted::Zero => Precondition::Revision(Revision::ZERO),
        Wanted::Future => Precondition::Revision(Revision::new(newest.get() + 1_000)),
    };
    let before = get(store, &key).await;
    let actual = before.as_ref().map(|stored| stored.revision);
    let exists = matches!(state, State::Live | State::Recreated);
    assert_eq!(actual, exists.then_some(newest));
    let write = Write {
        key: key.clone(),
        precondition,
        op: op.clone(),
    };
    let outcome = commit(store, write).await;
    let what = format!("{op:?} of a {state:?} object if {wanted:?}");
    let holds = match wanted {
        Wanted::Any => true,
        Wanted::Absent => !exists,
        Wanted::Present | Wanted::Newest => exists,
        Wanted::Older | Wanted::Zero | Wanted::Future => false,
    };
    assert_eq!(outcome.revision().is_some(), holds, "{what}");
    if holds {
        let value: Option<Bytes> = get(store, &key).await.map(|stored| stored.value);
        let expected = match op {
            Op::Put(value) => Some(value.clone()),
            Op::Delete(_) => None,
            Op::Check => before.map(|stored| stored.value),
        };
        assert_eq!(value, expected, "{what}");
    } else {
        let conflict = conflict(&outcome);
        assert_eq!(conflict.key, key, "{what}");
        assert_eq!(conflict.expected, precondition, "{what}");
        assert_eq!(conflict.actual, actual, "{what}");
        assert_eq!(get(store, &key).await, before, "{what}");
    }
}

/// Brings an object into a state; returns the revision that it has or had last.
async fn prepare(store: &Backend, name: &str, state: State) -> Revision {
    let key = key(name);
    match state {
        State::Never => head(store),
        State::Live => put(store, &key, "1").await,
        State::Deleted => {
            put(store, &key, "1").await;
            delete(store, &key).await
        }
        State::Recreated => {
            put(store, &key, "1").await;
            delete(store, &key).await;
            put(store, &key, "2").await
        }
    }
}

/// An update at a revision that is not the newest is a conflict that shows the newest.
pub async fn stale_update_conflicts(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    let second = revision(&update(&store, &key("a"), first, "2").await);
    let outcome = update(&store, &key("a"), first, "3").await;
    let conflict = conflict(&outcome);
    assert_eq!(conflict.key, key("a"));
    assert_eq!(conflict.expected, Precondition::Revision(first));
    assert_eq!(conflict.actual, Some(second));
    assert_eq!(text(&store, &key("a")).await.unwrap(), "2");
}

/// A delete at a revision that is not the newest is a conflict, and the object stays.
pub async fn stale_delete_conflicts(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    let second = put(&store, &key("a"), "2").await;
    let stale = Transaction::delete(key("a"), Precondition::Revision(first), "x");
    assert_eq!(conflict(&commit(&store, stale).await).actual, Some(second));
    assert_eq!(text(&store, &key("a")).await.unwrap(), "2");
    let fresh = Transaction::delete(key("a"), Precondition::Revision(second), "x");
    revision(&commit(&store, fresh).await);
    assert_eq!(get(&store, &key("a")).await, None);
}

/// A create of what exists is a conflict that shows the revision it has.
pub async fn a_second_create_conflicts(t: Fixture) {
    let store = t.open().await;
    let first = revision(&create(&store, &key("a"), "1").await);
    let outcome = create(&store, &key("a"), "2").await;
    assert_eq!(conflict(&outcome).actual, Some(first));
    assert_eq!(conflict(&outcome).expected, Precondition::Absent);
    assert_eq!(text(&store, &key("a")).await.unwrap(), "1");
}

/// A deleted object is absent for every precondition, also at the revision that deleted it.
pub async fn a_deleted_object_is_absent(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let deleted = delete(&store, &key("a")).await;
    let outcome = update(&store, &key("a"), deleted, "2").await;
    assert_eq!(conflict(&outcome).actual, None);
    let present = Transaction::put(key("a"), Precondition::Present, "2");
    assert_eq!(conflict(&commit(&store, present).await).actual, None);
    revision(&create(&store, &key("a"), "3").await);
}

/// A revision of an earlier life does not fit the present one.
pub async fn a_revision_of_an_earlier_life_conflicts(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    delete(&store, &key("a")).await;
    let second = put(&store, &key("a"), "1").await;
    let outcome = update(&store, &key("a"), first, "2").await;
    assert_eq!(conflict(&outcome).actual, Some(second));
}

/// Of several failing writes the first is reported.
pub async fn the_first_failing_write_is_reported(t: Fixture) {
    let store = t.open().await;
    let there = put(&store, &key("b"), "1").await;
    let write = |name: &str, precondition| Write {
        key: key(name),
        precondition,
        op: Op::Put("v".into()),
    };
    let transaction = Transaction::default()
        .and(write("z", Precondition::Absent))
        .and(write("b", Precondition::Absent))
        .and(write("a", Precondition::Present));
    let outcome = commit(&store, transaction).await;
    let conflict = conflict(&outcome);
    assert_eq!(conflict.key, key("b"));
    assert_eq!(conflict.expected, Precondition::Absent);
    assert_eq!(conflict.actual, Some(there));
}

/// A write that only checks decides over the whole transaction.
pub async fn a_check_guards_the_other_writes(t: Fixture) {
    let store = t.open().await;
    let guard = put(&store, &key("guard"), "1").await;
    let guarded = || {
        Transaction::put(key("a"), Precondition::Any, "1")
            .and(Write::check(key("guard"), Precondition::Revision(guard)))
    };
    let first = revision(&commit(&store, guarded()).await);
    assert_eq!(get(&store, &key("guard")).await.unwrap().revision, guard);
    let moved = put(&store, &key("guard"), "2").await;
    let outcome = commit(&store, guarded()).await;
    assert_eq!(conflict(&outcome).key, key("guard"));
    assert_eq!(conflict(&outcome).actual, Some(moved));
    assert_eq!(get(&store, &key("a")).await.unwrap().revision, first);
}

/// Preconditions are checked against the state that earlier transactions of the call left.
pub async fn preconditions_see_earlier_transactions_of_the_call(t: Fixture) {
    let store = t.open().await;
    let at = put(&store, &key("a"), "0").await;
    let puts =
        ["1", "2", "3"].map(|value| Transaction::put(key("a"), Precondition::Revision(at), value));
    let outcomes = commit_all(&store, puts.to_vec()).await;
    let winner = revision(&outcomes[0]);
    assert_eq!(conflict(&outcomes[1]).actual, Some(winner));
    assert_eq!(conflict(&outcomes[2]).actual, Some(winner));
    assert_eq!(text(&store, &key("a")).await.unwrap(), "1");
}

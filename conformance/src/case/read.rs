use storage_core::{ErrorKind, Revision};

use crate::check::Replay;
use crate::step::{
    changes, delete, error_kind, get, get_at, head, internal_key, key, put, scope, text_of,
};
use crate::{Backend, Fixture};

/// An object that never existed is none, not an error.
pub async fn a_missing_object_is_none(t: Fixture) {
    let store = t.open().await;
    assert_eq!(get(&store, &key("a")).await, None);
    assert_eq!(get_at(&store, &key("a"), Revision::ZERO).await, None);
    put(&store, &key("ab"), "1").await;
    assert_eq!(get(&store, &key("a")).await, None);
    assert_eq!(get_at(&store, &key("a"), head(&store)).await, None);
}

/// Without a revision the newest value is returned, as soon as its write was acknowledged.
pub async fn the_newest_value_is_returned(t: Fixture) {
    let store = t.open().await;
    for number in 0..20 {
        let at = put(&store, &key("a"), number.to_string()).await;
        let stored = get(&store, &key("a")).await.unwrap();
        assert_eq!(stored.key, key("a"));
        assert_eq!(stored.revision, at);
        assert_eq!(text_of(&stored), number.to_string());
    }
}

/// Between two revisions of an object a read gives the older one.
pub async fn the_value_between_two_revisions_is_the_older_one(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    let between = put(&store, &key("other"), "x").await;
    let second = put(&store, &key("a"), "2").await;
    let before = Revision::new(first.get() - 1);
    assert_eq!(get_at(&store, &key("a"), before).await, None);
    for at in [first, between, Revision::new(second.get() - 1)] {
        assert_eq!(get_at(&store, &key("a"), at).await.unwrap().revision, first);
    }
    assert_eq!(
        get_at(&store, &key("a"), second).await.unwrap().revision,
        second
    );
    put(&store, &key("other"), "y").await;
    let newest = head(&store);
    assert_eq!(
        get_at(&store, &key("a"), newest).await.unwrap().revision,
        second
    );
}

/// A deleted object is absent at its deletion and after, present before, and so in each life.
pub async fn a_deleted_object_is_absent_from_its_deletion_on(t: Fixture) {
    let store = t.open().await;
    let a = key("a");
    let created = put(&store, &a, "1").await;
    let deleted = delete(&store, &a).await;
    let later = put(&store, &key("other"), "x").await;
    assert_eq!(get(&store, &a).await, None);
    assert_eq!(get_at(&store, &a, deleted).await, None);
    assert_eq!(get_at(&store, &a, later).await, None);
    assert_eq!(get_at(&store, &a, created).await.unwrap().revision, created);
    let again = put(&store, &a, "2").await;
    assert_eq!(get_at(&store, &a, later).await, None);
    assert_eq!(get_at(&store, &a, again).await.unwrap().created, again);
    assert_eq!(get_at(&store, &a, created).await.unwrap().created, created);
}

/// A read at every revision of a busy store gives what was there then.
pub async fn every_revision_can_be_read_again(t: Fixture) {
    let store = t.open().await;
    busy(&store).await;
    let replay = Replay::new(changes(&store, scope(), Revision::ZERO).await);
    for at in 0..=head(&store).get() {
        let at = Revision::new(at);
        let then = replay.state_at(at);
        for name in 0..5 {
            let key = key(&name.to_string());
            let expected = then.get(&key).cloned();
            assert_eq!(get_at(&store, &key, at).await, expected, "{key} at {at}");
        }
    }
}

/// Creates, updates, deletes and creates again, in a mixed but fixed order.
async fn busy(store: &Backend) {
    for step in 0_u32..60 {
        let key = key(&(step * 7 % 5).to_string());
        if step % 4 == 3 && get(store, &key).await.is_some() {
            delete(store, &key).await;
        } else {
            put(store, &key, step.to_string()).await;
        }
    }
}

/// A revision that the store has not reached is an error, for an object that exists or not.
pub async fn reading_at_the_future_is_refused(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    for at in [head(&store).next(), Revision::MAX] {
        for name in ["a", "missing"] {
            let answer = store.get(&key(name), Some(at)).await;
            assert_eq!(error_kind(answer), ErrorKind::FutureRevision);
        }
    }
    assert!(get_at(&store, &key("a"), head(&store)).await.is_some());
}

/// A control record cannot be read at a revision, whichever.
pub async fn the_internal_group_has_no_old_revisions(t: Fixture) {
    let store = t.open().await;
    let at = put(&store, &internal_key("a"), "1").await;
    for at in [Revision::ZERO, at, head(&store)] {
        let answer = store.get(&internal_key("a"), Some(at)).await;
        assert_eq!(error_kind(answer), ErrorKind::Invalid);
    }
}

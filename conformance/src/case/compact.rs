use std::collections::BTreeMap;
use std::time::Duration;

use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Order, ResourceKey, Retention, Revision, Scope, Stored,
};

use crate::check::Replay;
use crate::step::{
    changes, compact, delete, error_kind, get, get_at, head, internal_key, keep_all, key, list,
    names, put, revisions, scope, text,
};
use crate::{Backend, Fixture};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Keeps as little as can be kept.
fn keep_nothing() -> Retention {
    Retention {
        changes_max: Some(0),
        history_per_object: Some(1),
        trash_age_max: Some(Duration::ZERO),
        ..keep_all()
    }
}

fn changes_max(count: u64) -> Retention {
    Retention {
        changes_max: Some(count),
        ..keep_all()
    }
}

/// Fills a store with `steps` writes to 7 objects, a fifth of them deletions.
async fn fill(store: &Backend, steps: u32) {
    for step in 0..steps {
        let key = key(&(step * 3 % 7).to_string());
        if step % 5 == 4 && get(store, &key).await.is_some() {
            delete(store, &key).await;
        } else {
            put(store, &key, step.to_string()).await;
        }
    }
}

/// What a store showed before a compaction, to compare with what it shows after it.
struct Before {
    replay: Replay,
    history: BTreeMap<ResourceKey, Vec<Stored>>,
}

impl Before {
    async fn new(store: &Backend) -> Self {
        let mut history: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for item in list(store, ListQuery::history(Scope::All, Order::Ascending)).await {
            history.entry(item.key.clone()).or_default().push(item);
        }
        let changes = changes(store, Scope::All, Revision::ZERO).await;
        Self {
            replay: Replay::new(changes),
            history,
        }
    }

    /// Checks everything that no compaction may change.
    async fn check(&self, store: &Backend, horizon: Revision) {
        self.check_changes(store, horizon).await;
        for at in 0..=head(store).get() {
            self.check_reads(store, horizon, Revision::new(at)).await;
        }
        self.check_history(store, horizon).await;
    }

    async fn check_changes(&self, store: &Backend, horizon: Revision) {
        let kept = self.replay.changes().iter();
        let kept: Vec<_> = kept
            .filter(|c| c.object.revision > horizon)
            .cloned()
            .collect();
        assert_eq!(changes(store, Scope::All, horizon).await, kept);
        if horizon > Revision::ZERO {
            let below = ChangesQuery::new(Scope::All, Revision::new(horizon.get() - 1));
            assert_eq!(error_kind(store.changes(&below).await), ErrorKind::Expired);
        }
    }

    async fn check_reads(&self, store: &Backend, horizon: Revision, at: Revision) {
        let answer = store.list(&ListQuery::live(Scope::All).at(at)).await;
        let then = self.replay.state_at(at);
        if at >= horizon {
            let expected: Vec<_> = then.values().cloned().collect();
            assert_eq!(answer.unwrap().items, expected, "list at {at}");
        } else {
            assert_eq!(error_kind(answer), ErrorKind::Expired);
        }
        for key in self.history.keys() {
            match store.get(key, Some(at)).await {
                Ok(answer) => assert_eq!(answer.as_ref(), then.get(key), "{key} at {at}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Expired);
                    assert!(at < horizon, "{key} at {at} is expired above {horizon}");
                }
            }
        }
    }

    /// Only the oldest revisions of an object may be gone, and none that a read reaches.
    async fn check_history(&self, store: &Backend, horizon: Revision) {
        let newest = self.replay.state_at(head(store));
        let trash = list(store, ListQuery::trash(Scope::All)).await;
        for (key, before) in &self.history {
            let query = ListQuery::history(Scope::Object(key.clone()), Order::Ascending);
            let after = list(store, query).await;
            assert!(before.ends_with(&after), "{key}: {after:?} of {before:?}");
            let in_trash = trash.iter().any(|item| item.key == *key);
            let dropped = after.is_empty();
            assert_eq!(newest.contains_key(key) || in_trash, !dropped, "{key}");
            let first_kept = after.first().map_or(Revision::MAX, |first| first.revision);
            let reached = before.iter().rev().find(|s| s.revision <= horizon);
            if let Some(reached) = reached.filter(|s| s.kind != storage_core::ChangeKind::Deleted) {
                assert!(first_kept <= reached.revision, "{key} at {horizon} is gone");
            }
        }
    }
}

/// A policy that keeps everything drops nothing.
pub async fn what_the_policy_keeps_is_kept(t: Fixture) {
    let store = t.open().await;
    fill(&store, 40).await;
    let before = Before::new(&store).await;
    t.clock().advance(1_000 * HOUR);
    let done = compact(&store, &keep_all()).await;
    assert_eq!((done.changes, done.history, done.trash), (0, 0, 0));
    assert_eq!(done.horizon, Revision::ZERO);
    before.check(&store, Revision::ZERO).await;
}

/// A policy by count drops the oldest changes; what is left is complete.
pub async fn changes_are_dropped_by_count(t: Fixture) {
    let store = t.open().await;
    fill(&store, 60).await;
    let before = Before::new(&store).await;
    let done = compact(&store, &changes_max(20)).await;
    let left = changes(&store, Scope::All, done.horizon).await.len();
    assert!(
        (10..=40).contains(&left),
        "{left} changes are left of about 20"
    );
    assert_eq!(done.changes as usize, 60 - left);
    assert_eq!((done.history, done.trash), (0, 0));
    before.check(&store, done.horizon).await;
}

/// A policy by age drops changes of that age, and no younger one.
pub async fn changes_are_dropped_by_age(t: Fixture) {
    let store = t.open().await;
    let mut written = Vec::new();
    for number in 0..10 {
        written.push(put(&store, &key("a"), number.to_string()).await);
        t.clock().advance(HOUR);
    }
    let before = Before::new(&store).await;
    // The ages are now 10 h, 9 h, ... 1 h.
    let policy = Retention {
        changes_age_max: Some(4 * HOUR),
        ..keep_all()
    };
    let done = compact(&store, &policy).await;
    let left = changes(&store, Scope::All, done.horizon).await;
    let left: Vec<_> = left.iter().map(|change| change.object.revision).collect();
    assert_eq!(left, written[7..], "3 h, 2 h and 1 h are younger than 4 h");
    assert_eq!(done.horizon, written[6]);
    before.check(&store, done.horizon).await;
}

/// Changes younger than the minimal age stay, whatever the count says.
pub async fn young_changes_are_kept(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "old").await;
    let old = put(&store, &key("b"), "old").await;
    t.clock().advance(HOUR);
    fill(&store, 20).await;
    t.clock().advance(HOUR / 2);
    let before = Before::new(&store).await;
    let policy = Retention {
        changes_age_min: HOUR,
        ..keep_nothing()
    };
    let done = compact(&store, &policy).await;
    assert_eq!(done.horizon, old);
    assert_eq!(changes(&store, Scope::All, done.horizon).await.len(), 20);
    before.check(&store, done.horizon).await;
}

/// The horizon is exact: a read at it answers, one below it is expired, for every kind of read.
pub async fn the_horizon_is_exact(t: Fixture) {
    let store = t.open().await;
    fill(&store, 30).await;
    let query = ListQuery::live(scope()).limit(1);
    let mut cursors = Vec::new();
    for at in 0..=head(&store).get() {
        let page = store
            .list(&query.clone().at(Revision::new(at)))
            .await
            .unwrap();
        cursors.extend(page.next.map(|cursor| (cursor, page.items)));
    }
    let horizon = compact(&store, &changes_max(10)).await.horizon;
    assert!(Revision::ZERO < horizon && horizon < head(&store));
    for (cursor, first) in cursors {
        let at = cursor.revision;
        let answer = store.list(&ListQuery::live(scope()).after(cursor)).await;
        if at < horizon {
            assert_eq!(error_kind(answer), ErrorKind::Expired, "a page of {at}");
        } else {
            let mut both = first;
            both.extend(answer.unwrap().items);
            assert_eq!(both, list(&store, ListQuery::live(scope()).at(at)).await);
        }
    }
    for after in 0..=head(&store).get() {
        let answer = store
            .changes(&ChangesQuery::new(scope(), Revision::new(after)))
            .await;
        assert_eq!(
            answer.is_ok(),
            after >= horizon.get(),
            "changes after {after}"
        );
    }
}

/// The harshest policy leaves every live object, and every read at the horizon.
pub async fn live_objects_are_never_dropped(t: Fixture) {
    let store = t.open().await;
    let untouched = put(&store, &key("untouched"), "1").await;
    fill(&store, 60).await;
    t.clock().advance(1_000 * HOUR);
    let before = Before::new(&store).await;
    let live = list(&store, ListQuery::live(Scope::All)).await;
    let stats = store.stats(&Scope::All).await.unwrap();
    let done = compact(&store, &keep_nothing()).await;
    before.check(&store, done.horizon).await;
    assert_eq!(list(&store, ListQuery::live(Scope::All)).await, live);
    assert_eq!(store.stats(&Scope::All).await.unwrap(), stats);
    assert_eq!(
        get(&store, &key("untouched")).await.unwrap().revision,
        untouched
    );
    assert_eq!(list(&store, ListQuery::trash(Scope::All)).await, []);
}

/// Of each object the newest revisions are kept, as many as the policy says.
pub async fn history_is_kept_by_number(t: Fixture) {
    let store = t.open().await;
    for number in 0..6 {
        put(&store, &key("six"), number.to_string()).await;
        if number < 2 {
            put(&store, &key("two"), number.to_string()).await;
        }
    }
    put(&store, &key("deleted"), "1").await;
    put(&store, &key("deleted"), "2").await;
    put(&store, &key("deleted"), "3").await;
    delete(&store, &key("deleted")).await;
    let before = Before::new(&store).await;
    let policy = Retention {
        changes_max: Some(0),
        history_per_object: Some(3),
        ..keep_all()
    };
    let done = compact(&store, &policy).await;
    before.check(&store, done.horizon).await;
    assert_eq!(done.horizon, head(&store));
    for (name, count) in [("six", 3), ("two", 2), ("deleted", 3)] {
        let query = ListQuery::history(Scope::Object(key(name)), Order::Descending);
        assert_eq!(list(&store, query).await.len(), count, "{name}");
    }
    assert_eq!(done.history, 4);
}

/// Old values stay readable below the horizon as far as the history is kept.
pub async fn kept_history_is_readable_below_the_horizon(t: Fixture) {
    let store = t.open().await;
    let mut written = Vec::new();
    for number in 0..6 {
        written.push(put(&store, &key("a"), number.to_string()).await);
        put(&store, &key("b"), "noise").await;
    }
    let policy = Retention {
        history_per_object: Some(3),
        ..keep_nothing()
    };
    let done = compact(&store, &policy).await;
    assert!(done.horizon > written[5]);
    for (number, at) in written.iter().enumerate() {
        for at in [*at, at.next()] {
            let answer = store.get(&key("a"), Some(at)).await;
            if number < 3 {
                assert_eq!(error_kind(answer), ErrorKind::Expired, "at {at}");
            } else {
                assert_eq!(
                    answer.unwrap().unwrap().revision,
                    written[number],
                    "at {at}"
                );
            }
        }
    }
}

/// A revision that a read above the horizon reaches stays beyond the number of the policy.
pub async fn reachable_history_is_kept_beyond_the_number(t: Fixture) {
    let store = t.open().await;
    for number in 0..20 {
        put(&store, &key("a"), number.to_string()).await;
    }
    let before = Before::new(&store).await;
    let policy = Retention {
        history_per_object: Some(1),
        ..changes_max(10)
    };
    let done = compact(&store, &policy).await;
    before.check(&store, done.horizon).await;
    assert!(done.history > 0);
}

/// Deleted objects leave trash and history by age: those of that age and no others.
pub async fn trash_is_dropped_by_age(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c"] {
        put(&store, &key(name), "1").await;
        put(&store, &key(name), "2").await;
        delete(&store, &key(name)).await;
        t.clock().advance(HOUR);
    }
    put(&store, &key("live"), "1").await;
    let policy = Retention {
        changes_max: Some(0),
        trash_age_max: Some(2 * HOUR),
        ..keep_all()
    };
    let done = compact(&store, &policy).await;
    assert_eq!(done.trash, 2);
    assert_eq!(names(&list(&store, ListQuery::trash(scope())).await), ["c"]);
    for name in ["a", "b"] {
        let query = ListQuery::history(Scope::Object(key(name)), Order::Ascending);
        assert_eq!(list(&store, query).await, []);
        assert_eq!(get(&store, &key(name)).await, None);
    }
    let query = ListQuery::history(Scope::Object(key("c")), Order::Ascending);
    assert_eq!(list(&store, query).await.len(), 3);
}

/// A deletion whose change is still kept stays in the trash, however old.
pub async fn a_deletion_that_a_watcher_may_still_read_is_kept(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    delete(&store, &key("a")).await;
    let before = Before::new(&store).await;
    t.clock().advance(1_000 * HOUR);
    let policy = Retention {
        changes_max: None,
        ..keep_nothing()
    };
    let done = compact(&store, &policy).await;
    assert_eq!(done.trash, 0);
    before.check(&store, done.horizon).await;
    assert_eq!(names(&list(&store, ListQuery::trash(scope())).await), ["a"]);
}

/// Compaction step by step: what was deleted stays deleted in between, whether its older revisions
/// go before it by number or with it by age.
pub async fn what_was_deleted_stays_deleted_at_every_step(t: Fixture) {
    let store = t.open().await;
    for history_per_object in [Some(1), None] {
        let policy = Retention {
            history_per_object,
            step_max: 1,
            ..keep_nothing()
        };
        deleted_step_by_step(&store, &policy).await;
    }
}

async fn deleted_step_by_step(store: &Backend, policy: &Retention) {
    let start = head(store);
    for number in 0..5 {
        for value in ["1", "2", "3"] {
            put(store, &key(&format!("deleted{number}")), value).await;
        }
    }
    for number in 0..5 {
        delete(store, &key(&format!("deleted{number}"))).await;
        put(store, &key(&format!("live{number} {start}")), "1").await;
    }
    let history = list(store, ListQuery::history(Scope::All, Order::Ascending)).await;
    let live = list(store, ListQuery::live(scope())).await;
    let mut steps = 0;
    loop {
        let step = store.compact(policy).await.unwrap();
        assert_eq!(list(store, ListQuery::live(scope())).await, live);
        for number in 0..5 {
            let key = key(&format!("deleted{number}"));
            assert_eq!(get(store, &key).await, None);
            check_deleted(store, &key, &history).await;
        }
        steps += 1;
        if !step.more {
            break;
        }
    }
    assert!(steps > 20, "30 records in {steps} steps of 1");
    assert_eq!(list(store, ListQuery::trash(scope())).await, []);
    assert_eq!(
        list(store, ListQuery::history(scope(), Order::Ascending)).await,
        live
    );
}

/// A deleted object has its deletion record as long as it has any, and no read shows it later.
async fn check_deleted(store: &Backend, key: &ResourceKey, before: &[Stored]) {
    let before: Vec<_> = before
        .iter()
        .filter(|stored| stored.key == *key)
        .cloned()
        .collect();
    let query = ListQuery::history(Scope::Object(key.clone()), Order::Ascending);
    let after = list(store, query).await;
    assert!(before.ends_with(&after), "{key}: {after:?} of {before:?}");
    let trash = list(store, ListQuery::trash(Scope::Object(key.clone()))).await;
    assert_eq!(
        trash.len(),
        usize::from(!after.is_empty()),
        "{key}: {after:?}"
    );
    let deletion = before.last().expect("it was deleted").revision;
    assert_eq!(get_at(store, key, head(store)).await, None);
    match store.get(key, Some(deletion)).await {
        Ok(there) => assert_eq!(there, None, "{key} came back"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Expired),
    }
}

/// A step looks at no more than `step_max` records; many small steps do what a large one does.
pub async fn steps_are_bounded(t: Fixture) {
    let store = t.open().await;
    fill(&store, 60).await;
    let before = Before::new(&store).await;
    let policy = Retention {
        step_max: 7,
        ..keep_nothing()
    };
    let mut dropped = (0, 0, 0);
    loop {
        let step = store.compact(&policy).await.unwrap();
        assert!(step.changes + step.history <= 7, "{step:?}");
        dropped = (
            dropped.0 + step.changes,
            dropped.1 + step.history,
            dropped.2 + step.trash,
        );
        before.check_changes(&store, step.horizon).await;
        if !step.more {
            break;
        }
    }
    let live = list(&store, ListQuery::live(Scope::All)).await;
    assert_eq!(dropped.0, 60);
    assert_eq!(dropped.1, 60 - live.len() as u64);
    assert_eq!(dropped.2, 7 - live.len() as u64);
    let again = store.compact(&policy).await.unwrap();
    assert_eq!(
        (again.changes, again.history, again.trash, again.more),
        (0, 0, 0, false)
    );
}

/// The horizon never goes back, not by a policy that would keep more, and not beyond the head.
pub async fn the_horizon_never_goes_back(t: Fixture) {
    let store = t.open().await;
    let mut last = Revision::ZERO;
    for count in [30, 10, 20, 0, 25, 5] {
        fill(&store, 15).await;
        let horizon = compact(&store, &changes_max(count)).await.horizon;
        assert!(horizon >= last, "{horizon} after {last}");
        assert!(horizon <= head(&store));
        last = horizon;
    }
    assert!(last > Revision::ZERO);
    assert_eq!(compact(&store, &keep_all()).await.horizon, last);
}

/// After everything of an object is dropped it can be created like one that never was.
pub async fn a_dropped_object_is_created_anew(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    delete(&store, &key("a")).await;
    compact(&store, &keep_nothing()).await;
    let after = head(&store);
    assert_eq!(
        error_kind(store.get(&key("a"), Some(first)).await),
        ErrorKind::Expired
    );
    assert_eq!(get_at(&store, &key("a"), after).await, None);
    let again = put(&store, &key("a"), "2").await;
    assert!(again > after);
    assert_eq!(get(&store, &key("a")).await.unwrap().created, again);
    let change = changes(&store, scope(), after).await.remove(0);
    assert_eq!(change.previous, None);
    assert_eq!(get_at(&store, &key("a"), after).await, None);
    let query = ListQuery::history(scope(), Order::Ascending);
    assert_eq!(revisions(&list(&store, query).await), [again]);
    assert_eq!(
        error_kind(store.get(&key("a"), Some(first)).await),
        ErrorKind::Expired
    );
}

/// An update after a compaction has the right value before it, and the next compaction is right.
pub async fn writes_go_on_after_a_compaction(t: Fixture) {
    let store = t.open().await;
    fill(&store, 30).await;
    let horizon = compact(&store, &keep_nothing()).await.horizon;
    let live = list(&store, ListQuery::live(Scope::All)).await;
    for item in &live {
        put(&store, &item.key, "after").await;
    }
    let all = changes(&store, Scope::All, horizon).await;
    let previous: Vec<_> = all.iter().map(|c| c.previous.clone().unwrap()).collect();
    for (item, previous) in live.iter().zip(previous) {
        assert_eq!(
            (item.revision, &item.value),
            (previous.revision, &previous.value)
        );
    }
    assert_eq!(
        list(&store, ListQuery::live(Scope::All).at(horizon)).await,
        live
    );
    fill(&store, 30).await;
    assert!(compact(&store, &keep_nothing()).await.horizon > horizon);
}

/// Control records are not history: no policy drops them.
pub async fn control_records_are_not_compacted(t: Fixture) {
    let store = t.open().await;
    for number in 0..5 {
        put(&store, &internal_key("a"), number.to_string()).await;
    }
    let at = put(&store, &internal_key("b"), "1").await;
    fill(&store, 10).await;
    t.clock().advance(1_000 * HOUR);
    compact(&store, &keep_nothing()).await;
    assert_eq!(text(&store, &internal_key("a")).await.unwrap(), "4");
    assert_eq!(get(&store, &internal_key("b")).await.unwrap().revision, at);
}

/// A history list below the horizon shows what is kept, and its pages go on beside compactions.
pub async fn history_pages_go_on_after_a_compaction(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c"] {
        for number in 0..4 {
            put(&store, &key(name), number.to_string()).await;
        }
    }
    let first = store
        .list(&ListQuery::history(scope(), Order::Ascending).limit(4))
        .await
        .unwrap();
    assert_eq!(names(&first.items), ["a"; 4]);
    let policy = Retention {
        history_per_object: Some(2),
        ..keep_nothing()
    };
    compact(&store, &policy).await;
    let rest = ListQuery::history(scope(), Order::Ascending).after(first.next.unwrap());
    assert_eq!(names(&list(&store, rest).await), ["b", "b", "c", "c"]);
}

/// A step of no records is refused.
pub async fn a_step_of_no_records_is_refused(t: Fixture) {
    let store = t.open().await;
    let policy = Retention {
        step_max: 0,
        ..keep_all()
    };
    assert_eq!(error_kind(store.compact(&policy).await), ErrorKind::Invalid);
}

/// An empty store has nothing to compact.
pub async fn an_empty_store_has_nothing_to_compact(t: Fixture) {
    let store = t.open().await;
    let done = store.compact(&keep_nothing()).await.unwrap();
    assert_eq!(
        (done.changes, done.history, done.trash, done.more),
        (0, 0, 0, false)
    );
    assert!(done.horizon <= head(&store));
    put(&store, &key("a"), "1").await;
    assert_eq!(text(&store, &key("a")).await.unwrap(), "1");
}

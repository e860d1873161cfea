use std::time::Duration;

use storage_core::{
    Durability, ListQuery, Order, Retention, Revision, Scope, Sharing, Stored, Transaction,
};

use crate::step::{
    changes, commit, compact, delete, get, head, internal_key, keep_all, key, list, put, scope,
    text,
};
use crate::{Backend, Fixture, Reopening, SecondOpen};

/// Everything that a store shows.
#[derive(Debug, PartialEq)]
struct Everything {
    live: Vec<Stored>,
    history: Vec<Stored>,
    trash: Vec<Stored>,
    changes: Vec<std::sync::Arc<storage_core::Change>>,
    stats: Vec<storage_core::ResourceStats>,
    internal: Option<Stored>,
    head: Revision,
}

impl Everything {
    async fn of(store: &Backend, horizon: Revision) -> Self {
        Self {
            live: list(store, ListQuery::live(Scope::All)).await,
            history: list(store, ListQuery::history(Scope::All, Order::Ascending)).await,
            trash: list(store, ListQuery::trash(Scope::All)).await,
            changes: changes(store, Scope::All, horizon).await,
            stats: store.stats(&Scope::All).await.unwrap(),
            internal: get(store, &internal_key("a")).await,
            head: head(store),
        }
    }
}

async fn fill(store: &Backend) {
    for number in 0..20 {
        put(store, &key(&(number % 6).to_string()), number.to_string()).await;
    }
    delete(store, &key("1")).await;
    delete(store, &key("2")).await;
    put(store, &key("2"), "again").await;
    put(store, &internal_key("a"), "control").await;
}

/// Most revisions that a layer with control records takes as it is opened.
const REVISIONS_TO_OPEN_MAX: u64 = 4;

/// Asserts that a reopened store shows what it showed before. A layer that adds control records may
/// take revisions for them as it is opened.
async fn expect_kept(t: &Fixture, store: &Backend, before: &Everything, horizon: Revision) {
    let mut now = Everything::of(store, horizon).await;
    let most = before.head.get() + t.journals() as u64 * REVISIONS_TO_OPEN_MAX;
    assert!(
        (before.head.get()..=most).contains(&now.head.get()),
        "the head went from {} to {}",
        before.head,
        now.head
    );
    now.head = before.head;
    assert_eq!(now, *before);
}

/// Asserts that a store which keeps nothing was opened as a new one.
async fn expect_new(store: &Backend) {
    assert_eq!(list(store, ListQuery::live(Scope::All)).await, []);
    assert_eq!(
        list(store, ListQuery::history(Scope::All, Order::Ascending)).await,
        []
    );
    assert_eq!(store.stats(&Scope::All).await.unwrap(), []);
    assert_eq!(get(store, &internal_key("a")).await, None);
}

/// What a backend says of itself agrees with what is declared for it.
pub async fn a_backend_tells_what_it_is(t: Fixture) {
    let store = t.open().await;
    let info = store.info();
    assert!(!info.engine.is_empty());
    assert!(!info.location.is_empty());
    let declared = t.declared();
    if info.durability == Durability::Durable {
        assert_eq!(declared.reopening, Reopening::KeepsAll);
    }
    let shared = declared.second_open == SecondOpen::SameStore;
    assert_eq!(info.sharing == Sharing::ManyProcesses, shared);
    assert_eq!(format!("{:?}", store.info()), format!("{info:?}"));
}

/// All that was acknowledged is there after the store was closed and opened again.
pub async fn everything_survives_reopening(t: Fixture) {
    let store = t.open().await;
    fill(&store).await;
    let before = Everything::of(&store, Revision::ZERO).await;
    let store = t.reopen(store).await;
    match t.declared().reopening {
        Reopening::KeepsNothing => expect_new(&store).await,
        Reopening::KeepsAll => {
            expect_kept(&t, &store, &before, Revision::ZERO).await;
            let next = put(&store, &key("a"), "after").await;
            assert!(next > before.head);
        }
    }
}

/// The horizon and what a compaction left survive, half way too; the next one goes on.
pub async fn a_compaction_survives_reopening(t: Fixture) {
    let mut store = t.open().await;
    fill(&store).await;
    let policy = Retention {
        changes_max: Some(0),
        history_per_object: Some(1),
        trash_age_max: Some(Duration::ZERO),
        step_max: 5,
        ..keep_all()
    };
    let mut horizon = Revision::ZERO;
    for _ in 0..100 {
        let step = store.compact(&policy).await.unwrap();
        assert!(step.horizon >= horizon, "the horizon went back");
        horizon = step.horizon;
        let before = Everything::of(&store, horizon).await;
        store = t.reopen(store).await;
        match t.declared().reopening {
            Reopening::KeepsNothing => return expect_new(&store).await,
            Reopening::KeepsAll => {
                expect_kept(&t, &store, &before, horizon).await;
            }
        }
        if !step.more {
            let below = ListQuery::live(Scope::All).at(Revision::new(horizon.get() - 1));
            assert!(
                store.list(&below).await.is_err(),
                "the horizon is forgotten"
            );
            assert_eq!(before.live.len(), before.history.len());
            return;
        }
    }
    panic!("no end of the compaction");
}

/// Revisions rise from one opening to the next, also when every object and change is gone.
pub async fn revisions_never_go_back_after_reopening(t: Fixture) {
    let mut store = t.open().await;
    let mut last = Revision::ZERO;
    for round in 0..4 {
        put(&store, &key("a"), "1").await;
        last = delete(&store, &key("a")).await.max(last);
        let policy = Retention {
            changes_max: Some(0),
            history_per_object: Some(1),
            trash_age_max: Some(Duration::ZERO),
            ..keep_all()
        };
        compact(&store, &policy).await;
        store = t.reopen(store).await;
        match t.declared().reopening {
            Reopening::KeepsNothing => return expect_new(&store).await,
            Reopening::KeepsAll => assert!(head(&store) >= last, "round {round}"),
        }
        let next = put(&store, &key("b"), "1").await;
        assert!(next > last, "{next} after {last}");
        delete(&store, &key("b")).await;
    }
}

/// A raise survives, though it wrote no record.
pub async fn a_raise_survives_reopening(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let wanted = Revision::new(10_000);
    commit(&store, Transaction::raise(wanted)).await;
    let store = t.reopen(store).await;
    match t.declared().reopening {
        Reopening::KeepsNothing => expect_new(&store).await,
        Reopening::KeepsAll => {
            assert!(head(&store) >= wanted);
            assert_eq!(text(&store, &key("a")).await.unwrap(), "1");
            assert!(put(&store, &key("a"), "2").await > wanted);
        }
    }
}

/// A list goes on after its store was closed and opened again: a cursor is worth as much.
pub async fn a_cursor_survives_reopening(t: Fixture) {
    let store = t.open().await;
    fill(&store).await;
    let whole = list(&store, ListQuery::live(scope())).await;
    let first = store
        .list(&ListQuery::live(scope()).limit(2))
        .await
        .unwrap();
    put(&store, &key("0"), "later").await;
    delete(&store, &key("5")).await;
    let store = t.reopen(store).await;
    match t.declared().reopening {
        Reopening::KeepsNothing => expect_new(&store).await,
        Reopening::KeepsAll => {
            let rest = ListQuery::live(scope()).after(first.next.unwrap());
            let mut both = first.items;
            both.extend(list(&store, rest).await);
            assert_eq!(both, whole);
        }
    }
}

/// Many short lives of a store: each sees what all before it wrote.
pub async fn a_store_is_opened_many_times(t: Fixture) {
    let mut store = t.open().await;
    for round in 0..5 {
        put(&store, &key(&round.to_string()), round.to_string()).await;
        put(&store, &key("same"), round.to_string()).await;
        store = t.reopen(store).await;
        match t.declared().reopening {
            Reopening::KeepsNothing => expect_new(&store).await,
            Reopening::KeepsAll => {
                assert_eq!(
                    list(&store, ListQuery::live(scope())).await.len(),
                    round + 2
                );
                assert_eq!(text(&store, &key("same")).await.unwrap(), round.to_string());
            }
        }
    }
}

/// Opening a store that is open does what is declared, and does not harm the first handle.
pub async fn opening_twice_does_what_is_declared(t: Fixture) {
    let first = t.open().await;
    put(&first, &key("a"), "1").await;
    let second = t.try_open().await;
    match t.declared().second_open {
        SecondOpen::Refused => {
            let error = second.expect_err("a second open is refused");
            assert!(!error.context().is_empty());
        }
        SecondOpen::SameStore => {
            let second = second.expect("a second handle");
            assert_eq!(text(&second, &key("a")).await.unwrap(), "1");
            put(&second, &key("a"), "2").await;
            assert_eq!(text(&first, &key("a")).await.unwrap(), "2");
        }
        SecondOpen::NewStore => expect_new(&second.expect("a store of its own")).await,
    }
    put(&first, &key("b"), "1").await;
    assert_eq!(text(&first, &key("b")).await.unwrap(), "1");
}

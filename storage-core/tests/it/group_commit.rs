use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use storage_core::layer::{GroupCommit, GroupCommitLimits};
use storage_core::limits::VALUE_BYTES_MAX;
use storage_core::{
    Error, ErrorKind, Memory, Outcome, Precondition, Result, Revision, Scope, StorageBackend,
    StorageBackendExt, Transaction,
};

use crate::double::{Double, unavailable};
use crate::fixture::{DEADLINE, all_changes, assert_pending, key, puts, revision, within, write};

type Call<'a> = BoxFuture<'a, Result<Vec<Outcome>>>;

struct Group {
    store: Arc<Double>,
    layer: Arc<GroupCommit<Arc<Double>>>,
}

impl Group {
    fn new() -> Self {
        Self::with_limits(GroupCommitLimits::default())
    }

    fn with_limits(limits: GroupCommitLimits) -> Self {
        let store = Double::new();
        let layer = Arc::new(GroupCommit::with_limits(Arc::clone(&store), limits));
        Self { store, layer }
    }

    /// Queues a call, or makes it wait for room.
    fn call(&self, transactions: Vec<Transaction>) -> Call<'_> {
        let mut call = self.layer.commit(transactions);
        assert_pending(&mut call);
        call
    }

    /// Makes the worker busy, so that what follows has to queue.
    async fn busy(&self) -> Call<'_> {
        self.store.hold();
        let begun = self.store.commits().len() + 1;
        let call = self.call(vec![puts("things", &["first"])]);
        self.store.commits_begun(begun).await;
        call
    }

    async fn exists(&self, name: &str) -> bool {
        let stored = self.store.get(&key("things", name), None).await;
        stored.unwrap().is_some()
    }
}

fn one(name: &str) -> Vec<Transaction> {
    vec![puts("things", &[name])]
}

async fn revisions(call: Call<'_>) -> Vec<u64> {
    let outcomes = within(call).await.unwrap();
    outcomes.iter().map(|o| revision(o).get()).collect()
}

async fn kind(call: Call<'_>) -> ErrorKind {
    within(call).await.unwrap_err().kind()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_share_one_commit() {
    let group = Group::new();
    let first = group.busy().await;
    let names: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    let calls: Vec<_> = names.iter().map(|name| group.call(one(name))).collect();
    group.store.release();
    assert_eq!(revisions(first).await, [1]);
    for (call, expected) in calls.into_iter().zip(2..) {
        assert_eq!(
            revisions(call).await,
            [expected],
            "in the order of the queue"
        );
    }
    assert_eq!(group.store.commits(), [1, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_gets_the_outcomes_of_its_own_transactions() {
    let group = Group::new();
    let first = group.busy().await;
    let create = |name| Transaction::put(key("things", name), Precondition::Absent, "v");
    let a = group.call(vec![create("a"), create("b")]);
    let b = group.call(vec![]);
    let c = group.call(vec![create("b"), create("c"), create("a")]);
    let d = group.call(vec![create("d")]);
    group.store.release();
    assert_eq!(revisions(first).await, [1]);
    assert_eq!(revisions(a).await, [2, 3]);
    assert_eq!(revisions(b).await, [0; 0]);
    let [
        Outcome::Conflict(b),
        Outcome::Committed { revision },
        Outcome::Conflict(a),
    ] = &within(c).await.unwrap()[..]
    else {
        panic!("not the outcomes of this call");
    };
    assert_eq!(
        (&b.key, b.actual),
        (&key("things", "b"), Some(Revision::new(3)))
    );
    assert_eq!(revision.get(), 4);
    assert_eq!(
        (&a.key, a.actual),
        (&key("things", "a"), Some(Revision::new(2)))
    );
    assert_eq!(revisions(d).await, [5]);
    assert_eq!(group.store.commits(), [1, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_writers_exactly_one_wins() {
    let layer = Arc::new(GroupCommit::new(Memory::new()));
    let mut expected = write(&*layer, "things", "contended").await;
    for _ in 0..20 {
        let tasks = (0..64).map(|writer: u32| {
            let layer = Arc::clone(&layer);
            let precondition = Precondition::Revision(expected);
            let put = Transaction::put(
                key("things", "contended"),
                precondition,
                writer.to_string().into_bytes(),
            );
            tokio::spawn(async move { (writer, layer.commit_one(put).await.unwrap()) })
        });
        let outcomes = within(join_all(tasks))
            .await
            .into_iter()
            .map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) =
            outcomes.partition(|(_, outcome)| outcome.revision().is_some());
        assert_eq!((won.len(), lost.len()), (1, 63));
        let (winner, outcome) = &won[0];
        for (_, outcome) in &lost {
            let Outcome::Conflict(conflict) = outcome else {
                unreachable!("partitioned");
            };
            assert_eq!(conflict.actual, outcome_of(&won));
        }
        expected = revision(outcome);
        let stored = layer.get(&key("things", "contended"), None).await;
        assert_eq!(stored.unwrap().unwrap().value, winner.to_string());
    }
}

fn outcome_of(won: &[(u32, Outcome)]) -> Option<Revision> {
    won[0].1.revision()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_stays_within_the_limits_of_commit() {
    let group = Group::new();
    let first = group.busy().await;
    let many = || vec![puts("things", &["a"]); 500];
    let value = vec![0; VALUE_BYTES_MAX];
    let large = || {
        let put = |n: u8| {
            let name = n.to_string();
            Transaction::put(key("things", &name), Precondition::Any, value.clone())
        };
        (0..7).map(put).collect::<Vec<_>>()
    };
    let calls = [
        group.call(many()),
        group.call(many()),
        group.call(many()),
        group.call(large()),
        group.call(large()),
    ];
    group.store.release();
    within(first).await.unwrap();
    let sizes: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(|outcomes| outcomes.unwrap().len())
        .collect();
    assert_eq!(sizes, [500, 500, 500, 7, 7]);
    assert_eq!(group.store.commits(), [1, 1000, 507, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_breaks_a_rule_is_refused_before_it_is_queued() {
    let group = Group::new();
    let first = group.busy().await;
    let twice = vec![puts("things", &["a", "a"])];
    let too_many = vec![Transaction::default(); 1025];
    assert_eq!(kind(group.layer.commit(twice)).await, ErrorKind::Invalid);
    assert_eq!(
        kind(group.layer.commit(too_many)).await,
        ErrorKind::TooLarge
    );
    group.store.release();
    within(first).await.unwrap();
    assert_eq!(group.store.commits(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_store_refuses_does_not_fail_its_neighbours() {
    for refusal in [
        ErrorKind::Invalid,
        ErrorKind::TooLarge,
        ErrorKind::Unsupported,
        ErrorKind::Corrupt,
    ] {
        let group = Group::new();
        let first = group.busy().await;
        let a = group.call([one("a"), one("b")].concat());
        let bad = group.call(one("bad"));
        let c = group.call(one("c"));
        group.store.refuse_commits(move |transactions| {
            let bad = key("things", "bad");
            let has_bad = transactions.iter().any(|t| t.writes[0].key == bad);
            has_bad.then(|| Error::new(refusal, "commit", "not this one"))
        });
        group.store.release();
        within(first).await.unwrap();
        assert_eq!(revisions(a).await, [2, 3]);
        assert_eq!(kind(bad).await, refusal);
        assert_eq!(revisions(c).await, [4]);
        assert_eq!(group.store.commits(), [1, 4, 2, 1, 1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_store_reaches_every_caller_of_the_batch() {
    for failure in [
        ErrorKind::Indeterminate,
        ErrorKind::Unavailable,
        ErrorKind::Overloaded,
        ErrorKind::Internal,
    ] {
        let group = Group::new();
        let first = group.busy().await;
        let calls = ["a", "b", "c"].map(|name| group.call(one(name)));
        group.store.refuse_commits(move |transactions| {
            let batch = transactions.len() == 3;
            batch.then(|| Error::new(failure, "commit", "lost power"))
        });
        group.store.release();
        within(first).await.unwrap();
        for call in calls {
            let error = within(call).await.unwrap_err();
            assert_eq!((error.kind(), error.context()), (failure, "lost power"));
        }
        assert_eq!(group.store.commits(), [1, 3], "never tried again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_store_hangs_nobody() {
    let group = Group::new();
    let first = group.busy().await;
    let calls = ["a", "b", "c"].map(|name| group.call(one(name)));
    group.store.refuse_commits(|_| panic!("on purpose"));
    group.store.release();
    for call in [first].into_iter().chain(calls) {
        assert_eq!(kind(call).await, ErrorKind::Indeterminate);
    }
    group.store.accept_commits();
    write(&*group.layer, "things", "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_loses_an_outcome_gives_nobody_a_wrong_one() {
    let group = Group::new();
    let first = group.busy().await;
    let calls = ["a", "b", "c"].map(|name| group.call(one(name)));
    group.store.lose_outcome();
    group.store.release();
    for call in [first].into_iter().chain(calls) {
        assert_eq!(kind(call).await, ErrorKind::Indeterminate);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_queued_is_committed_although_it_went_away() {
    let group = Group::new();
    let under_way = group.busy().await;
    let a = group.call(one("a"));
    let gone = group.call([one("gone-1"), one("gone-2")].concat());
    let c = group.call(one("c"));
    drop(under_way);
    drop(gone);
    group.store.release();
    assert_eq!(revisions(a).await, [2]);
    assert_eq!(revisions(c).await, [5]);
    for name in ["first", "gone-1", "gone-2"] {
        assert!(group.exists(name).await, "{name} is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_makes_callers_wait_and_then_refuses_them() {
    let by_transactions = GroupCommitLimits {
        queue_transactions: 4,
        waiting: 2,
        ..GroupCommitLimits::default()
    };
    // A call of `one` has 12 bytes of group, 6 of resource, 7 of namespace and 1 each of name and
    // value.
    let by_bytes = GroupCommitLimits {
        queue_bytes: 4 * 27 + 26,
        waiting: 2,
        ..GroupCommitLimits::default()
    };
    for limits in [by_transactions, by_bytes] {
        let group = Group::with_limits(limits);
        let first = group.busy().await;
        let queued = ["a", "b", "c", "d"].map(|name| group.call(one(name)));
        let waiting = ["e", "f"].map(|name| group.call(one(name)));
        assert_eq!(
            kind(group.layer.commit(one("g"))).await,
            ErrorKind::Overloaded
        );
        let [e, f] = waiting;
        drop(e);
        let h = group.call(one("h"));
        group.store.release();
        let calls = [first].into_iter().chain(queued).chain([f, h]);
        for result in within(join_all(calls)).await {
            result.unwrap();
        }
        assert_eq!(group.store.commits().iter().sum::<usize>(), 7);
        assert!(!group.exists("e").await, "it never was in the queue");
        assert!(!group.exists("g").await);
        write(&*group.layer, "things", "after").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_larger_than_the_queue_gets_all_of_it() {
    let group = Group::with_limits(GroupCommitLimits {
        queue_transactions: 2,
        queue_bytes: 10,
        ..GroupCommitLimits::default()
    });
    let first = group.busy().await;
    let large = group.call([one("a"), one("b"), one("c")].concat());
    let small = group.call(one("d"));
    group.store.release();
    within(first).await.unwrap();
    assert_eq!(revisions(large).await, [2, 3, 4]);
    assert_eq!(revisions(small).await, [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_commits_what_is_queued_and_refuses_the_rest() {
    let group = Group::with_limits(GroupCommitLimits {
        queue_transactions: 2,
        ..GroupCommitLimits::default()
    });
    let first = group.busy().await;
    let queued = ["a", "b"].map(|name| group.call(one(name)));
    let waiting = group.call(one("c"));
    // The first caller of shutdown gives up; the second one still waits for the end.
    let mut given_up = Box::pin(group.layer.shutdown());
    assert_pending(&mut given_up);
    drop(given_up);
    let mut shutdown = Box::pin(group.layer.shutdown());
    assert_pending(&mut shutdown);
    assert_eq!(kind(waiting).await, ErrorKind::Unavailable);
    assert_eq!(
        kind(group.layer.commit(one("d"))).await,
        ErrorKind::Unavailable
    );
    assert_pending(&mut shutdown);
    group.store.release();
    within(shutdown).await;
    assert_eq!(group.store.commits(), [1, 2]);
    for call in [first].into_iter().chain(queued) {
        within(call).await.unwrap();
    }
    within(group.layer.shutdown()).await;
    assert_eq!(
        kind(group.layer.commit(vec![])).await,
        ErrorKind::Unavailable
    );
    assert!(group.exists("b").await, "reads go on");
    assert!(!group.exists("c").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_layer_commits_what_is_queued() {
    let group = Group::new();
    let under_way = group.busy().await;
    let queued = group.call(one("queued"));
    drop((under_way, queued));
    let Group { store, layer } = group;
    drop(layer);
    let mut head = store.head();
    store.release();
    within(head.wait_for(|head| head.get() == 2)).await.unwrap();
    let changes = all_changes(&*store, Scope::All).await;
    assert_eq!(changes[1].object.key, key("things", "queued"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_layer_keeps_no_store_open() {
    for _ in 0..100 {
        let store = Arc::new(Memory::new());
        let layer = GroupCommit::new(Arc::clone(&store));
        write(&layer, "things", "a").await;
        drop(layer);
        assert_eq!(Arc::strong_count(&store), 1);
    }
}

// One thread, so that who comes back when is the same each time.
#[tokio::test(flavor = "current_thread")]
async fn writers_that_come_back_together_share_every_commit() {
    for (regroup, together) in [(DEADLINE, true), (Duration::ZERO, false)] {
        let group = Group::with_limits(GroupCommitLimits {
            regroup,
            ..GroupCommitLimits::default()
        });
        let writers = (0..4).map(|delay| {
            let layer = Arc::clone(&group.layer);
            tokio::spawn(async move {
                for _ in 0..10 {
                    layer.commit(one("a")).await.unwrap();
                    for _ in 0..delay {
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        within(join_all(writers)).await;
        assert_eq!(group.store.commits() == [4; 10], together);
    }
}

/// Those who queue during a commit do not go without those whom it answers: two groups that took
/// turns stayed apart for ever.
#[tokio::test(flavor = "current_thread")]
async fn a_writer_that_comes_back_joins_those_who_queued_meanwhile() {
    let group = Group::with_limits(GroupCommitLimits {
        regroup: DEADLINE,
        ..GroupCommitLimits::default()
    });
    let first = group.busy().await;
    let queued = ["a", "b", "c"].map(|name| group.call(one(name)));
    group.store.release();
    assert_eq!(revisions(first).await, [1]);
    within(group.layer.commit(one("first"))).await.unwrap();
    within(join_all(queued)).await;
    assert_eq!(group.store.commits(), [1, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_leaves_the_layer_working() {
    let group = Group::new();
    group.store.refuse_commits(|_| Some(unavailable()));
    let error = group.layer.commit(one("a")).await.unwrap_err();
    assert!(error.is_retryable());
    group.store.accept_commits();
    within(group.layer.commit(one("a"))).await.unwrap();
}

//! The plans of every statement, on a store with many revisions.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use storage_core::{
    ChangesQuery, ListQuery, Op, Order, Precondition, ResourceKey, Retention, Revision, Scope,
    StorageBackend, Timestamp, Transaction, Write,
};

use crate::store::changes::ReadChanges;
use crate::store::compact::Compaction;
use crate::store::failure::Attempt;
use crate::store::get::Get;
use crate::store::list::List;
use crate::store::plan::Plan;
use crate::store::session::{EachRow, Param, Session, Sql};
use crate::store::state::State;
use crate::store::statements::Statements;
use crate::store::stats::Stats;
use crate::store::view::{KeysOfCommit, View};

/// How many objects the store has; `UNISTORE_TEST_PLAN_OBJECTS` sets another number.
const OBJECTS: usize = 2_000;
/// How many revisions each has.
const REVISIONS: usize = 10;
const NAMESPACES: usize = 10;
/// Transactions of one commit while the store is filled.
const BATCH: usize = 1_000;

fn objects() -> usize {
    let objects = std::env::var("UNISTORE_TEST_PLAN_OBJECTS").ok();
    objects
        .and_then(|text| text.parse().ok())
        .unwrap_or(OBJECTS)
}

fn key(number: usize) -> ResourceKey {
    let namespace = format!("ns-{}", number % NAMESPACES);
    ResourceKey::new(
        "example.com",
        "things",
        namespace,
        format!("thing-{number:07}"),
    )
    .unwrap()
}

fn control(number: usize) -> ResourceKey {
    ResourceKey::internal("journal", "", format!("{number:07}")).unwrap()
}

/// Fills a store: every object is updated again and again, one in twenty is deleted at the end.
async fn fill(store: &dyn StorageBackend) {
    let put = |key| Transaction::put(key, Precondition::Any, vec![b'v'; 300]);
    for _ in 0..REVISIONS {
        commit(store, (0..objects()).map(|number| put(key(number)))).await;
    }
    let deleted = (0..objects()).step_by(20);
    let delete = |number| Transaction::delete(key(number), Precondition::Any, vec![b'd'; 300]);
    commit(store, deleted.map(delete)).await;
    commit(
        store,
        (0..objects() / 20).map(|number| put(control(number))),
    )
    .await;
}

async fn commit(store: &dyn StorageBackend, transactions: impl Iterator<Item = Transaction>) {
    let transactions: Vec<_> = transactions.collect();
    for batch in transactions.chunks(BATCH) {
        store.commit(batch.to_vec()).await.unwrap();
    }
}

/// A connection that can show how a statement is run.
trait Explain: Session {
    /// Returns the lines of a plan.
    fn explain(
        &mut self,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> impl Future<Output = Vec<String>> + Send;
}

/// A plan: the statement and its lines.
type Explained = (Sql, Vec<String>);

/// A connection that explains what it runs.
struct Explaining<S> {
    session: S,
    plans: Vec<Explained>,
}

impl<S: Explain> Explaining<S> {
    const fn new(session: S) -> Self {
        Self {
            session,
            plans: Vec::new(),
        }
    }

    async fn note(&mut self, sql: &Sql, params: &[Param<'_>]) {
        if self.plans.iter().all(|(seen, _)| seen != sql) {
            let plan = self.session.explain(sql, params).await;
            self.plans.push((Sql::clone(sql), plan));
        }
    }
}

impl<S: Explain> Session for Explaining<S> {
    async fn query(&mut self, sql: &Sql, params: &[Param<'_>], each: EachRow<'_>) -> Attempt<()> {
        self.note(sql, params).await;
        self.session.query(sql, params, each).await
    }

    async fn execute(&mut self, sql: &Sql, params: &[Param<'_>]) -> Attempt<u64> {
        self.note(sql, params).await;
        self.session.execute(sql, params).await
    }

    async fn begin_snapshot(&mut self, state: &Sql) -> Attempt<State> {
        self.session.begin_snapshot(state).await
    }

    async fn begin_write(&mut self) -> Attempt<()> {
        self.session.begin_write().await
    }

    async fn end(&mut self) -> Attempt<()> {
        self.session.end().await
    }
}

/// Runs every request on a filled store.
async fn run_reads<S: Session>(session: &mut S, statements: &Statements) {
    let head = {
        let state = session.begin_snapshot(&statements.state).await.unwrap();
        session.end().await.unwrap();
        state.head
    };
    let old = Revision::new(head.get() - 100);
    for (key, at) in [
        (key(7), None),
        (control(7), None),
        (key(7), Some(Revision::new(head.get() / 2))),
    ] {
        Get { key, at }.run(session, statements).await.unwrap();
    }
    for query in lists(old) {
        let page = List {
            query: query.clone(),
        };
        let page = page.run(session, statements).await.unwrap();
        if let Some(next) = page.next {
            let query = query.after(next);
            List { query }.run(session, statements).await.unwrap();
        }
    }
    for scope in scopes() {
        let query = ChangesQuery::new(scope, old).limit(50);
        ReadChanges { query }
            .run(session, statements)
            .await
            .unwrap();
    }
    let scope = Scope::All;
    Stats { scope }.run(session, statements).await.unwrap();
}

fn scopes() -> Vec<Scope> {
    vec![
        Scope::All,
        Scope::group("example.com"),
        Scope::resource("example.com", "things"),
        Scope::namespace("example.com", "things", "ns-3"),
        Scope::Object(key(3)),
    ]
}

fn lists(old: Revision) -> Vec<ListQuery> {
    let mut lists = vec![ListQuery::live(Scope::group(storage_core::INTERNAL_GROUP)).limit(50)];
    for scope in scopes() {
        lists.push(ListQuery::live(scope.clone()).limit(50));
        lists.push(ListQuery::live(scope.clone()).limit(50).at(old));
        lists.push(ListQuery::history(scope.clone(), Order::Ascending).limit(5));
        lists.push(ListQuery::history(scope.clone(), Order::Descending).limit(5));
        lists.push(ListQuery::trash(scope).limit(50));
    }
    lists
}

/// Returns a call of commit in which everything happens.
fn transactions() -> Vec<Transaction> {
    let write = |key, op| Write {
        key,
        precondition: Precondition::Any,
        op,
    };
    let put = |key| write(key, Op::Put("1".into()));
    let delete = |key| write(key, Op::Delete("1".into()));
    vec![
        put(key(1)).into(),
        put(key(objects() + 1)).into(),
        // Restored from the trash, and put into it.
        put(key(20)).into(),
        delete(key(2)).into(),
        put(control(1)).into(),
        delete(control(2)).into(),
    ]
}

/// Plans that call.
async fn plan<S: Session>(session: &mut S, statements: &Statements) -> Plan {
    let transactions = transactions();
    let (objects, control) = transactions.split_at(4);
    for some in [objects, control] {
        let keys = KeysOfCommit::new(some);
        View::read(session, statements, &keys).await.unwrap();
    }
    let keys = KeysOfCommit::new(&transactions);
    let view = View::read(session, statements, &keys).await.unwrap();
    Plan::new(&view, &transactions, Timestamp::default())
}

/// Drops a part of everything.
async fn run_compaction<S: Session>(session: &mut S, statements: &Statements) {
    let policy = Retention {
        changes_age_min: Duration::ZERO,
        changes_age_max: None,
        changes_max: Some(0),
        history_per_object: Some(3),
        trash_age_max: Some(Duration::ZERO),
        // Enough for all the changes, and some trash.
        step_max: storage_core::limits::COMPACT_STEP_MAX,
    };
    let now = Timestamp::from_millis(u64::MAX >> 1);
    loop {
        let mut compaction = Compaction::new(policy.clone(), now).unwrap();
        while compaction.result().is_none() {
            compaction.step(session, statements).await.unwrap();
        }
        let done = compaction.result().unwrap();
        if done.trash > 0 || !done.more {
            return;
        }
    }
}

/// Prints the plans and checks each line.
fn check(plans: &[Explained], expected: usize, is_full_scan: fn(&str) -> bool) {
    let mut bad = Vec::new();
    for (sql, lines) in plans {
        println!("{}\n    {}", shortened(sql), lines.join("\n    "));
        let scans = lines.iter().filter(|line| is_full_scan(line));
        bad.extend(scans.map(|line| format!("{line}: {sql}")));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(plans.len() >= expected, "{} statements only", plans.len());
}

fn shortened(sql: &str) -> String {
    let mut text: String = sql.chars().take(240).collect();
    if text.len() < sql.len() {
        text.push('…');
    }
    text
}

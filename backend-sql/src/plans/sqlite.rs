use std::sync::Arc;

use rusqlite::Connection;
use storage_core::SystemClock;

use super::{Explain, Explaining, check, fill, plan, run_compaction, run_reads};
use crate::sqlite::{DIALECT, SqliteSession};
use crate::store::apply::apply;
use crate::store::session::{Param, Session, Sql};
use crate::store::state::param;
use crate::store::statements::Statements;
use crate::{SqlOptions, SqliteBackend};

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let location = path.to_str().unwrap();
    let options = SqlOptions::default();
    let store = SqliteBackend::open(location, &options, Arc::new(SystemClock));
    let store = store.await.unwrap();
    fill(&store).await;
    drop(store);
    let mut connection = Connection::open(path).unwrap();
    let mut session = Explaining::new(SqliteSession {
        connection: &mut connection,
    });
    let statements = Statements::new(&DIALECT);
    run_reads(&mut session, &statements).await;
    session.begin_write().await.unwrap();
    let plan = plan(&mut session, &statements).await;
    apply(&mut session, &statements, &plan).await.unwrap();
    let params = [param(plan.head), Param::Int(plan.history.len() as i64)];
    let update = &statements.update_state;
    session.execute(update, &params).await.unwrap();
    session.end().await.unwrap();
    run_compaction(&mut session, &statements).await;
    check(&session.plans, 32, is_full_scan);
}

fn is_full_scan(line: &str) -> bool {
    let scanned = line
        .strip_prefix("SCAN ")
        .and_then(|rest| rest.split(' ').next());
    scanned.is_some_and(|table| ["h", "p", "t"].contains(&table) || table.starts_with("resource"))
}

impl Explain for SqliteSession<'_> {
    async fn explain(&mut self, sql: &Sql, params: &[Param<'_>]) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = self.connection.prepare(&explain).unwrap();
        for (index, param) in (1..).zip(params) {
            match param {
                Param::Int(number) => statement.raw_bind_parameter(index, number).unwrap(),
                Param::Bytes(bytes) => statement.raw_bind_parameter(index, bytes).unwrap(),
                Param::Ints(_) | Param::ByteStrings(_) | Param::Text(_) => unreachable!(),
            }
        }
        let mut rows = statement.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get(3).unwrap());
        }
        lines
    }
}

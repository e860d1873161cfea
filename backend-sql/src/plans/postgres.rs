use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _};
use storage_core::SystemClock;
use url::Url;

use super::{Explain, Explaining, check, fill, plan, run_compaction, run_reads};
use crate::postgres::{DIALECT, PostgresSession};
use crate::server::{Driver, ServerSession};
use crate::store::session::{Param, Session, Sql};
use crate::store::statements::Statements;
use crate::{PostgresBackend, SqlOptions};

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_the_history() {
    let server = std::env::var("UNISTORE_TEST_POSTGRES")
        .expect("UNISTORE_TEST_POSTGRES is not set: run `cargo xtask test`, which sets it");
    let database = format!("unistore_plans_{}", std::process::id());
    sql(&server, format!("CREATE DATABASE {database}")).await;
    let mut url = Url::parse(&server).unwrap();
    url.set_path(&database);
    let result = tokio::spawn(explain_all(url.into())).await;
    sql(&server, format!("DROP DATABASE {database} WITH (FORCE)")).await;
    result.unwrap();
}

async fn explain_all(url: String) {
    let options = SqlOptions::default();
    let store = PostgresBackend::open(&url, &options, Arc::new(SystemClock));
    let store = store.await.unwrap();
    fill(&store).await;
    let statements = Statements::new(&DIALECT);
    // As it is before the server has looked at the new tables, and after.
    for analyze in ["SELECT 1", "ANALYZE"] {
        sql(&url, analyze.into()).await;
        let session = store.driver().acquire().await.unwrap();
        let mut session = Explaining::new(session);
        run_reads(&mut session, &statements).await;
        session.begin_write().await.unwrap();
        let plan = plan(&mut session, &statements).await;
        let write_sql = Sql::clone(&session.session.write_sql);
        let params = crate::postgres::write_params(&plan, 1, "channel");
        session.note(&write_sql, &params).await;
        assert!(session.session.write(&plan, 1).await.unwrap());
        session.end().await.unwrap();
        check(&session.plans, 16, is_full_scan);
    }
    let session = store.driver().acquire().await.unwrap();
    let mut session = Explaining::new(session);
    run_compaction(&mut session, &statements).await;
    check(&session.plans, 6, is_full_scan);
}

fn is_full_scan(line: &str) -> bool {
    let scanned = line.split("Seq Scan on ").nth(1);
    let table = scanned.and_then(|rest| rest.split(' ').next());
    table.is_some_and(|table| ["resource", "resource_history"].contains(&table))
}

async fn sql(url: &str, text: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let run = sqlx::raw_sql(AssertSqlSafe(text));
    run.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

impl Explain for PostgresSession {
    async fn explain(&mut self, sql: &Sql, params: &[Param<'_>]) -> Vec<String> {
        let rows = self.wire.rows(format!("EXPLAIN {sql}"), params).await;
        rows.iter().map(|row| row.get(0)).collect()
    }
}

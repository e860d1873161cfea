use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, Row as _};
use storage_core::SystemClock;
use url::Url;

use super::{Explain, Explaining, check, fill, plan, run_compaction, run_reads};
use crate::mysql::{DIALECT, MysqlSession};
use crate::server::Driver;
use crate::store::apply::apply;
use crate::store::session::{Param, Session, Sql};
use crate::store::state::param;
use crate::store::statements::Statements;
use crate::{MysqlBackend, SqlOptions};

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_the_history() {
    let server = std::env::var("UNISTORE_TEST_MYSQL")
        .expect("UNISTORE_TEST_MYSQL is not set: run `cargo xtask test`, which sets it");
    let database = format!("unistore_plans_{}", std::process::id());
    sql(&server, format!("CREATE DATABASE {database}")).await;
    let mut url = Url::parse(&server).unwrap();
    url.set_path(&database);
    let result = tokio::spawn(explain_all(url.into())).await;
    sql(&server, format!("DROP DATABASE {database}")).await;
    result.unwrap();
}

async fn explain_all(url: String) {
    let options = SqlOptions::default();
    let store = MysqlBackend::open(&url, &options, Arc::new(SystemClock));
    let store = store.await.unwrap();
    fill(&store).await;
    let statements = Statements::new(&DIALECT);
    // As it is before the server has looked at the new tables, and after.
    for analyze in [
        "SELECT 1",
        "ANALYZE TABLE resource, resource_history, resource_trash",
    ] {
        sql(&url, analyze.into()).await;
        let session = store.driver().acquire().await.unwrap();
        let mut session = Explaining::new(session);
        run_reads(&mut session, &statements).await;
        session.begin_write().await.unwrap();
        let plan = plan(&mut session, &statements).await;
        apply(&mut session, &statements, &plan).await.unwrap();
        let params = [param(plan.head), Param::Int(plan.history.len() as i64)];
        let update = &statements.update_state;
        session.execute(update, &params).await.unwrap();
        session.end().await.unwrap();
        check(&session.plans, 20, is_full_scan);
    }
    let session = store.driver().acquire().await.unwrap();
    let mut session = Explaining::new(session);
    run_compaction(&mut session, &statements).await;
    check(&session.plans, 6, is_full_scan);
}

/// A line is `table|type|key|rows|extra`.
fn is_full_scan(line: &str) -> bool {
    let mut fields = line.split('|');
    let table = fields.next().unwrap_or_default();
    let is_ours = ["h", "p", "t"].contains(&table) || table.starts_with("resource");
    is_ours
        && fields
            .next()
            .is_some_and(|kind| ["ALL", "index"].contains(&kind))
}

async fn sql(url: &str, text: String) {
    let mut connection = MySqlConnection::connect(url).await.unwrap();
    let run = sqlx::raw_sql(AssertSqlSafe(text));
    run.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

impl Explain for MysqlSession {
    async fn explain(&mut self, sql: &Sql, params: &[Param<'_>]) -> Vec<String> {
        if sql.starts_with("INSERT") {
            // It has no plan; some servers refuse to explain it.
            return Vec::new();
        }
        let rows = self.wire.rows(format!("EXPLAIN {sql}"), params).await;
        rows.iter()
            .map(|row| {
                let fields = ["table", "type", "key", "rows", "Extra"];
                let text = |field: &&str| {
                    let bytes: Result<Option<Vec<u8>>, _> = row.try_get_unchecked(*field);
                    let number: Result<Option<i64>, _> = row.try_get(*field);
                    match number {
                        Ok(Some(number)) => number.to_string(),
                        _ => String::from_utf8_lossy(&bytes.unwrap().unwrap_or_default()).into(),
                    }
                };
                fields.iter().map(text).collect::<Vec<_>>().join("|")
            })
            .collect()
    }
}

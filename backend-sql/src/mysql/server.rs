use std::sync::Arc;

use sqlx::mysql::MySqlPool;
use sqlx::{AssertSqlSafe, Row};
use storage_core::limits::INTERNAL_VALUE_BYTES_MAX;
use storage_core::{Error, ErrorKind, Result};

use super::session::failure;
use super::{DIALECT, MysqlDriver};
use crate::SqlOptions;
use crate::server::Driver;
use crate::store::failure::Attempt;
use crate::store::schema;
use crate::store::session::Session;

/// The smallest packet size of a server that can store the largest value, with what goes with it.
const PACKET_BYTES_MIN: u64 = INTERNAL_VALUE_BYTES_MAX as u64 + (1 << 20);

/// How long a process waits for another one that changes the schema.
const MIGRATION_TIMEOUT_S: u64 = 60;

/// Returns the statements that make a new connection ready.
///
/// Read committed: after a lock is had, a statement must see what was committed while it waited.
/// Strict: what does not fit is refused, not cut.
pub(super) fn session_settings(options: &SqlOptions) -> Arc<str> {
    let lock_timeout_s = options.request_timeout.as_secs().max(1);
    format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'); \
         SET SESSION innodb_lock_wait_timeout = {lock_timeout_s}"
    )
    .into()
}

/// Refuses a server that could lose what it acknowledged or cannot store the largest value.
pub(super) async fn check_settings(pool: &MySqlPool) -> Result<()> {
    let unsupported = |context: String| Err(Error::new(ErrorKind::Unsupported, "open", context));
    let flush = variable(pool, "innodb_flush_log_at_trx_commit").await?;
    if flush != 1 {
        return unsupported(format!(
            "the server runs with innodb_flush_log_at_trx_commit = {flush}, it must be 1: \
             it could lose acknowledged writes"
        ));
    }
    let packet_bytes = variable(pool, "max_allowed_packet").await?;
    if packet_bytes < PACKET_BYTES_MIN {
        return unsupported(format!(
            "the server runs with max_allowed_packet = {packet_bytes}, \
             at least {PACKET_BYTES_MIN} is needed for the largest values"
        ));
    }
    if variable(pool, "read_only").await? != 0 {
        let context = "the server takes no writes: read_only is on";
        return Err(Error::new(ErrorKind::Unavailable, "open", context));
    }
    if variable(pool, "log_bin").await? == 1 && variable(pool, "sync_binlog").await? != 1 {
        tracing::warn!(
            "the server writes a binary log with sync_binlog other than 1: after a loss of power replicas may have more than it has"
        );
    }
    if variable(pool, "innodb_doublewrite").await? == 0 {
        tracing::warn!(
            "the server runs without innodb_doublewrite: a loss of power may tear pages"
        );
    }
    Ok(())
}

async fn variable(pool: &MySqlPool, name: &'static str) -> Result<u64> {
    // As text: the same variable is a number in one server and a word in another.
    let select = format!("SELECT CAST(@@GLOBAL.{name} AS CHAR)");
    let row = sqlx::query(AssertSqlSafe(select)).fetch_one(pool).await;
    let value: Result<String, _> = row.and_then(|row| row.try_get(0));
    let value = value.map_err(|e| failure(e).into_error())?;
    Ok(match value.as_str() {
        "ON" => 1,
        "OFF" => 0,
        number => number.parse().unwrap_or(1),
    })
}

/// Several processes may start at once: one of them changes the schema, the others wait. The
/// server commits each change of the schema by itself, so the lock is not part of a transaction.
pub(super) async fn migrate(driver: &MysqlDriver) -> Attempt<()> {
    let mut session = driver.acquire().await?;
    let name = "CONCAT('unistore.', MD5(DATABASE()))";
    let lock = format!("SELECT GET_LOCK({name}, {MIGRATION_TIMEOUT_S})");
    let mut is_locked = false;
    session
        .query(&lock.into(), &[], &mut |row| {
            is_locked = row.int(0)? == 1;
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .await?;
    if !is_locked {
        let context = "another process has been changing the schema for too long";
        return Err(Error::new(ErrorKind::Unavailable, "open", context).into());
    }
    let migrated = schema::migrate(&mut session, &DIALECT).await;
    let unlock = format!("SELECT RELEASE_LOCK({name})");
    let unlocked = session.execute(&unlock.into(), &[]).await;
    migrated.and_then(|()| unlocked.map(drop))
}

use storage_core::{Error, ErrorKind};

use super::dialect::{Dialect, Upsert};
use super::failure::Attempt;
use super::session::{Session, Sql};

/// The migrations, in order. What is released is never changed: a new one is added. Each statement
/// does nothing where it was done before, because MySQL commits each by itself.
const MIGRATIONS: &[&[&str]] = &[&[
    // One row: the newest revision, the horizon, and how many change records there ever were.
    "CREATE TABLE IF NOT EXISTS resource_version (
        id BIGINT NOT NULL PRIMARY KEY,
        resource_version BIGINT NOT NULL,
        horizon BIGINT NOT NULL,
        changes BIGINT NOT NULL
    ){hot_table}",
    "INSERT{ignore} INTO resource_version (id, resource_version, horizon, changes)
        VALUES (1, 0, 0, 0){or_ignore}",
    // One row: the change record up to which the log is compacted, and how many were dropped.
    "CREATE TABLE IF NOT EXISTS resource_compaction (
        id BIGINT NOT NULL PRIMARY KEY,
        resource_version BIGINT NOT NULL,
        write_index BIGINT NOT NULL,
        dropped BIGINT NOT NULL
    ){small_table}",
    "INSERT{ignore} INTO resource_compaction (id, resource_version, write_index, dropped)
        VALUES (1, 0, 0, 0){or_ignore}",
    // The objects that exist.
    "CREATE TABLE IF NOT EXISTS resource (
        key_path {key} NOT NULL PRIMARY KEY,
        action BIGINT NOT NULL,
        resource_version BIGINT NOT NULL,
        created_resource_version BIGINT NOT NULL,
        time_ms BIGINT NOT NULL,
        operation_id {operation} NOT NULL,
        value {value} NOT NULL
    ){table}",
    // The records of the internal group.
    "CREATE TABLE IF NOT EXISTS resource_control (
        key_path {key} NOT NULL PRIMARY KEY,
        action BIGINT NOT NULL,
        resource_version BIGINT NOT NULL,
        created_resource_version BIGINT NOT NULL,
        time_ms BIGINT NOT NULL,
        operation_id {operation} NOT NULL,
        value {value} NOT NULL
    ){table}",
    // Every revision, and so every change. Its primary key grows at the end only.
    "CREATE TABLE IF NOT EXISTS resource_history (
        resource_version BIGINT NOT NULL,
        write_index BIGINT NOT NULL,
        key_path {key} NOT NULL,
        action BIGINT NOT NULL,
        created_resource_version BIGINT NOT NULL,
        previous_resource_version BIGINT NOT NULL,
        time_ms BIGINT NOT NULL,
        operation_id {operation} NOT NULL,
        value {value} NOT NULL,
        PRIMARY KEY (resource_version, write_index),
        CONSTRAINT resource_history_by_key UNIQUE (key_path, resource_version)
    ){table}",
    // The deleted objects: where their deletion records are.
    "CREATE TABLE IF NOT EXISTS resource_trash (
        key_path {key} NOT NULL PRIMARY KEY,
        resource_version BIGINT NOT NULL,
        time_ms BIGINT NOT NULL,
        CONSTRAINT resource_trash_by_version UNIQUE (resource_version, key_path)
    ){small_table}",
    // How many objects exist, by the common prefix of their keys.
    "CREATE TABLE IF NOT EXISTS resource_count (
        key_path {key} NOT NULL PRIMARY KEY,
        objects BIGINT NOT NULL
    ){small_table}",
    // Each open handle and its last commit: tells what became of a commit whose answer was lost.
    "CREATE TABLE IF NOT EXISTS resource_writer (
        id BIGINT NOT NULL PRIMARY KEY,
        resource_version BIGINT NOT NULL
    ){small_table}",
]];

/// The version of the schema that this program reads and writes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

const VERSION_TABLE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS unistore_schema (
        id BIGINT NOT NULL PRIMARY KEY,
        version BIGINT NOT NULL
    ){small_table}",
    "INSERT{ignore} INTO unistore_schema (id, version) VALUES (1, 0){or_ignore}",
];

/// Brings the schema to [`VERSION`]. The caller holds the lock that lets one process do so.
pub(crate) async fn migrate<S: Session>(session: &mut S, dialect: &Dialect) -> Attempt<()> {
    for statement in VERSION_TABLE {
        run(session, dialect, statement).await?;
    }
    let version = version(session).await?;
    if version > VERSION {
        let context = format!("the schema has version {version}, this program knows {VERSION}");
        return Err(Error::new(ErrorKind::Unsupported, "open", context).into());
    }
    for (done, migration) in (1..)
        .zip(MIGRATIONS)
        .filter(|(number, _)| *number > version)
    {
        for statement in *migration {
            run(session, dialect, statement).await?;
        }
        let update = format!("UPDATE unistore_schema SET version = {done} WHERE id = 1");
        run(session, dialect, &update).await?;
    }
    Ok(())
}

async fn version<S: Session>(session: &mut S) -> Attempt<i64> {
    let mut version = 0;
    let select = Sql::from("SELECT version FROM unistore_schema WHERE id = 1");
    session
        .query(&select, &[], &mut |row| {
            version = row.int(0)?;
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .await?;
    Ok(version)
}

async fn run<S: Session>(session: &mut S, dialect: &Dialect, template: &str) -> Attempt<()> {
    let sql = Sql::from(render(dialect, template));
    session.execute(&sql, &[]).await.map(drop)
}

fn render(dialect: &Dialect, template: &str) -> String {
    let (ignore, or_ignore) = match dialect.upsert {
        Upsert::OnConflict => ("", " ON CONFLICT (id) DO NOTHING"),
        Upsert::OnDuplicateKey => (" IGNORE", ""),
    };
    template
        .replace("{key}", dialect.key_type)
        .replace("{value}", dialect.value_type)
        .replace("{operation}", dialect.operation_type)
        .replace("{hot_table}", dialect.hot_table)
        .replace("{small_table}", dialect.small_table)
        .replace("{table}", dialect.table)
        .replace("{ignore}", ignore)
        .replace("{or_ignore}", or_ignore)
}

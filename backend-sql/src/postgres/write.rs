use std::ops::ControlFlow;
use std::sync::Arc;

use super::session::PostgresSession;
use crate::store::dialect::Dialect;
use crate::store::failure::Attempt;
use crate::store::plan::{Fate, Plan, Record};
use crate::store::record::COLUMNS;
use crate::store::session::{Param, Session, Sql};
use crate::store::state::{column, param};
use crate::store::statements::{
    COUNT_COLUMNS, HISTORY_COLUMNS, TRASH_COLUMNS, add_to_count, replace_all,
};

/// The columns of the first array parameters, one row per record of the history.
const INPUT: &str = "key_path, action, resource_version, created_resource_version, time_ms, \
    operation_id, value, write_index, previous_resource_version, fate";

const INPUT_TYPES: &str = "?::bytea[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], \
    ?::bytea[], ?::bytea[], ?::bigint[], ?::bigint[], ?::bigint[]";

const CONTROL_TYPES: &str = "?::bytea[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], \
    ?::bytea[], ?::bytea[], ?::bigint[]";

/// Writes everything that a plan has to write, in one exchange with the server.
///
/// The counter is raised if it is still where the plan saw it; its row is locked from then on to
/// the end of the transaction, which is the end of the statement if none is open. Everything else
/// is written from rows that are there only if the counter was raised. The one statement has one
/// snapshot: it was taken when the counter was at `base` or earlier, and nothing was committed
/// since, or the counter had moved.
const WRITE: &str = "WITH state AS (\
        UPDATE resource_version SET resource_version = ?, changes = changes + ? \
        WHERE id = 1 AND resource_version = ? RETURNING resource_version), \
    writer AS (\
        UPDATE resource_writer SET resource_version = (SELECT resource_version FROM state) \
        WHERE id = ? AND EXISTS (SELECT 1 FROM state)), \
    input AS (\
        SELECT * FROM unnest({input_types}) AS u ({input}) WHERE EXISTS (SELECT 1 FROM state)), \
    control AS (\
        SELECT * FROM unnest({control_types}) AS u ({record}, fate) \
        WHERE EXISTS (SELECT 1 FROM state)), \
    counts AS (\
        SELECT * FROM unnest(?::bytea[], ?::bigint[]) AS u ({count}) \
        WHERE EXISTS (SELECT 1 FROM state)), \
    history AS (\
        INSERT INTO resource_history ({history}) SELECT {history} FROM input), \
    live AS (\
        INSERT INTO resource ({record}) SELECT {record} FROM input WHERE fate IN (1, 2)\
        {replace_record}), \
    gone AS (\
        DELETE FROM resource WHERE key_path IN (SELECT key_path FROM input WHERE fate = 3)), \
    trashed AS (\
        INSERT INTO resource_trash ({trash}) SELECT {trash} FROM input WHERE fate = 3\
        {replace_trash}), \
    restored AS (\
        DELETE FROM resource_trash \
        WHERE key_path IN (SELECT key_path FROM input WHERE fate = 2)), \
    controlled AS (\
        INSERT INTO resource_control ({record}) SELECT {record} FROM control WHERE fate <> 3\
        {replace_record}), \
    removed AS (\
        DELETE FROM resource_control \
        WHERE key_path IN (SELECT key_path FROM control WHERE fate = 3)), \
    counted AS (\
        INSERT INTO resource_count ({count}) SELECT {count} FROM counts{add_to_count}) \
    SELECT pg_notify(?, resource_version::text) FROM state";

/// Returns the statement.
pub(super) fn sql(dialect: &Dialect) -> Sql {
    let text = WRITE
        .replace("{input_types}", INPUT_TYPES)
        .replace("{control_types}", CONTROL_TYPES)
        .replace("{input}", INPUT)
        .replace("{record}", &COLUMNS.join(", "))
        .replace("{history}", &HISTORY_COLUMNS.join(", "))
        .replace("{trash}", &TRASH_COLUMNS.join(", "))
        .replace("{count}", &COUNT_COLUMNS.join(", "))
        .replace("{replace_record}", &replace_all(dialect, &COLUMNS))
        .replace("{replace_trash}", &replace_all(dialect, &TRASH_COLUMNS))
        .replace("{add_to_count}", &add_to_count(dialect));
    dialect.numbered(&text).into()
}

/// Writes a plan. Returns false if the counter has moved.
pub(super) async fn write(
    session: &mut PostgresSession,
    plan: &Plan,
    writer: i64,
) -> Attempt<bool> {
    let sql = Sql::clone(&session.write_sql);
    let channel = Arc::clone(&session.channel);
    let params = params(plan, writer, &channel);
    let mut is_written = false;
    session
        .query(&sql, &params, &mut |_| {
            is_written = true;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    Ok(is_written)
}

/// Returns the parameters of the statement.
pub(crate) fn params<'a>(plan: &'a Plan, writer: i64, channel: &'a str) -> Vec<Param<'a>> {
    let mut params = vec![
        param(plan.head),
        Param::Int(plan.history.len() as i64),
        param(plan.base),
        Param::Int(writer),
    ];
    let history = &plan.history;
    params.extend(record_arrays(history));
    params.push(numbers(history, |record| record.write_index));
    params.push(numbers(history, |record| column(record.previous)));
    params.push(numbers(history, fate));
    params.extend(record_arrays(&plan.control));
    params.push(numbers(&plan.control, fate));
    let prefixes = plan.counts.keys().map(Vec::as_slice).collect();
    params.push(Param::ByteStrings(prefixes));
    params.push(Param::Ints(plan.counts.values().copied().collect()));
    params.push(Param::Text(channel));
    params
}

fn record_arrays(records: &[Record]) -> [Param<'_>; 7] {
    [
        strings(records, |record| &record.key),
        numbers(records, Record::action),
        numbers(records, |record| column(record.revision)),
        numbers(records, |record| column(record.created)),
        numbers(records, |record| record.time.as_millis().cast_signed()),
        strings(records, |record| &record.operation),
        strings(records, |record| &record.value),
    ]
}

fn strings<'a>(records: &'a [Record], of: fn(&'a Record) -> &'a [u8]) -> Param<'a> {
    Param::ByteStrings(records.iter().map(of).collect())
}

fn numbers(records: &[Record], of: fn(&Record) -> i64) -> Param<'_> {
    Param::Ints(records.iter().map(of).collect())
}

const fn fate(record: &Record) -> i64 {
    match record.fate {
        Fate::Superseded => 0,
        Fate::Live => 1,
        Fate::Restored => 2,
        Fate::Gone => 3,
    }
}

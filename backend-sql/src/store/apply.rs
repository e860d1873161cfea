use super::failure::Attempt;
use super::plan::{Fate, Plan, Record};
use super::session::{Param, Session};
use super::state::param;
use super::statements::{KeySetSql, RowsSql, Statements};

/// Value bytes after which a statement ends. A larger value has a statement of its own.
const STATEMENT_BYTES_MAX: usize = 4 << 20;

/// Writes the rows of a plan, but for the counter, table by table. The caller has begun to write
/// and knows that the plan is still true.
pub(crate) async fn apply<S: Session>(
    session: &mut S,
    statements: &Statements,
    plan: &Plan,
) -> Attempt<()> {
    let history: Vec<&Record> = plan.history.iter().collect();
    let control: Vec<&Record> = plan.control.iter().collect();
    insert(session, &statements.insert_history, &history, history_row).await?;
    let live = with_fate(&history, |fate| matches!(fate, Fate::Live | Fate::Restored));
    insert(session, &statements.upsert_live, &live, record_row).await?;
    let gone = with_fate(&history, |fate| fate == Fate::Gone);
    delete(session, &statements.delete_live, &gone).await?;
    insert(session, &statements.upsert_trash, &gone, trash_row).await?;
    let restored = with_fate(&history, |fate| fate == Fate::Restored);
    delete(session, &statements.delete_trash, &restored).await?;
    let kept = with_fate(&control, |fate| fate != Fate::Gone);
    insert(session, &statements.upsert_control, &kept, record_row).await?;
    let removed = with_fate(&control, |fate| fate == Fate::Gone);
    delete(session, &statements.delete_control, &removed).await?;
    count(session, &statements.upsert_count, plan).await
}

fn with_fate<'a>(records: &[&'a Record], wanted: impl Fn(Fate) -> bool) -> Vec<&'a Record> {
    let wanted = records.iter().filter(|record| wanted(record.fate));
    wanted.copied().collect()
}

async fn insert<S: Session>(
    session: &mut S,
    sql: &RowsSql,
    records: &[&Record],
    row: for<'a> fn(&'a Record, &mut Vec<Param<'a>>),
) -> Attempt<()> {
    let mut rest = records;
    while !rest.is_empty() {
        let (sql, rows) = sql.at_most(fitting(rest));
        let (now, later) = rest.split_at(rows);
        let mut params = Vec::new();
        now.iter().for_each(|record| row(record, &mut params));
        session.execute(sql, &params).await?;
        rest = later;
    }
    Ok(())
}

/// Returns how many of the records fit into one statement by their bytes, at least one.
fn fitting(records: &[&Record]) -> usize {
    let mut bytes = 0;
    let fitting = records.iter().take_while(|record| {
        bytes += record.value.len();
        bytes <= STATEMENT_BYTES_MAX
    });
    fitting.count().max(1)
}

async fn delete<S: Session>(session: &mut S, sql: &KeySetSql, records: &[&Record]) -> Attempt<()> {
    let keys: Vec<&[u8]> = records.iter().map(|record| record.key.as_slice()).collect();
    for chunk in keys.chunks(sql.keys_max()) {
        let (sql, params) = sql.of(chunk);
        session.execute(sql, &params).await?;
    }
    Ok(())
}

async fn count<S: Session>(session: &mut S, sql: &RowsSql, plan: &Plan) -> Attempt<()> {
    let counts: Vec<(&[u8], i64)> = plan
        .counts
        .iter()
        .map(|(prefix, by)| (prefix.as_slice(), *by))
        .collect();
    let mut rest = counts.as_slice();
    while !rest.is_empty() {
        let (sql, rows) = sql.at_most(rest.len());
        let (now, later) = rest.split_at(rows);
        let params: Vec<_> = now
            .iter()
            .flat_map(|(prefix, by)| [Param::Bytes(prefix), Param::Int(*by)])
            .collect();
        session.execute(sql, &params).await?;
        rest = later;
    }
    Ok(())
}

fn record_row<'a>(record: &'a Record, params: &mut Vec<Param<'a>>) {
    params.extend([
        Param::Bytes(&record.key),
        Param::Int(record.action()),
        param(record.revision),
        param(record.created),
        Param::Int(record.time.as_millis().cast_signed()),
        Param::Bytes(&record.operation),
        Param::Bytes(&record.value),
    ]);
}

fn history_row<'a>(record: &'a Record, params: &mut Vec<Param<'a>>) {
    record_row(record, params);
    params.extend([Param::Int(record.write_index), param(record.previous)]);
}

fn trash_row<'a>(record: &'a Record, params: &mut Vec<Param<'a>>) {
    params.extend([
        Param::Bytes(&record.key),
        param(record.revision),
        Param::Int(record.time.as_millis().cast_signed()),
    ]);
}

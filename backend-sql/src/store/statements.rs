use super::dialect::{Dialect, KeySet};
use super::record::COLUMNS;
use super::session::{Param, Sql};

/// Every statement that runs while a store is open, in the words of one dialect.
///
/// A statement is written once here, with `?` for parameters and `{…}` for what dialects say
/// differently. `{record}` are the columns of a record, of the table that is called `h`.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) state: Sql,
    pub(crate) lock_state: Sql,

    pub(crate) get: Sql,
    pub(crate) get_control: Sql,
    pub(crate) get_at: Sql,

    pub(crate) list: Sql,
    pub(crate) list_control: Sql,
    pub(crate) deleted_since: Sql,
    pub(crate) newest_at: KeySetSql,
    pub(crate) trash: Sql,
    pub(crate) history: Sql,
    pub(crate) history_keys: Sql,
    pub(crate) history_newest_first: Sql,
    pub(crate) history_of: Sql,
    pub(crate) history_of_newest_first: Sql,

    pub(crate) changes: Sql,
    pub(crate) changes_of: Sql,
    pub(crate) stats: Sql,

    /// Of a set of objects and one control record.
    pub(crate) view: KeySetSql,
    /// Of a set of keys of both kinds.
    pub(crate) view_of_both: KeySetSql,
    /// Of a set of control records.
    pub(crate) view_of_control: KeySetSql,
    pub(crate) insert_history: RowsSql,
    pub(crate) upsert_live: RowsSql,
    pub(crate) delete_live: KeySetSql,
    pub(crate) upsert_control: RowsSql,
    pub(crate) delete_control: KeySetSql,
    pub(crate) upsert_trash: RowsSql,
    pub(crate) delete_trash: KeySetSql,
    pub(crate) upsert_count: RowsSql,
    pub(crate) update_state: Sql,

    pub(crate) lock_compaction: Sql,
    pub(crate) update_compaction: Sql,
    pub(crate) raise_horizon: Sql,
    pub(crate) log: Sql,
    pub(crate) superseded: KeySetSql,
    pub(crate) drop_history: RowsSql,
    pub(crate) oldest_trash: Sql,
    pub(crate) history_through: Sql,
    pub(crate) drop_trash: Sql,
}

const GET: &str = "SELECT {record} FROM {table} h WHERE h.key_path = ?";

const GET_AT: &str = "SELECT {record} FROM resource_history h \
    WHERE h.key_path = ? AND h.resource_version <= ? \
    ORDER BY h.resource_version DESC LIMIT 1";

const LIST: &str = "SELECT {record} FROM {table} h \
    WHERE h.key_path >= ? AND h.key_path < ? ORDER BY h.key_path LIMIT ?";

// By revision: deletions since a page was begun are few, old trash in a range of keys is not.
const DELETED_SINCE: &str = "SELECT h.key_path FROM resource_trash h{trash_by_revision} \
    WHERE h.resource_version > ? AND {key} >= ? AND {key} < ? ORDER BY {key} LIMIT ?";

// LEFT JOIN here and below fixes the order of the tables; every row has its record.
const NEWEST_AT: &str = "SELECT {record} FROM \
    (SELECT key_path, MAX(resource_version) AS resource_version FROM resource_history \
        WHERE key_path {keys} AND resource_version <= ? GROUP BY key_path) n \
    LEFT JOIN resource_history h \
        ON h.key_path = n.key_path AND h.resource_version = n.resource_version \
    ORDER BY n.key_path";

const TRASH: &str = "SELECT {record} FROM resource_trash t \
    LEFT JOIN resource_history h \
        ON h.key_path = t.key_path AND h.resource_version = t.resource_version \
    WHERE t.key_path >= ? AND t.key_path < ? AND t.resource_version <= ? \
    ORDER BY t.key_path LIMIT ?";

const HISTORY: &str = "SELECT {record} FROM resource_history h \
    WHERE h.key_path >= ? AND h.key_path < ? AND h.resource_version <= ? \
    ORDER BY h.key_path, h.resource_version LIMIT ?";

const HISTORY_KEYS: &str = "SELECT DISTINCT h.key_path FROM resource_history h \
    WHERE h.key_path >= ? AND h.key_path < ? ORDER BY h.key_path LIMIT ?";

const HISTORY_NEWEST_FIRST: &str = "SELECT {record} FROM resource_history h \
    WHERE h.key_path >= ? AND h.key_path < ? AND h.resource_version <= ? \
    ORDER BY h.key_path, h.resource_version DESC LIMIT ?";

const HISTORY_OF: &str = "SELECT {record} FROM resource_history h \
    WHERE h.key_path = ? AND h.resource_version > ? AND h.resource_version <= ? \
    ORDER BY h.resource_version {order} LIMIT ?";

const CHANGES: &str = "SELECT {record}, h.write_index, h.previous_resource_version, p.value \
    FROM resource_history h{by_revision} \
    LEFT JOIN resource_history p \
        ON p.key_path = h.key_path AND p.resource_version = h.previous_resource_version \
    WHERE h.resource_version > ? AND {key} >= ? AND {key} < ? \
    ORDER BY h.resource_version, h.write_index LIMIT ?";

const CHANGES_OF: &str = "SELECT {record}, h.write_index, h.previous_resource_version, p.value \
    FROM resource_history h{by_key} \
    LEFT JOIN resource_history p \
        ON p.key_path = h.key_path AND p.resource_version = h.previous_resource_version \
    WHERE h.resource_version > ? AND h.key_path = ? \
    ORDER BY h.resource_version LIMIT ?";

const STATS: &str = "SELECT key_path, objects FROM resource_count \
    WHERE key_path >= ? AND key_path < ? AND objects > 0 ORDER BY key_path";

// What a commit has to know, from one snapshot: the counter (0), objects (1), trash (2) and
// control records (3). What is not asked for is not looked up, and most commits name objects and
// at most one control record.
const VIEW: &str = "SELECT 0, NULL, resource_version, 0 FROM resource_version WHERE id = 1 \
    UNION ALL SELECT 1, key_path, resource_version, created_resource_version \
        FROM resource WHERE key_path {keys} \
    UNION ALL SELECT 2, key_path, resource_version, 0 FROM resource_trash WHERE key_path {keys} \
    UNION ALL SELECT 3, key_path, resource_version, created_resource_version \
        FROM resource_control WHERE key_path {control}";

const VIEW_OF_CONTROL: &str = "SELECT 0, NULL, resource_version, 0 FROM resource_version WHERE id = 1 \
    UNION ALL SELECT 3, key_path, resource_version, created_resource_version \
        FROM resource_control WHERE key_path {keys}";

const STATE: &str = "SELECT resource_version, horizon, changes FROM resource_version WHERE id = 1";

const UPDATE_STATE: &str =
    "UPDATE resource_version SET resource_version = ?, changes = changes + ? WHERE id = 1";

const LOCK_COMPACTION: &str =
    "SELECT resource_version, write_index, dropped FROM resource_compaction WHERE id = 1";

const UPDATE_COMPACTION: &str = "UPDATE resource_compaction \
    SET resource_version = ?, write_index = ?, dropped = dropped + ? WHERE id = 1";

const RAISE_HORIZON: &str = "UPDATE resource_version SET horizon = ? WHERE id = 1 AND horizon < ?";

const LOG: &str = "SELECT h.resource_version, h.write_index, h.time_ms, h.key_path \
    FROM resource_history h{by_revision} \
    WHERE h.resource_version >= ? AND h.resource_version <= ? \
    ORDER BY h.resource_version, h.write_index LIMIT ?";

// The revisions of these objects beyond the newest N that no read at or above the horizon reaches:
// their successor is not above it.
const SUPERSEDED: &str = "SELECT key_path, resource_version FROM \
    (SELECT key_path, resource_version, \
        ROW_NUMBER() OVER (PARTITION BY key_path ORDER BY resource_version DESC) AS place, \
        MAX(CASE WHEN resource_version <= ? THEN resource_version ELSE 0 END) \
            OVER (PARTITION BY key_path) AS reached \
        FROM resource_history WHERE key_path {keys}) ranked \
    WHERE place > ? AND resource_version < reached \
    ORDER BY key_path, resource_version LIMIT ?";

const OLDEST_TRASH: &str = "SELECT key_path, resource_version, time_ms \
    FROM resource_trash{trash_by_revision} \
    WHERE resource_version <= ? ORDER BY resource_version, key_path LIMIT ?";

const HISTORY_THROUGH: &str = "SELECT resource_version FROM resource_history \
    WHERE key_path = ? AND resource_version <= ? ORDER BY resource_version LIMIT ?";

const DROP_TRASH: &str = "DELETE FROM resource_trash WHERE key_path = ? AND resource_version = ?";

const DELETE: &str = "DELETE FROM {table} WHERE key_path {keys}";

impl Statements {
    /// Writes the statements in the words of a dialect.
    pub(crate) fn new(dialect: &'static Dialect) -> Self {
        let one = |template: &str| Sql::from(dialect.numbered(&words(dialect, template)));
        let of = |template: &str, table: &str| one(&template.replace("{table}", table));
        let lock = |template: &str| one(&format!("{template}{}", dialect.for_update));
        let keys = |template: &str| KeySetSql::new(dialect, &words(dialect, template));
        let delete = |table: &str| keys(&DELETE.replace("{table}", table));
        Self {
            state: one(STATE),
            lock_state: lock(STATE),
            get: of(GET, "resource"),
            get_control: of(GET, "resource_control"),
            get_at: one(GET_AT),
            list: of(LIST, "resource"),
            list_control: of(LIST, "resource_control"),
            deleted_since: one(DELETED_SINCE),
            newest_at: keys(NEWEST_AT),
            trash: one(TRASH),
            history: one(HISTORY),
            history_keys: one(HISTORY_KEYS),
            history_newest_first: one(HISTORY_NEWEST_FIRST),
            history_of: one(&HISTORY_OF.replace("{order}", "ASC")),
            history_of_newest_first: one(&HISTORY_OF.replace("{order}", "DESC")),
            changes: one(CHANGES),
            changes_of: one(CHANGES_OF),
            stats: one(STATS),
            view: keys(&VIEW.replace("{control}", "= ?")),
            view_of_both: keys(&VIEW.replace("{control}", "{keys}")),
            view_of_control: keys(VIEW_OF_CONTROL),
            insert_history: insert(dialect, "resource_history", &HISTORY_COLUMNS, ""),
            upsert_live: upsert_record(dialect, "resource"),
            delete_live: delete("resource"),
            upsert_control: upsert_record(dialect, "resource_control"),
            delete_control: delete("resource_control"),
            upsert_trash: upsert_trash(dialect),
            delete_trash: delete("resource_trash"),
            upsert_count: upsert_count(dialect),
            update_state: one(UPDATE_STATE),
            lock_compaction: lock(LOCK_COMPACTION),
            update_compaction: one(UPDATE_COMPACTION),
            raise_horizon: one(RAISE_HORIZON),
            log: one(LOG),
            superseded: keys(SUPERSEDED),
            drop_history: RowsSql::new(dialect, |rows| {
                let each = "(key_path = ? AND resource_version <= ?)";
                let any = vec![each; rows].join(" OR ");
                format!("DELETE FROM resource_history WHERE {any}")
            }),
            oldest_trash: lock(OLDEST_TRASH),
            history_through: one(HISTORY_THROUGH),
            drop_trash: one(DROP_TRASH),
        }
    }
}

/// The columns of a history record, in the order of its parameters.
pub(crate) const HISTORY_COLUMNS: [&str; 9] = [
    "key_path",
    "action",
    "resource_version",
    "created_resource_version",
    "time_ms",
    "operation_id",
    "value",
    "write_index",
    "previous_resource_version",
];

/// The columns of the trash, in the order of its parameters.
pub(crate) const TRASH_COLUMNS: [&str; 3] = ["key_path", "resource_version", "time_ms"];

/// The columns of the counts, in the order of their parameters.
pub(crate) const COUNT_COLUMNS: [&str; 2] = ["key_path", "objects"];

/// Returns the clause that replaces all columns of a record that is there.
pub(crate) fn replace_all(dialect: &Dialect, columns: &[&'static str]) -> String {
    let all: Vec<_> = columns
        .iter()
        .filter(|column| **column != "key_path")
        .map(|column| (*column, "{new}"))
        .collect();
    dialect.on_conflict(&all)
}

/// Returns the clause that adds to a count that is there.
pub(crate) fn add_to_count(dialect: &Dialect) -> String {
    dialect.on_conflict(&[("objects", "resource_count.objects + {new}")])
}

fn upsert_record(dialect: &Dialect, table: &str) -> RowsSql {
    insert(dialect, table, &COLUMNS, &replace_all(dialect, &COLUMNS))
}

fn upsert_trash(dialect: &Dialect) -> RowsSql {
    let replace = replace_all(dialect, &TRASH_COLUMNS);
    insert(dialect, "resource_trash", &TRASH_COLUMNS, &replace)
}

fn upsert_count(dialect: &Dialect) -> RowsSql {
    let add = add_to_count(dialect);
    insert(dialect, "resource_count", &COUNT_COLUMNS, &add)
}

fn insert(dialect: &Dialect, table: &str, columns: &[&str], tail: &str) -> RowsSql {
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    let columns = columns.join(", ");
    RowsSql::new(dialect, |rows| {
        let values = vec![row.as_str(); rows].join(", ");
        format!("INSERT INTO {table} ({columns}) VALUES {values}{tail}")
    })
}

fn words(dialect: &Dialect, template: &str) -> String {
    let record = COLUMNS.map(|column| format!("h.{column}")).join(", ");
    let (before, after) = dialect.unindexed;
    let by_revision = dialect.forced("PRIMARY");
    let by_key = dialect.forced("resource_history_by_key");
    let trash_by_revision = dialect.forced("resource_trash_by_version");
    template
        .replace("{record}", &record)
        .replace("{by_revision}", &by_revision)
        .replace("{by_key}", &by_key)
        .replace("{trash_by_revision}", &trash_by_revision)
        .replace("{key}", &format!("{before}h.key_path{after}"))
}

/// A statement about many rows, for each number of rows that is a power of two.
#[derive(Debug)]
pub(crate) struct RowsSql {
    by_power: Vec<Sql>,
}

impl RowsSql {
    fn new(dialect: &Dialect, text: impl Fn(usize) -> String) -> Self {
        let powers = dialect.insert_rows_max.ilog2();
        let by_power = (0..=powers)
            .map(|power| Sql::from(dialect.numbered(&text(1 << power))))
            .collect();
        Self { by_power }
    }

    /// Returns the statement for as many of `rows` rows as one statement takes, and that number.
    pub(crate) fn at_most(&self, rows: usize) -> (&Sql, usize) {
        let power = (rows.max(1).ilog2() as usize).min(self.by_power.len() - 1);
        (&self.by_power[power], 1 << power)
    }
}

/// A statement about a set of keys.
#[derive(Debug)]
pub(crate) enum KeySetSql {
    /// For any number of keys.
    Array(Sql),
    /// For these numbers of keys.
    Lists(Vec<(usize, Sql)>),
}

impl KeySetSql {
    fn new(dialect: &Dialect, template: &str) -> Self {
        let text = |keys: &str| Sql::from(dialect.numbered(&template.replace("{keys}", keys)));
        match dialect.key_set {
            KeySet::Array => Self::Array(text("= ANY (?)")),
            KeySet::List(sizes) => {
                let list = |size: &usize| format!("IN ({})", vec!["?"; *size].join(", "));
                Self::Lists(
                    sizes
                        .iter()
                        .map(|size| (*size, text(&list(size))))
                        .collect(),
                )
            }
        }
    }

    /// Returns the most keys that one statement takes.
    pub(crate) fn keys_max(&self) -> usize {
        match self {
            Self::Array(_) => usize::MAX,
            Self::Lists(lists) => lists.last().map_or(1, |(size, _)| *size),
        }
    }

    /// Returns the statement for these keys, at least one and at most `keys_max`, and what stands
    /// for the set among its parameters.
    pub(crate) fn of<'a>(&self, keys: &[&'a [u8]]) -> (&Sql, Vec<Param<'a>>) {
        match self {
            Self::Array(sql) => (sql, vec![Param::ByteStrings(keys.to_vec())]),
            Self::Lists(lists) => {
                let fitting = lists.iter().find(|(size, _)| *size >= keys.len());
                let (size, sql) = fitting.unwrap_or(&lists[lists.len() - 1]);
                // A key that is named twice does no harm in a set.
                let last = keys.last().copied().unwrap_or_default();
                let padded = keys.iter().copied().chain(std::iter::repeat(last));
                (sql, padded.take(*size).map(Param::Bytes).collect())
            }
        }
    }
}

/// Returns the parameters of a statement in which a set of keys occurs more than once.
pub(crate) fn repeated<'a>(set: &[Param<'a>], times: usize) -> Vec<Param<'a>> {
    std::iter::repeat_n(set, times).flatten().cloned().collect()
}

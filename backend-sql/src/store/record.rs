use bytes::Bytes;
use storage_core::{ChangeKind, OperationId, Result, Stored, Timestamp};

use super::failure::corrupt;
use super::key;
use super::session::Row;
use super::state::revision;

/// The columns of a record, in the order that [`stored`] reads.
pub(crate) const COLUMNS: [&str; 7] = [
    "key_path",
    "action",
    "resource_version",
    "created_resource_version",
    "time_ms",
    "operation_id",
    "value",
];

/// Where the columns of a statement go on after those of a record.
pub(crate) const AFTER_RECORD: usize = COLUMNS.len();

/// Returns the number that stands for what a write did, as in the source system.
pub(crate) const fn action(kind: ChangeKind) -> i64 {
    match kind {
        ChangeKind::Created => 1,
        ChangeKind::Updated => 2,
        ChangeKind::Deleted => 3,
    }
}

/// Reads a record.
pub(crate) fn stored(row: &dyn Row) -> Result<Stored> {
    Ok(Stored {
        key: key::decode(bytes(row, 0)?)?,
        kind: kind(row.int(1)?)?,
        revision: revision(row.int(2)?),
        created: revision(row.int(3)?),
        time: Timestamp::from_millis(row.int(4)?.cast_unsigned()),
        operation: operation(bytes(row, 5)?)?,
        value: Bytes::copy_from_slice(bytes(row, 6)?),
    })
}

/// Returns the bytes of a column that is never null.
pub(crate) fn bytes(row: &dyn Row, column: usize) -> Result<&[u8]> {
    row.bytes(column)?
        .ok_or_else(|| corrupt("a column is empty that never is"))
}

fn kind(action: i64) -> Result<ChangeKind> {
    match action {
        1 => Ok(ChangeKind::Created),
        2 => Ok(ChangeKind::Updated),
        3 => Ok(ChangeKind::Deleted),
        _ => Err(corrupt("an action is none of 1, 2, 3")),
    }
}

fn operation(stored: &[u8]) -> Result<OperationId> {
    let bytes = stored
        .try_into()
        .map_err(|_| corrupt("an operation id has not 16 bytes"))?;
    Ok(OperationId(u128::from_be_bytes(bytes)))
}

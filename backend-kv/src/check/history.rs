use storage_core::{ChangeKind, Result, Revision};

use super::Check;
use crate::engine::KvView;
use crate::get::read_record;
use crate::keyspace::{ObjectBytes, parse_history_row, table};
use crate::record::{ObjectHeader, Record, kind_byte};

/// The last history row of the object that the pass is in.
struct Last {
    key: Vec<u8>,
    object: ObjectBytes,
    header: ObjectHeader,
}

impl<V: KvView> Check<'_, V> {
    /// The replaced revisions: each followed by one that can follow it, up to the newest.
    pub(super) fn history(&mut self) -> Result<()> {
        let mut last: Option<Last> = None;
        self.each_row(table::HISTORY, |check, key, row| {
            check.report.history += 1;
            let (object, revision) = parse_history_row(key)?;
            let object = ObjectBytes::from_bytes(object);
            object.to_key()?;
            let record = Record::unseal(key, row)?;
            let same = record.revision() == revision;
            check.expect(key, same, "has another revision than its key");
            check.header(key, &record);
            match last.take() {
                Some(before) if before.object == object => {
                    check.follows(key, &before.header, &record.header);
                }
                Some(before) => check.newest_follows(&before)?,
                None => {}
            }
            last = Some(Last {
                key: key.to_vec(),
                object,
                header: record.header,
            });
            Ok(())
        })?;
        match last {
            Some(last) => self.newest_follows(&last),
            None => Ok(()),
        }
    }

    fn newest_follows(&mut self, last: &Last) -> Result<()> {
        for row_key in [last.object.current(), last.object.trash()] {
            // A row that cannot be read was reported in its own pass.
            let Ok(newest) = read_record(self.view, &row_key) else {
                return Ok(());
            };
            if let Some(newest) = newest {
                self.follows(&row_key, &last.header, &newest.header);
                return Ok(());
            }
        }
        self.disagree(&last.key, "is history of an object without a newest record");
        Ok(())
    }

    fn follows(&mut self, key: &[u8], before: &ObjectHeader, after: &ObjectHeader) {
        let revision = Revision::new(before.revision);
        let rises = before.revision < after.revision;
        let same_life = if before.kind == kind_byte(ChangeKind::Deleted) {
            after.kind == kind_byte(ChangeKind::Created)
        } else {
            after.kind != kind_byte(ChangeKind::Created) && after.created == before.created
        };
        if !rises || !same_life {
            self.disagree(key, format!("cannot follow revision {revision}"));
        }
    }
}

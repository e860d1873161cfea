use bytes::Bytes;
use storage_core::{Result, Revision};

use super::Check;
use crate::engine::KvView;
use crate::get::record_of;
use crate::keyspace::{ObjectBytes, STATE, parse_log_row, table};
use crate::record::{ChangeHeader, kind, unseal};

impl<V: KvView> Check<'_, V> {
    /// The change log: a change for each record above the horizon, and a record for each change.
    pub(super) fn changes(&mut self) -> Result<()> {
        let mut above_horizon = 0;
        self.each_row(table::LOG, |check, key, row| {
            check.report.changes += 1;
            let (header, object) = unseal::<ChangeHeader>(key, row)?;
            let revision = parse_log_row(key)?;
            let known = revision.get() <= check.state.head;
            check.expect(key, known, "is newer than the store's newest revision");
            // Those at or below the horizon wait to be dropped; what they name may be gone.
            if revision.get() > check.state.horizon {
                above_horizon += 1;
                check.change(key, revision, header, &object)?;
            }
            Ok(())
        })?;
        let (counted, found) = (self.state.changes, self.report.changes);
        if counted != found {
            self.disagree(
                STATE,
                format!("counts {counted} changes, there are {found}"),
            );
        }
        let records = self.records_above_horizon;
        if records != above_horizon {
            let what = format!("{records} records and {above_horizon} changes above the horizon");
            self.disagree(STATE, what);
        }
        Ok(())
    }

    fn change(
        &mut self,
        key: &[u8],
        revision: Revision,
        header: ChangeHeader,
        object: &Bytes,
    ) -> Result<()> {
        let object = ObjectBytes::from_bytes(object);
        let known = kind(header.kind).is_some();
        self.expect(key, known, "has an unknown kind");
        let record = record_of(self.view, &object, revision)?;
        let same = record.header.kind == header.kind && record.header.time_ms == header.time_ms;
        self.expect(key, same, "differs from its record");
        let is_creation = record.header.created == record.header.revision;
        let has_previous = header.previous != 0;
        self.expect(
            key,
            is_creation != has_previous,
            "has a previous revision that its kind denies",
        );
        if has_previous {
            let rises = header.previous < revision.get();
            self.expect(key, rises, "is not later than the revision before it");
            record_of(self.view, &object, Revision::new(header.previous))?;
        }
        Ok(())
    }
}

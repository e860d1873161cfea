use storage_core::{ChangeKind, Result};

use super::Check;
use crate::engine::KvView;
use crate::get::read_record;
use crate::keyspace::{self, ObjectBytes, parse_deleted_row, parse_object_row, table};
use crate::record::{DeletedHeader, Record, kind_byte, unseal};

impl<V: KvView> Check<'_, V> {
    /// The current view; counts what must be counted.
    pub(super) fn objects(&mut self) -> Result<()> {
        self.each_row(table::CURRENT, |check, key, row| {
            check.report.objects += 1;
            let object = ObjectBytes::from_bytes(parse_object_row(key));
            let count = keyspace::count(&object.to_key()?);
            *check.counts.entry(count).or_default() += 1;
            let record = Record::unseal(key, row)?;
            check.expect(key, !record.is_deletion(), "is a deletion");
            check.header(key, &record);
            let in_trash = check.view.get(&object.trash())?.is_some();
            check.expect(key, !in_trash, "exists and is in the trash");
            Ok(())
        })
    }

    pub(super) fn internal(&mut self) -> Result<()> {
        self.each_row(table::INTERNAL, |check, key, row| {
            check.report.internal += 1;
            let object = ObjectBytes::from_bytes(parse_object_row(key));
            let is_internal = object.to_key()?.is_internal();
            check.expect(key, is_internal, "is not a control record");
            let record = Record::unseal(key, row)?;
            check.expect(key, !record.is_deletion(), "is a deletion");
            check.revisions(key, &record);
            Ok(())
        })
    }

    pub(super) fn trash(&mut self) -> Result<()> {
        self.each_row(table::TRASH, |check, key, row| {
            check.report.trash += 1;
            let object = ObjectBytes::from_bytes(parse_object_row(key));
            object.to_key()?;
            let record = Record::unseal(key, row)?;
            check.expect(key, record.is_deletion(), "is in the trash, not a deletion");
            check.header(key, &record);
            let index = object.deleted(record.revision());
            match check.view.get(&index)? {
                None => check.disagree(key, "has no index row"),
                Some(row) => {
                    let (header, _) = unseal::<DeletedHeader>(&index, &row)?;
                    let same = header.time_ms == record.header.time_ms;
                    check.expect(&index, same, "has another time than the deletion record");
                }
            }
            Ok(())
        })
    }

    pub(super) fn trash_index(&mut self) -> Result<()> {
        self.each_row(table::DELETED, |check, key, row| {
            unseal::<DeletedHeader>(key, row)?;
            let (revision, object) = parse_deleted_row(key)?;
            let trash = ObjectBytes::from_bytes(object).trash();
            let deletion = read_record(check.view, &trash)?;
            let same = deletion.is_some_and(|record| record.revision() == revision);
            check.expect(key, same, "is of nothing in the trash");
            Ok(())
        })
    }

    /// What holds for every record of an object.
    pub(super) fn header(&mut self, key: &[u8], record: &Record) {
        self.revisions(key, record);
        let is_first = record.header.created == record.header.revision;
        let is_creation = record.header.kind == kind_byte(ChangeKind::Created);
        self.expect(
            key,
            is_first == is_creation,
            "has a kind that its life denies",
        );
        if record.header.revision > self.state.horizon {
            self.records_above_horizon += 1;
        }
    }

    fn revisions(&mut self, key: &[u8], record: &Record) {
        let header = &record.header;
        let in_order = 0 < header.created && header.created <= header.revision;
        self.expect(key, in_order, "was created after its revision");
        let known = header.revision <= self.state.head;
        self.expect(key, known, "is newer than the store's newest revision");
    }
}

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use storage_core::{Change, Changes, ChangesQuery, Previous, Result, Revision};

use crate::engine::{Direction, KvEngine, KvView};
use crate::get::{not_expired, not_in_the_future, record_of};
use crate::keyspace::{ObjectBytes, ObjectRange, log_from, parse_log_row};
use crate::record::{ChangeHeader, unseal};
use crate::store::Store;

impl<E: KvEngine> Store<E> {
    pub(crate) fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        query.validate()?;
        let (view, state) = self.view("changes")?;
        not_in_the_future("changes", query.after, state)?;
        not_expired("changes", query.after, state)?;
        let scope = ObjectRange::of(&query.scope);
        let mut answer = Changes {
            changes: Vec::new(),
            through: Revision::new(state.head),
        };
        let mut bytes = 0;
        let range = log_from(query.after.next());
        view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, row| {
                let (header, object) = unseal::<ChangeHeader>(key, &Bytes::copy_from_slice(row))?;
                if !scope.contains(&object) {
                    return Ok(ControlFlow::Continue(()));
                }
                let revision = parse_log_row(key)?;
                let full =
                    answer.changes.len() >= query.changes_max() || bytes >= query.bytes_max();
                let last = answer.changes.last();
                let last = last.map(|last: &Arc<Change>| last.object.revision);
                if let Some(last) = last.filter(|last| full && *last != revision) {
                    answer.through = last;
                    return Ok(ControlFlow::Break(()));
                }
                let change = read_change(&view, revision, header, &object)?;
                bytes += change.object.value.len();
                answer.changes.push(Arc::new(change));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(answer)
    }
}

fn read_change(
    view: &impl KvView,
    revision: Revision,
    header: ChangeHeader,
    object: &Bytes,
) -> Result<Change> {
    let object = ObjectBytes::from_bytes(object);
    let stored = record_of(view, &object, revision)?.into_stored(object.to_key()?);
    let previous = match header.previous {
        0 => None,
        revision => {
            let revision = Revision::new(revision);
            let record = record_of(view, &object, revision)?;
            Some(Previous {
                revision,
                value: record.value,
            })
        }
    };
    Ok(Change {
        object: stored,
        previous,
    })
}

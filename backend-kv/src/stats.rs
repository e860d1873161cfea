use std::ops::ControlFlow;

use bytes::Bytes;
use storage_core::{Error, ResourceStats, Result, Scope};

use crate::engine::{Direction, KvEngine, KvView};
use crate::keyspace::{self, parse_count_row};
use crate::record::{CountHeader, unseal};
use crate::store::Store;

impl<E: KvEngine> Store<E> {
    pub(crate) fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        scope.validate()?;
        if scope.is_internal() || matches!(scope, Scope::Object(_)) {
            return Err(Error::invalid("stats", format!("{scope} has no counts")));
        }
        let (view, _) = self.view("stats")?;
        let range = keyspace::counts(scope);
        let mut stats = Vec::new();
        view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, row| {
                let [group, resource, namespace] = parse_count_row(key)?;
                let (header, _) = unseal::<CountHeader>(key, &Bytes::copy_from_slice(row))?;
                stats.push(ResourceStats {
                    group: group.into(),
                    resource: resource.into(),
                    namespace: namespace.into(),
                    count: header.objects,
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(stats)
    }
}

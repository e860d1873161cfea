//! An engine that tests can look into and spoil.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use backend_kv::{BTreeEngine, Batch, Direction, KvBackend, KvEngine, KvView, WriteError};
use bytes::Bytes;
use parking_lot::Mutex;
use storage_core::{Durability, Error, ErrorKind, ManualClock, Result};

/// A map in memory that outlives the backends on it. Clones are the same map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    engine: Arc<BTreeEngine>,
    next_write: Arc<Mutex<Option<Fault>>>,
}

/// What goes wrong with a write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    IsNotWritten,
    IsWrittenButFails,
    Panics,
}

impl Rows {
    pub(crate) fn open(&self) -> Result<KvBackend<Self>> {
        KvBackend::open(self.clone(), Arc::new(ManualClock::default()))
    }

    pub(crate) fn all(&self) -> Vec<(Vec<u8>, Bytes)> {
        let mut all = Vec::new();
        let view = self.engine.view().unwrap();
        view.scan(b""..b"\xff\xff", Direction::Forward, &mut |key, value| {
            all.push((key.to_vec(), Bytes::copy_from_slice(value)));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        all
    }

    pub(crate) fn put(&self, key: &[u8], value: impl Into<Bytes>) {
        let mut batch = Batch::default();
        batch.put(key.to_vec(), value);
        self.engine.write(batch).unwrap();
    }

    pub(crate) fn remove(&self, key: &[u8]) {
        let mut batch = Batch::default();
        batch.remove(key.to_vec());
        self.engine.write(batch).unwrap();
    }

    pub(crate) fn fail_next_write(&self, fault: Fault) {
        *self.next_write.lock() = Some(fault);
    }
}

impl KvEngine for Rows {
    type View<'a> = RowsView<'a>;

    fn name(&self) -> &'static str {
        "rows"
    }

    fn location(&self) -> String {
        "rows:test".into()
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn view(&self) -> Result<RowsView<'_>> {
        Ok(RowsView(self.engine.view()?))
    }

    fn write(&self, batch: Batch) -> Result<(), WriteError> {
        let broken = || Error::new(ErrorKind::Unavailable, "write", "the disk is broken");
        let fault = self.next_write.lock().take();
        match fault {
            None => self.engine.write(batch),
            Some(Fault::IsNotWritten) => Err(WriteError::NotWritten(broken())),
            Some(Fault::IsWrittenButFails) => {
                self.engine.write(batch)?;
                Err(WriteError::Unknown(broken()))
            }
            Some(Fault::Panics) => panic!("a fault of the engine"),
        }
    }
}

pub(crate) struct RowsView<'a>(<BTreeEngine as KvEngine>::View<'a>);

impl KvView for RowsView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.get(key)
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        direction: Direction,
        visit: &mut backend_kv::Visitor<'_>,
    ) -> Result<()> {
        self.0.scan(range, direction, visit)
    }
}

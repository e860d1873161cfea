use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use storage_core::Result;

use crate::engine::{Direction, KvView};

/// Rows that are read ahead at once, at most.
const CHUNK_ROWS_MAX: usize = 64;
/// Bytes that are read ahead at once, but for one row more.
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// The rows of a range one by one, where two scans must go side by side.
pub(super) struct Rows<'v, V> {
    view: &'v V,
    rest: Range<Vec<u8>>,
    chunk: VecDeque<(Vec<u8>, Bytes)>,
}

impl<'v, V: KvView> Rows<'v, V> {
    pub(super) fn new(view: &'v V, range: Range<Vec<u8>>) -> Self {
        Self {
            view,
            rest: range,
            chunk: VecDeque::new(),
        }
    }

    pub(super) fn peek(&mut self) -> Result<Option<&(Vec<u8>, Bytes)>> {
        if self.chunk.is_empty() {
            self.read_ahead()?;
        }
        Ok(self.chunk.front())
    }

    pub(super) fn next(&mut self) -> Result<Option<(Vec<u8>, Bytes)>> {
        self.peek()?;
        Ok(self.chunk.pop_front())
    }

    fn read_ahead(&mut self) -> Result<()> {
        let chunk = &mut self.chunk;
        let mut bytes = 0;
        self.view.scan(
            &self.rest.start..&self.rest.end,
            Direction::Forward,
            &mut |key, row| {
                bytes += row.len();
                chunk.push_back((key.to_vec(), Bytes::copy_from_slice(row)));
                Ok(
                    if chunk.len() >= CHUNK_ROWS_MAX || bytes >= CHUNK_BYTES_MAX {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    },
                )
            },
        )?;
        self.rest.start = match self.chunk.back() {
            Some((last, _)) => [last.as_slice(), &[0]].concat(),
            None => self.rest.end.clone(),
        };
        Ok(())
    }
}

//! Lists as streams, page by page.

use std::collections::VecDeque;

use futures::Stream;
use futures::stream::try_unfold;
use storage_core::{ListQuery, Result, StorageBackend, Stored};

/// Bytes of one page: enough to amortise a call, little enough to hold several.
const PAGE_BYTES: usize = 4 << 20;

/// Returns every item of a list, holding one page at a time.
pub(crate) fn scan(
    backend: &dyn StorageBackend,
    query: ListQuery,
) -> impl Stream<Item = Result<Stored>> {
    let first = State {
        items: VecDeque::new(),
        next: Some(ListQuery {
            limit_bytes: Some(query.limit_bytes.unwrap_or(PAGE_BYTES)),
            ..query
        }),
    };
    try_unfold(first, move |mut state| async move {
        loop {
            if let Some(item) = state.items.pop_front() {
                return Ok(Some((item, state)));
            }
            let Some(query) = state.next.take() else {
                return Ok(None);
            };
            let page = backend.list(&query).await?;
            state.items = page.items.into();
            state.next = page.next.map(|cursor| query.after(cursor));
        }
    })
}

struct State {
    items: VecDeque<Stored>,
    next: Option<ListQuery>,
}

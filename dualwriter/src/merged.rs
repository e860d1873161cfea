//! Putting together what both stores answered to one query.

use std::cmp::Ordering;
use std::sync::Arc;

use storage_core::{
    Change, Changes, Cursor, ListQuery, Order, Page, ResourceKey, Revision, Stored,
};

use crate::Side;

/// Returns the place after an item of a list.
pub(crate) fn cursor_after(query: &ListQuery, last: &Stored, revision: Revision) -> Cursor {
    Cursor {
        source: query.source,
        order: query.order,
        revision,
        key: last.key.clone(),
        item: last.revision,
    }
}

/// Merges two pages of the same query, each with the items of its own kinds.
pub(crate) fn merge(legacy: Page, unified: Page, query: &ListQuery, at: Revision) -> Page {
    let more = legacy.next.is_some() || unified.next.is_some();
    // Beyond the end of a page that has a next one, nothing is known of that store.
    let bounds = [&legacy, &unified].map(|page| {
        let last = page.items.last();
        page.next
            .as_ref()
            .and(last)
            .map(|item| (item.key.clone(), item.revision))
    });
    let mut items: Vec<Stored> = legacy.items.into_iter().chain(unified.items).collect();
    items.sort_by(|a, b| position(query.order, (&a.key, a.revision), (&b.key, b.revision)));
    for bound in bounds.iter().flatten() {
        items.retain(|item| {
            let at = (&item.key, item.revision);
            position(query.order, at, (&bound.0, bound.1)) != Ordering::Greater
        });
    }
    let (mut kept, mut bytes, total) = (0, 0, items.len());
    for item in &items {
        if kept == query.items_max() || (kept > 0 && bytes >= query.bytes_max()) {
            break;
        }
        kept += 1;
        bytes += item.value.len();
    }
    items.truncate(kept);
    let next = (more || kept < total)
        .then(|| items.last().map(|last| cursor_after(query, last, at)))
        .flatten();
    Page {
        items,
        revision: at,
        next,
    }
}

fn position(order: Order, a: (&ResourceKey, Revision), b: (&ResourceKey, Revision)) -> Ordering {
    let revisions = match order {
        Order::Ascending => a.1.cmp(&b.1),
        Order::Descending => b.1.cmp(&a.1),
    };
    a.0.cmp(b.0).then(revisions)
}

/// Merges two answers to the same query: of each store the changes of the keys that are read from
/// it, as far as both answers go.
pub(crate) fn merge_changes(
    is_read_from: impl Fn(Side, &ResourceKey) -> bool,
    legacy: Changes,
    unified: Changes,
) -> Changes {
    let through = legacy.through.min(unified.through);
    let of = |side: Side, changes: Changes| {
        let own = |change: &Arc<Change>| {
            let object = &change.object;
            object.revision <= through && is_read_from(side, &object.key)
        };
        changes.changes.into_iter().filter(own).collect::<Vec<_>>()
    };
    let mut changes = of(Side::Legacy, legacy);
    changes.extend(of(Side::Unified, unified));
    // Stable: the writes of one transaction stay in their order.
    changes.sort_by_key(|change| change.object.revision);
    Changes { changes, through }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage_core::{ChangeKind, OperationId, Scope, Timestamp};

    use super::*;

    /// Kinds with an odd number are read from unified.
    fn side(key: &ResourceKey) -> Side {
        match key.resource() {
            "r1" | "r3" => Side::Unified,
            _ => Side::Legacy,
        }
    }

    fn stored(kind: u8, name: u8, revision: usize, bytes: usize) -> Stored {
        let revision = Revision::new(revision as u64 + 1);
        let key = ResourceKey::new("g", format!("r{}", kind % 4), "", format!("n{}", name % 5));
        Stored {
            key: key.unwrap(),
            kind: ChangeKind::Updated,
            revision,
            created: revision,
            value: vec![b'x'; bytes].into(),
            time: Timestamp::default(),
            operation: OperationId::default(),
        }
    }

    /// Revisions of objects of four kinds, the number of the write being the revision.
    fn items() -> impl Strategy<Value = Vec<Stored>> {
        prop::collection::vec((0..4_u8, 0..5_u8, 0..9_usize), 0..40).prop_map(|items| {
            let numbered = items.into_iter().enumerate();
            numbered
                .map(|(revision, (kind, name, bytes))| stored(kind, name, revision, bytes))
                .collect()
        })
    }

    fn sorted(mut items: Vec<Stored>, order: Order) -> Vec<Stored> {
        items.sort_by(|a, b| position(order, (&a.key, a.revision), (&b.key, b.revision)));
        items
    }

    /// A page of one store's own items after a cursor; how many it has is up to the store.
    fn page_of(items: &[Stored], of: Side, query: &ListQuery, length: usize) -> Page {
        let behind = |item: &&Stored| {
            query.cursor.as_ref().is_none_or(|cursor| {
                let (a, b) = ((&item.key, item.revision), (&cursor.key, cursor.item));
                position(query.order, a, b) == Ordering::Greater
            })
        };
        let own = items.iter().filter(|item| side(&item.key) == of);
        let mut rest: Vec<Stored> = own.filter(behind).cloned().collect();
        let more = rest.len() > length;
        rest.truncate(length);
        let revision = Revision::new(99);
        let next = rest.last().map(|last| cursor_after(query, last, revision));
        Page {
            next: next.filter(|_| more),
            items: rest,
            revision,
        }
    }

    proptest! {
        /// However long the pages of the stores are, merged pages joined are the sorted whole.
        #[test]
        fn merged_pages_join_to_the_sorted_whole(
            items in items(),
            descending: bool,
            limit in 1..6_usize,
            limit_bytes in 1..30_usize,
            lengths in prop::collection::vec(1..8_usize, 2),
        ) {
            let order = if descending { Order::Descending } else { Order::Ascending };
            let whole = sorted(items, order);
            let mut query = ListQuery::history(Scope::All, order).limit(limit);
            query.limit_bytes = Some(limit_bytes);
            let mut joined: Vec<Stored> = Vec::new();
            loop {
                let [legacy, unified] = [(Side::Legacy, lengths[0]), (Side::Unified, lengths[1])]
                    .map(|(side, length)| page_of(&whole, side, &query, length));
                let page = merge(legacy, unified, &query, Revision::new(99));
                prop_assert!(page.items.len() <= limit);
                let before_last = page.items.split_last().map_or(&[][..], |(_, before)| before);
                let bytes: usize = before_last.iter().map(|item| item.value.len()).sum();
                prop_assert!(bytes < limit_bytes, "{bytes} bytes without the last item");
                joined.extend(page.items);
                prop_assert_eq!(page.next.is_some(), joined.len() < whole.len());
                match page.next {
                    Some(cursor) => query = query.after(cursor),
                    None => break,
                }
            }
            prop_assert_eq!(joined, whole);
        }

        /// Of each store its own kinds, by revision, no further than the answer that ends first.
        #[test]
        fn merged_changes_are_ordered_and_go_as_far_as_both_answers(
            items in items(),
            throughs in prop::collection::vec(0..45_u64, 2),
        ) {
            let answer = |through: u64| {
                let known = items.iter().filter(|item| item.revision.get() <= through);
                let change = |object: &Stored| {
                    Arc::new(Change { object: object.clone(), previous: None })
                };
                Changes {
                    changes: known.map(change).collect(),
                    through: Revision::new(through),
                }
            };
            let is_read_from = |of: Side, key: &ResourceKey| side(key) == of;
            let merged = merge_changes(is_read_from, answer(throughs[0]), answer(throughs[1]));
            let through = throughs[0].min(throughs[1]);
            prop_assert_eq!(merged.through, Revision::new(through));
            let expected = items.iter().filter(|item| item.revision.get() <= through);
            let merged: Vec<&Stored> = merged.changes.iter().map(|change| &change.object).collect();
            prop_assert_eq!(merged, expected.collect::<Vec<_>>());
        }
    }
}

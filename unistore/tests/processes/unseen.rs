//! Did a watcher see everything, once, in order?

use std::collections::{BTreeMap, HashMap};

use storage_core::{OperationId, Stored};

use crate::explain::{History, marker};
use crate::follow::{Event, Segment};

/// Returns what a watcher missed, saw twice or out of order: each segment must be what the stores
/// hold, all of it.
pub(crate) fn unseen(segments: &[Segment], histories: &[&History]) -> Vec<String> {
    let order = order(histories);
    let mut found = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let wrong: Vec<String> = (0..histories.len())
            .map_while(|first| {
                Reading::new(segment, histories, &order)
                    .begun_in(first)
                    .err()
            })
            .collect();
        if wrong.len() == histories.len() {
            let (start, end) = (segment.start, segment.end);
            found.push(format!("segment {number} from {start} to {end}: {wrong:?}"));
        }
    }
    found
}

/// The place of each write among those of its object.
type Order = HashMap<OperationId, usize>;

fn order(histories: &[&History]) -> Order {
    let mut first: HashMap<OperationId, &Stored> = HashMap::new();
    for stored in histories.iter().flat_map(|history| &history.records) {
        let known = first.entry(stored.operation).or_insert(stored);
        if stored.revision < known.revision {
            *known = stored;
        }
    }
    let mut all: Vec<_> = first.into_values().collect();
    all.sort_by_key(|stored| (&stored.key, stored.revision));
    let mut places = HashMap::new();
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for stored in all {
        let place = next.entry(stored.key.name()).or_default();
        *place += 1;
        places.insert(stored.operation, *place);
    }
    places
}

/// Reads a segment beside the stores. A watcher that is up to date when clients begin to see the
/// other store goes on there: it must see what follows in that one, and nothing again.
struct Reading<'a> {
    segment: &'a Segment,
    histories: &'a [&'a History],
    order: &'a Order,
    /// The last write of each object that was seen.
    seen: BTreeMap<&'a str, usize>,
    /// The version of the last event.
    at: u64,
    /// Events that are explained.
    explained: usize,
}

impl<'a> Reading<'a> {
    fn new(segment: &'a Segment, histories: &'a [&'a History], order: &'a Order) -> Self {
        Self {
            segment,
            histories,
            order,
            seen: BTreeMap::new(),
            at: segment.start,
            explained: 0,
        }
    }

    /// Explains it, beginning in one of the stores.
    fn begun_in(mut self, first: usize) -> Result<(), String> {
        self.list(first)?;
        let mut store = first;
        loop {
            let before = self.explained;
            let Err(why) = self.events(store) else {
                return Ok(());
            };
            let others = (0..self.histories.len()).filter(|other| *other != store);
            let next = others.into_iter().find(|other| self.may_go_on_in(*other));
            match next {
                Some(next) if self.explained > before || store == first => store = next,
                Some(_) | None => return Err(why),
            }
        }
    }

    /// The list is the state of the store at its version.
    fn list(&mut self, store: usize) -> Result<(), String> {
        let history = self.histories[store];
        let mut state = BTreeMap::new();
        for stored in history.in_commit_order() {
            if stored.revision.get() > self.segment.start {
                break;
            }
            let name = stored.key.name();
            match stored.kind {
                storage_core::ChangeKind::Deleted => state.remove(name),
                storage_core::ChangeKind::Created | storage_core::ChangeKind::Updated => {
                    state.insert(name, (stored.revision.get(), marker(stored)))
                }
            };
            self.see(stored);
        }
        let listed = &self.segment.listed;
        let listed: BTreeMap<_, _> = listed
            .iter()
            .map(|(name, at)| (name.as_str(), *at))
            .collect();
        if state == listed {
            return Ok(());
        }
        let all = state.iter().chain(&listed);
        let one_sided =
            all.filter(|(name, at)| state.get(*name) != Some(at) || listed.get(*name) != Some(at));
        let one_sided: Vec<_> = one_sided.take(4).collect();
        Err(format!(
            "{} held another list: {one_sided:?}",
            history.store
        ))
    }

    /// The next events are what the store holds, up to the end of the segment.
    fn events(&mut self, store: usize) -> Result<(), String> {
        let history = self.histories[store];
        for stored in history.in_commit_order() {
            let revision = stored.revision.get();
            if revision <= self.at || revision > self.segment.end {
                continue;
            }
            let event = self.segment.events.get(self.explained);
            if !event.is_some_and(|event| is_of(event, stored)) {
                let (count, store) = (self.explained, &history.store);
                return Err(format!(
                    "event {count} is {event:?}, {store} has {stored:?}"
                ));
            }
            self.see(stored);
            self.at = revision;
            self.explained += 1;
        }
        match self.segment.events.get(self.explained) {
            None => Ok(()),
            Some(event) => Err(format!("{} does not have {event:?}", history.store)),
        }
    }

    /// What the other store has up to the next event was seen, and the event is what follows.
    fn may_go_on_in(&self, store: usize) -> bool {
        let event = self.segment.events.get(self.explained);
        let until = event.map_or(self.segment.end, |event| event.version);
        let next = self.histories[store].in_commit_order().into_iter();
        let next = next.filter(|stored| (self.at + 1..=until).contains(&stored.revision.get()));
        for stored in next {
            let place = self.order[&stored.operation];
            let seen = self.seen.get(stored.key.name()).copied().unwrap_or(0);
            let is_next = event.is_some_and(|event| is_of(event, stored));
            if (is_next && place != seen + 1) || (!is_next && place > seen) {
                return false;
            }
        }
        true
    }

    fn see(&mut self, stored: &'a Stored) {
        let place = self.order[&stored.operation];
        let seen = self.seen.entry(stored.key.name()).or_default();
        *seen = place.max(*seen);
    }
}

fn is_of(event: &Event, stored: &Stored) -> bool {
    event.change == stored.kind
        && event.name == stored.key.name()
        && event.version == stored.revision.get()
        && event.marker == marker(stored)
}

//! What lies below redb in the proofs: a disk that remembers every operation, can fail at any of
//! them, and can be cut off anywhere.

use std::io;
use std::sync::Arc;

use conformance::durability::Chance;
use parking_lot::Mutex;

/// The part of a write that a disk does not tear.
const SECTOR_BYTES: usize = 512;

/// An operation that changes what is on the disk.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
    Sync,
}

/// When a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    Never,
    /// At this operation, reads and syncs included, counted from one.
    Once(u64),
    /// At this operation and at all that follow.
    From(u64),
}

#[derive(Debug)]
struct State {
    content: Vec<u8>,
    events: Vec<Event>,
    operations: u64,
    failing: Failing,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(crate) fn new(content: Vec<u8>, failing: Failing) -> Self {
        Self(Arc::new(Mutex::new(State {
            content,
            events: Vec::new(),
            operations: 0,
            failing,
        })))
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.0.lock().content.clone()
    }

    /// Returns the changes so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().events.clone()
    }

    pub(crate) fn event_count(&self) -> usize {
        self.0.lock().events.len()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    fn operation<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock();
        state.operations += 1;
        let fails = match state.failing {
            Failing::Never => false,
            Failing::Once(at) => state.operations == at,
            Failing::From(at) => state.operations >= at,
        };
        if fails {
            return Err(io::Error::other("injected fault"));
        }
        work(&mut state)
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.operation(|state| Ok(state.content.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.operation(|state| {
            let at = usize::try_from(offset).unwrap();
            let bytes = state.content.get(at..at + out.len());
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let event = Event::SetLen(usize::try_from(len).unwrap());
        self.operation(|state| state.apply(event))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operation(|state| state.apply(Event::Sync))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let event = Event::Write {
            at: usize::try_from(offset).unwrap(),
            bytes: data.to_vec(),
        };
        self.operation(|state| state.apply(event))
    }
}

impl State {
    fn apply(&mut self, event: Event) -> io::Result<()> {
        put(&mut self.content, &event);
        self.events.push(event);
        Ok(())
    }
}

/// What happens to changes that were not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// All are lost.
    None,
    /// All arrived.
    All,
    /// Each arrived or not.
    Some,
    /// Each sector of each arrived or not.
    Torn,
}

impl Unsynced {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::All, Self::Some, Self::Torn];
}

/// Returns what a disk that started as `base` holds when the power goes after some events.
pub(crate) fn image(
    base: &[u8],
    events: &[Event],
    unsynced: Unsynced,
    chance: &mut Chance,
) -> Vec<u8> {
    let mut synced = Synced {
        content: base.to_vec(),
        events: 0,
    };
    synced.advance_to(events.len(), events);
    synced.image(events, unsynced, chance)
}

/// What is certainly on a disk that was empty: everything up to the last sync.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    content: Vec<u8>,
    /// How many events it holds.
    events: usize,
}

impl Synced {
    /// Goes on to the last sync of the first `cut` events.
    pub(crate) fn advance_to(&mut self, cut: usize, events: &[Event]) {
        let new = &events[self.events..cut];
        let last = new.iter().rposition(|event| matches!(event, Event::Sync));
        for event in &new[..last.map_or(0, |last| last + 1)] {
            put(&mut self.content, event);
            self.events += 1;
        }
    }

    /// Returns what the disk holds when the power goes after `events`.
    pub(crate) fn image(
        &self,
        events: &[Event],
        unsynced: Unsynced,
        chance: &mut Chance,
    ) -> Vec<u8> {
        let mut image = self.content.clone();
        for event in &events[self.events..] {
            put_unsynced(&mut image, event, unsynced, chance);
        }
        image
    }
}

fn put_unsynced(image: &mut Vec<u8>, event: &Event, unsynced: Unsynced, chance: &mut Chance) {
    match (unsynced, event) {
        (Unsynced::None, _) => {}
        (Unsynced::All, _) => put(image, event),
        (Unsynced::Torn, Event::Write { at, bytes }) => {
            for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if chance.one_in(2) {
                    let sector = Event::Write {
                        at: at + number * SECTOR_BYTES,
                        bytes: sector.to_vec(),
                    };
                    put(image, &sector);
                }
            }
        }
        (Unsynced::Some | Unsynced::Torn, _) => {
            if chance.one_in(2) {
                put(image, event);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write { at, bytes } => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
        Event::SetLen(len) => content.resize(*len, 0),
        Event::Sync => {}
    }
}

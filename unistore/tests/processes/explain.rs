//! Does what the stores hold explain what the clients and the watchers were told?
//!
//! A write is known by the number in its value and by the operation that the store keeps with it.
//! Where two stores hold it, at two revisions, the lower one is that of the write.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use conformance::linearizability::{self, Answer, Operation, Request, Verdict};
use conformance::revisions::{self, ReadRecord, WriteRecord};
use storage_core::{
    ChangeKind, ListQuery, OperationId, Order, Precondition, Revision, Scope, StorageBackend,
    Stored,
};

use crate::actor::marker_of;
use crate::record::{Ask, Attempt, Marker, Told, key};

/// States that the search for an order looks at before it gives up.
const STATES_MAX: usize = 4_000_000;

/// Everything that a store ever held of the playlists.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) store: String,
    pub(crate) records: Vec<Stored>,
}

impl History {
    /// Reads the history of a store that is not in use, or that many may use.
    pub(crate) async fn read(url: &str) -> Self {
        let url = url.parse().unwrap();
        let store = unistore::registry::open_existing(&url).await.unwrap();
        let scope = Scope::resource("playlist.grafana.app", "playlists");
        let mut query = ListQuery::history(scope, Order::Ascending);
        let mut records = Vec::new();
        loop {
            let page = store.list(&query).await.unwrap();
            records.extend(page.items);
            match page.next {
                Some(next) => query = query.after(next),
                None => break,
            }
        }
        Self {
            store: url.to_string(),
            records,
        }
    }

    /// Returns that of the objects whose names begin so.
    pub(crate) fn of(&self, prefix: &str) -> Self {
        let records = self.records.iter();
        let records = records.filter(|stored| stored.key.name().starts_with(prefix));
        Self {
            store: self.store.clone(),
            records: records.cloned().collect(),
        }
    }

    pub(crate) fn in_commit_order(&self) -> Vec<&Stored> {
        let mut records: Vec<&Stored> = self.records.iter().collect();
        records.sort_by_key(|stored| stored.revision);
        records
    }
}

/// A time during which the revisions that clients see change from those of one store to those of
/// the other: a version that was refused then may have been the newest.
pub(crate) type Switch = std::ops::RangeInclusive<u64>;

/// Returns what the histories do not explain of what clients were told.
pub(crate) fn unexplained(
    attempts: &[Attempt],
    histories: &[&History],
    switches: &[Switch],
) -> Vec<String> {
    let mut found = Vec::new();
    let writes = Writes::new(histories, &mut found);
    versions_are_true(attempts, histories, &mut found);
    let (records, reads) = writes.records(attempts);
    let violations = revisions::check(&writes.history(), &records, &reads);
    let by_operation: HashMap<_, _> = records.iter().map(|r| (r.operation, r)).collect();
    for violation in violations {
        let about = match &violation {
            revisions::Violation::Lost(id)
            | revisions::Violation::RefusedButThere(id)
            | revisions::Violation::Twice(id)
            | revisions::Violation::PreconditionBroken(id)
            | revisions::Violation::OutOfOrder(id, _) => by_operation.get(id),
            revisions::Violation::FromNowhere(_) | revisions::Violation::ImpossibleRead(..) => None,
        };
        found.push(format!("{violation}: {about:?}"));
    }
    not_linearizable(attempts, switches, &mut found);
    found
}

/// What was written once, whatever the number of stores that hold it.
struct Writes {
    by_operation: BTreeMap<OperationId, Stored>,
    /// The operation that wrote a marker.
    puts: HashMap<Marker, OperationId>,
    /// The operation that deleted the object with a marker.
    deletes: HashMap<Marker, OperationId>,
}

impl Writes {
    fn new(histories: &[&History], found: &mut Vec<String>) -> Self {
        let mut writes = Self {
            by_operation: BTreeMap::new(),
            puts: HashMap::new(),
            deletes: HashMap::new(),
        };
        for history in histories {
            let mut here = BTreeSet::new();
            let mut revisions = BTreeSet::new();
            for stored in &history.records {
                let (store, at) = (&history.store, (&stored.key, stored.revision));
                if !here.insert(stored.operation) {
                    found.push(format!("{store} has the write of {at:?} twice"));
                }
                if !revisions.insert(stored.revision) {
                    found.push(format!("{store} has two writes at {at:?}"));
                }
                writes.add(stored, found);
            }
        }
        writes
    }

    fn add(&mut self, stored: &Stored, found: &mut Vec<String>) {
        let marker = marker(stored);
        let of_marker = match stored.kind {
            ChangeKind::Created | ChangeKind::Updated => &mut self.puts,
            ChangeKind::Deleted => &mut self.deletes,
        };
        let operation = *of_marker.entry(marker).or_insert(stored.operation);
        if operation != stored.operation {
            found.push(format!("two operations are one write: {stored:?}"));
        }
        let known = self.by_operation.entry(stored.operation);
        let known = known.or_insert_with(|| stored.clone());
        if stored.revision < known.revision {
            *known = stored.clone();
        }
    }

    /// The one history, in which a value is its marker.
    fn history(&self) -> Vec<Stored> {
        let mut all: Vec<Stored> = self
            .by_operation
            .values()
            .map(|stored| Stored {
                value: value(marker(stored)),
                ..stored.clone()
            })
            .collect();
        all.sort_by(|a, b| (&a.key, a.revision).cmp(&(&b.key, b.revision)));
        all
    }

    fn revision(&self, marker: Marker) -> Option<Revision> {
        let operation = self.puts.get(&marker)?;
        Some(self.by_operation[operation].revision)
    }

    /// Says in the words of the one history what clients asked and were told.
    fn records(&self, attempts: &[Attempt]) -> (Vec<WriteRecord>, Vec<ReadRecord>) {
        let deleters = self.deleters(attempts);
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for (index, attempt) in attempts.iter().enumerate() {
            let (precondition, marker, operation) = match attempt.ask {
                Ask::Read => {
                    reads.extend(self.read(attempt));
                    continue;
                }
                Ask::Create(marker) => (Precondition::Absent, Some(marker), self.puts.get(&marker)),
                Ask::Update { marker, over } => {
                    let over = self.revision(over.marker).unwrap_or_default();
                    let operation = self.puts.get(&marker);
                    (Precondition::Revision(over), Some(marker), operation)
                }
                Ask::Delete { over } => {
                    let mine = deleters.get(&over.marker) == Some(&index);
                    let operation = self.deletes.get(&over.marker).filter(|_| mine);
                    let over = self.revision(over.marker).unwrap_or_default();
                    (Precondition::Revision(over), None, operation)
                }
            };
            // What no store has keeps a name of its own.
            let unstored = OperationId(u128::MAX - index as u128);
            let revision = operation.map(|operation| self.by_operation[operation].revision);
            writes.push(WriteRecord {
                key: key(&attempt.name),
                operation: operation.copied().unwrap_or(unstored),
                precondition,
                value: marker.map(value),
                call: attempt.call,
                answered: attempt.answered,
                told: match attempt.told {
                    Told::Done(_) => revisions::Told::Committed(revision.unwrap_or_default()),
                    Told::Refused | Told::Failed(_) => revisions::Told::Refused,
                    Told::Unknown(_) | Told::Saw(_) => revisions::Told::Unknown,
                },
            });
        }
        (writes, reads)
    }

    fn read(&self, attempt: &Attempt) -> Option<ReadRecord> {
        let Told::Saw(saw) = attempt.told else {
            return None;
        };
        Some(ReadRecord {
            key: key(&attempt.name),
            call: attempt.call,
            answered: attempt.answered,
            saw: saw.map(|saw| self.revision(saw.marker).unwrap_or(Revision::MAX)),
        })
    }

    /// Finds for each deleted marker the attempt that did it: one that was told so, else one that
    /// was not told, else one that was told otherwise.
    fn deleters(&self, attempts: &[Attempt]) -> HashMap<Marker, usize> {
        let mut deleters: HashMap<Marker, usize> = HashMap::new();
        let rank = |index: usize| match attempts[index].told {
            Told::Done(_) => 0,
            Told::Unknown(_) => 1,
            Told::Refused | Told::Failed(_) | Told::Saw(_) => 2,
        };
        for (index, attempt) in attempts.iter().enumerate() {
            if let Ask::Delete { over } = attempt.ask {
                let of_marker = deleters.entry(over.marker).or_insert(index);
                if rank(index) < rank(*of_marker) {
                    *of_marker = index;
                }
            }
        }
        deleters
    }
}

/// Each version that a client was told is that of the object in one of the stores.
fn versions_are_true(attempts: &[Attempt], histories: &[&History], found: &mut Vec<String>) {
    let records = histories.iter().flat_map(|history| &history.records);
    let records = records.filter(|stored| stored.kind != ChangeKind::Deleted);
    let stored: BTreeSet<_> = records
        .map(|stored| (stored.key.name(), stored.revision.get(), marker(stored)))
        .collect();
    for attempt in attempts {
        let told = match (&attempt.told, attempt.ask) {
            (Told::Saw(Some(seen)), _) => (seen.version, seen.marker),
            (Told::Done(Some(version)), Ask::Create(marker) | Ask::Update { marker, .. }) => {
                (*version, marker)
            }
            _ => continue,
        };
        if !stored.contains(&(attempt.name.as_str(), told.0, told.1)) {
            found.push(format!("no store has what was told: {attempt:?}"));
        }
    }
}

fn not_linearizable(attempts: &[Attempt], switches: &[Switch], found: &mut Vec<String>) {
    let mut by_name: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for attempt in attempts {
        let operation = operation(attempt, switches);
        by_name.entry(&attempt.name).or_default().push(operation);
    }
    for (name, history) in by_name {
        match linearizability::check(None, &history, STATES_MAX) {
            Verdict::Linearizable => {}
            Verdict::Illegal(longest) => {
                let mut unexplained: Vec<_> = (0..history.len())
                    .filter(|index| !longest.contains(index))
                    .map(|index| history[index])
                    .collect();
                unexplained.sort_by_key(|operation| operation.answered);
                unexplained.truncate(5);
                found.push(format!(
                    "{name} is not linearizable; {} of {} are explained, next {unexplained:?}",
                    longest.len(),
                    history.len()
                ));
            }
            Verdict::Undecided => found.push(format!(
                "whether {name} is linearizable takes too long to say: {} operations",
                history.len()
            )),
        }
    }
}

fn operation(attempt: &Attempt, switches: &[Switch]) -> Operation {
    let set = |expected, new| Request::CompareAndSet { expected, new };
    let (request, since) = match attempt.ask {
        Ask::Read => (Request::Read, attempt.call),
        Ask::Create(marker) => (set(None, Some(marker)), attempt.call),
        Ask::Update { marker, over } => (set(Some(over.marker), Some(marker)), over.call),
        Ask::Delete { over } => (set(Some(over.marker), None), over.call),
    };
    let switched = switches
        .iter()
        .any(|switch| since <= *switch.end() && attempt.answered >= *switch.start());
    Operation {
        call: attempt.call,
        answered: attempt.answered,
        request,
        answer: match &attempt.told {
            Told::Saw(saw) => Answer::Value(saw.map(|saw| saw.marker)),
            Told::Done(_) => Answer::Set,
            Told::Refused if switched => Answer::Failed,
            Told::Refused => Answer::Refused,
            Told::Failed(_) => Answer::Failed,
            Told::Unknown(_) => Answer::Unknown,
        },
    }
}

/// Tells everything that happened to an object, for people who look for a cause.
pub(crate) fn timeline(name: &str, attempts: &[Attempt], histories: &[&History]) -> String {
    let mut lines = vec![format!("{name}:")];
    for history in histories {
        lines.push(format!("  {}", history.store));
        for stored in history.records.iter().filter(|s| s.key.name() == name) {
            let (revision, kind) = (stored.revision, stored.kind);
            lines.push(format!(
                "    {revision:>6} {kind:?} {} by {}",
                marker(stored),
                stored.operation
            ));
        }
    }
    let mut attempts: Vec<_> = attempts.iter().filter(|a| a.name == name).collect();
    attempts.sort_by_key(|attempt| attempt.call);
    for attempt in attempts {
        let (call, answered) = (attempt.call, attempt.answered);
        lines.push(format!(
            "  {call}..{answered} process {}: {:?} -> {:?}",
            attempt.process, attempt.ask, attempt.told
        ));
    }
    lines.join("\n")
}

pub(crate) fn marker(stored: &Stored) -> Marker {
    marker_of(&serde_json::from_slice(&stored.value).unwrap())
}

fn value(marker: Marker) -> Bytes {
    Bytes::from(marker.to_string())
}

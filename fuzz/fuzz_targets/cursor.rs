//! Where a list goes on. A continue token that is used as it was given shows exactly the rest; one
//! that was changed in any way, or is used for another list, is refused. A cursor of the store that
//! nobody gave is refused or goes on at its place, as in the specification.
#![no_main]

use std::sync::Arc;

use backend_kv::{BTreeEngine, KvBackend};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use resource::{ListParameters, Objects};
use storage_core::{
    Cursor, ListQuery, ManualClock, Memory, Order, Precondition, ResourceKey, Revision, Scope,
    Source, StorageBackend, StorageBackendExt, Transaction,
};
use unistore_fuzz::{RUNTIME, create, must_be_the_callers_fault, objects, playlists};

const NAMES: [&str; 5] = ["a", "a-b", "aa", "b", "c"];

#[derive(Arbitrary, Debug)]
struct Input {
    limit: u8,
    edits: Vec<Edit>,
    cursors: Vec<AnyCursor>,
}

/// A change of a token.
#[derive(Arbitrary, Debug)]
enum Edit {
    Flip { at: u16, bits: u8 },
    Insert { at: u16, byte: u8 },
    Remove { at: u16 },
    Cut { at: u16 },
    Repeat,
    Replace(String),
}

/// A cursor as a caller of the store may make one up.
#[derive(Arbitrary, Debug)]
struct AnyCursor {
    source: u8,
    order: bool,
    revision: u8,
    key: [u8; 4],
    item: u8,
    limit: u8,
    scope: u8,
}

fuzz_target!(|input: Input| {
    RUNTIME.block_on(async {
        tokens(&input).await;
        cursors(&input.cursors).await;
    });
});

async fn tokens(input: &Input) {
    let objects = objects();
    for name in NAMES {
        create(&objects, name).await;
    }
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let parameters = ListParameters {
            limit: Some(u64::from(input.limit % 4) + 1),
            continue_token: token.clone(),
            ..ListParameters::default()
        };
        let page = objects.list(&playlists(&objects), &parameters).await;
        let page = page.expect("a token as it was given is taken");
        names.extend(page.items.iter().map(|item| item.name().to_owned()));
        let Some(next) = page.next else {
            break;
        };
        for edit in &input.edits {
            changed_is_refused(&objects, &next, edit).await;
        }
        elsewhere_is_refused(&objects, &next).await;
        token = next;
    }
    assert_eq!(names, NAMES);
}

async fn changed_is_refused(objects: &Objects, token: &str, edit: &Edit) {
    let mut bytes = token.as_bytes().to_vec();
    let place = |at: &u16| usize::from(*at) % token.len();
    match edit {
        Edit::Flip { at, bits } => bytes[place(at)] ^= bits,
        Edit::Insert { at, byte } => bytes.insert(place(at), *byte),
        Edit::Remove { at } => drop(bytes.remove(place(at))),
        Edit::Cut { at } => bytes.truncate(place(at)),
        Edit::Repeat => bytes.extend_from_within(..),
        Edit::Replace(text) => bytes = text.clone().into_bytes(),
    }
    let Ok(changed) = String::from_utf8(bytes) else {
        return;
    };
    // An empty one asks for the first page.
    if changed == token || changed.is_empty() {
        return;
    }
    let parameters = ListParameters {
        continue_token: changed.clone(),
        ..ListParameters::default()
    };
    match objects.list(&playlists(objects), &parameters).await {
        Ok(_) => panic!("{changed:?} was taken"),
        Err(failure) => must_be_the_callers_fault(&failure),
    }
}

async fn elsewhere_is_refused(objects: &Objects, token: &str) {
    let parameters = ListParameters {
        continue_token: token.to_owned(),
        label_selector: "app=a".into(),
        ..ListParameters::default()
    };
    let answer = objects.list(&playlists(objects), &parameters).await;
    assert!(answer.is_err(), "a token of another list was taken");
}

/// Compares the key-value backend with the specification.
async fn cursors(cursors: &[AnyCursor]) {
    let clock = Arc::new(ManualClock::default());
    let memory = Memory::with_clock(clock.clone());
    let store = KvBackend::open(BTreeEngine::new(), clock).expect("an empty store opens");
    for number in 0..12_u8 {
        let key = any_key([number % 2, 0, number % 3, number % 5]);
        let transaction = match number % 4 {
            3 => Transaction::delete(key, Precondition::Any, "gone"),
            _ => Transaction::put(key, Precondition::Any, number.to_string()),
        };
        let outcomes = [
            memory.commit_one(transaction.clone()).await,
            store.commit_one(transaction).await,
        ];
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    for cursor in cursors {
        let query = query(cursor);
        let (expected, answer) = (memory.list(&query).await, store.list(&query).await);
        match (expected, answer) {
            (Ok(expected), Ok(answer)) => assert_eq!(answer, expected, "{query:?}"),
            (Err(expected), Err(error)) => assert_eq!(error.kind(), expected.kind(), "{query:?}"),
            (expected, answer) => panic!("{query:?}: {answer:?} instead of {expected:?}"),
        }
    }
}

fn any_key([group, resource, namespace, name]: [u8; 4]) -> ResourceKey {
    let part = |text: &str, number: u8| format!("{text}{}", number % 5);
    let (group, resource) = (part("g", group), part("r", resource));
    let key = ResourceKey::new(group, resource, part("ns", namespace), part("n", name));
    key.expect("the key is well formed")
}

fn query(cursor: &AnyCursor) -> ListQuery {
    let key = any_key(cursor.key);
    let source = [Source::Live, Source::History, Source::Trash][usize::from(cursor.source % 3)];
    let order = [Order::Ascending, Order::Descending][usize::from(cursor.order)];
    let scope = match cursor.scope % 5 {
        0 => Scope::All,
        1 => Scope::group("g0"),
        2 => Scope::resource("g1", "r0"),
        3 => Scope::namespace("g0", "r0", "ns1"),
        _ => Scope::Object(key.clone()),
    };
    // A page has no item beyond its revision, so no cursor has.
    let revision = cursor.revision % 16;
    let item = (cursor.item % 16).min(revision);
    let mut query = ListQuery::live(scope).limit(usize::from(cursor.limit));
    (query.source, query.order) = (source, order);
    query.after(Cursor {
        source,
        order,
        revision: Revision::new(u64::from(revision)),
        key,
        item: Revision::new(u64::from(item)),
    })
}

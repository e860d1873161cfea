use storage_core::{ErrorKind, Op, Precondition, ResourceKey, Scope, Transaction, Write};

use crate::step::{
    GROUP, RESOURCE, commit, commit_all, conflict, create, delete, error_kind, internal_key, key,
    key_in, put, revision,
};
use crate::{Backend, Fixture};

async fn counts(store: &Backend, scope: &Scope) -> Vec<(String, u64)> {
    let stats = store.stats(scope).await.expect("stats answers");
    let line =
        |s: &storage_core::ResourceStats| format!("{}/{}/{}", s.group, s.resource, s.namespace);
    stats
        .iter()
        .map(|stats| (line(stats), stats.count))
        .collect()
}

fn expected(lines: &[(&str, u64)]) -> Vec<(String, u64)> {
    lines
        .iter()
        .map(|(line, count)| ((*line).to_owned(), *count))
        .collect()
}

/// Objects are counted per namespace of each resource, in key order, for every scope.
pub async fn objects_are_counted_per_namespace(t: Fixture) {
    let store = t.open().await;
    for (group, resource, namespace, count) in [
        ("g", "r", "n10", 2),
        ("g", "r", "n1", 3),
        ("g", "r1", "n1", 1),
        ("", "r", "", 1),
        ("g1", "r", "n1", 4),
        ("g", "r", "", 2),
    ] {
        for name in 0..count {
            let key = ResourceKey::new(group, resource, namespace, name.to_string()).unwrap();
            put(&store, &key, "1").await;
        }
    }
    let all = [
        ("/r/", 1),
        ("g/r/", 2),
        ("g/r/n1", 3),
        ("g/r/n10", 2),
        ("g/r1/n1", 1),
        ("g1/r/n1", 4),
    ];
    assert_eq!(counts(&store, &Scope::All).await, expected(&all));
    assert_eq!(
        counts(&store, &Scope::group("g")).await,
        expected(&all[1..5])
    );
    assert_eq!(counts(&store, &Scope::group("")).await, expected(&all[..1]));
    assert_eq!(
        counts(&store, &Scope::resource("g", "r")).await,
        expected(&all[1..4])
    );
    let namespace = Scope::namespace("g", "r", "n1");
    assert_eq!(counts(&store, &namespace).await, expected(&all[2..3]));
    let namespace = Scope::namespace("g", "r", "");
    assert_eq!(counts(&store, &namespace).await, expected(&all[1..2]));
    assert_eq!(counts(&store, &Scope::group("unknown")).await, []);
    assert_eq!(counts(&store, &Scope::namespace("g", "r", "n")).await, []);
}

/// Creating counts up and deleting counts down; updating does not count.
pub async fn counts_follow_creations_and_deletions(t: Fixture) {
    let store = t.open().await;
    let line = format!("{GROUP}/{RESOURCE}/ns");
    for number in 0..4 {
        put(&store, &key(&number.to_string()), "1").await;
        put(&store, &key(&number.to_string()), "2").await;
        assert_eq!(
            counts(&store, &Scope::All).await,
            [(line.clone(), number + 1)]
        );
    }
    delete(&store, &key("0")).await;
    delete(&store, &key("1")).await;
    assert_eq!(counts(&store, &Scope::All).await, [(line.clone(), 2)]);
    put(&store, &key("0"), "again").await;
    assert_eq!(counts(&store, &Scope::All).await, [(line, 3)]);
}

/// A namespace without objects is not listed, whether it had some or not.
pub async fn empty_namespaces_are_not_listed(t: Fixture) {
    let store = t.open().await;
    put(&store, &key_in("n1", "a"), "1").await;
    put(&store, &key_in("n2", "a"), "1").await;
    delete(&store, &key_in("n1", "a")).await;
    let line = format!("{GROUP}/{RESOURCE}/n2");
    assert_eq!(counts(&store, &Scope::All).await, [(line, 1)]);
    delete(&store, &key_in("n2", "a")).await;
    assert_eq!(counts(&store, &Scope::All).await, []);
}

/// What changes nothing does not count: conflicts, checks, deletes of what is absent.
pub async fn what_changes_nothing_does_not_count(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let before = counts(&store, &Scope::All).await;
    conflict(&create(&store, &key("a"), "2").await);
    let failing = Transaction::put(key("b"), Precondition::Absent, "1")
        .and(Write::check(key("a"), Precondition::Absent));
    conflict(&commit(&store, failing).await);
    let absent = Transaction::delete(key("c"), Precondition::Any, "x")
        .and(Write::check(key("d"), Precondition::Absent));
    revision(&commit(&store, absent).await);
    revision(
        &commit(
            &store,
            Transaction::delete(key("c"), Precondition::Absent, "x"),
        )
        .await,
    );
    assert_eq!(counts(&store, &Scope::All).await, before);
}

/// One call that creates and deletes the same objects many times leaves exact counts.
pub async fn counts_are_exact_after_a_mixed_call(t: Fixture) {
    let store = t.open().await;
    let mut transactions = Vec::new();
    for number in 0..30 {
        let name = (number % 4).to_string();
        let namespace = ["n1", "n2"][number % 2];
        transactions.push(if number % 3 == 2 {
            Transaction::delete(key_in(namespace, &name), Precondition::Any, "x")
        } else {
            Transaction::put(key_in(namespace, &name), Precondition::Any, "1").and(Write {
                key: key_in("n3", &number.to_string()),
                precondition: Precondition::Absent,
                op: Op::Put("1".into()),
            })
        });
    }
    commit_all(&store, transactions).await;
    let items = crate::step::list(&store, storage_core::ListQuery::live(Scope::All)).await;
    for (line, count) in counts(&store, &Scope::All).await {
        let listed = items
            .iter()
            .filter(|i| line.ends_with(i.key.namespace()))
            .count();
        assert_eq!(listed as u64, count, "{line}");
    }
    let total: u64 = counts(&store, &Scope::All)
        .await
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(total, items.len() as u64);
}

/// One object and the internal group have no counts.
pub async fn one_object_and_the_internal_group_have_no_counts(t: Fixture) {
    let store = t.open().await;
    put(&store, &internal_key("a"), "1").await;
    put(&store, &key("a"), "1").await;
    for scope in [
        Scope::Object(key("a")),
        Scope::Object(internal_key("a")),
        Scope::group(storage_core::INTERNAL_GROUP),
        Scope::resource(storage_core::INTERNAL_GROUP, "conformance"),
    ] {
        assert_eq!(
            error_kind(store.stats(&scope).await),
            ErrorKind::Invalid,
            "{scope}"
        );
    }
    assert_eq!(counts(&store, &Scope::All).await.len(), 1);
}

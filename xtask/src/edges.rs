//! Which crate may use which: the architecture's table as a check on the manifests.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata};

/// What each crate of ours may use of ours in what it ships.
const OURS: [(&str, &[&str]); 11] = [
    ("storage-core", &[]),
    ("conformance", &["storage-core"]),
    ("backend-kv", &["storage-core"]),
    ("backend-sql", &["storage-core"]),
    ("dualwriter", &["storage-core"]),
    ("resource", &["storage-core"]),
    ("apiserver", &["resource", "storage-core"]),
    (
        "unistore",
        &[
            "apiserver",
            "backend-kv",
            "backend-sql",
            "dualwriter",
            "resource",
            "storage-core",
        ],
    ),
    (
        "bench",
        &[
            "backend-kv",
            "backend-sql",
            "conformance",
            "dualwriter",
            "storage-core",
        ],
    ),
    ("proof", &["conformance", "dualwriter", "storage-core"]),
    ("xtask", &[]),
];

/// What each crate may use of ours in its tests, beyond what it may use anyhow.
const OURS_IN_TESTS: [(&str, &[&str]); 8] = [
    ("storage-core", &["conformance"]),
    ("backend-kv", &["conformance"]),
    ("backend-sql", &["conformance"]),
    ("dualwriter", &["conformance"]),
    ("resource", &["conformance"]),
    ("apiserver", &["conformance"]),
    ("unistore", &["conformance"]),
    ("proof", &["backend-kv", "backend-sql"]),
];

/// Crates of others that stand for a subject, and the only crates of ours that may know it.
const SUBJECTS: [(&str, &[&str], &[&str]); 5] = [
    // The bench compares with the raw engine.
    ("redb and sled", &["redb", "sled"], &["backend-kv", "bench"]),
    ("SQL", &["rusqlite", "sqlx"], &["backend-sql"]),
    (
        "HTTP",
        &["hyper", "hyper-util", "http", "http-body-util", "tower"],
        &["apiserver"],
    ),
    // The binary makes the certificates that the server serves with.
    (
        "TLS",
        &["rustls", "tokio-rustls", "rcgen"],
        &["apiserver", "unistore"],
    ),
    (
        "the command line",
        &["clap", "indicatif"],
        &["unistore", "xtask"],
    ),
];

/// Returns a sentence for each edge that the architecture does not allow.
pub(crate) fn violations(metadata: &Metadata) -> Vec<String> {
    let names: BTreeSet<_> = metadata
        .workspace_packages()
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    let mut violations = Vec::new();
    for package in metadata.workspace_packages() {
        if allowed(&OURS, &package.name).is_none() {
            violations.push(format!(
                "{} is not in the table of xtask/src/edges.rs: say there what it may use",
                package.name
            ));
            continue;
        }
        for dependency in &package.dependencies {
            let edge = Edge {
                from: &package.name,
                to: &dependency.name,
                kind: dependency.kind,
            };
            violations.extend(edge.violation(&names));
        }
    }
    violations
}

struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    kind: DependencyKind,
}

impl Edge<'_> {
    fn violation(&self, ours: &BTreeSet<String>) -> Option<String> {
        let Self { from, to, .. } = self;
        if ours.contains(*to) {
            let refused = !self.may_use_ours();
            return refused
                .then(|| format!("{from} uses {to}, which the architecture does not allow"));
        }
        if self.kind == DependencyKind::Development {
            return None;
        }
        let (subject, _, knowing) = SUBJECTS.iter().find(|(_, crates, _)| crates.contains(to))?;
        let refused = !knowing.contains(from);
        refused.then(|| {
            format!(
                "{from} uses {to}, but only {} may know {subject}",
                knowing.join(" and ")
            )
        })
    }

    fn may_use_ours(&self) -> bool {
        let in_table = |table: &[(&str, &[&str])]| {
            allowed(table, self.from).is_some_and(|allowed| allowed.contains(&self.to))
        };
        let in_tests = self.kind == DependencyKind::Development;
        // The binary's tests may use everything, as the binary may.
        let everything = in_tests && self.from == "unistore";
        everything || in_table(&OURS) || (in_tests && in_table(&OURS_IN_TESTS))
    }
}

fn allowed<'a>(table: &'a [(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    let row = table.iter().find(|(row, _)| *row == name);
    row.map(|(_, allowed)| *allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_workspace_keeps_to_the_architecture() {
        assert_eq!(
            violations(&workspace::metadata().unwrap()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn edges_that_are_not_allowed_are_named() {
        let ours = OURS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let violation = |from, to, kind| Edge { from, to, kind }.violation(&ours);
        use DependencyKind::{Development, Normal};
        for (from, to, kind, text) in [
            (
                "backend-kv",
                "backend-sql",
                Normal,
                "backend-kv uses backend-sql, which the architecture does not allow",
            ),
            (
                "backend-kv",
                "backend-sql",
                Development,
                "backend-kv uses backend-sql, which the architecture does not allow",
            ),
            (
                "storage-core",
                "conformance",
                Normal,
                "storage-core uses conformance, which the architecture does not allow",
            ),
            (
                "resource",
                "apiserver",
                Normal,
                "resource uses apiserver, which the architecture does not allow",
            ),
            (
                "apiserver",
                "redb",
                Normal,
                "apiserver uses redb, but only backend-kv and bench may know redb and sled",
            ),
            (
                "dualwriter",
                "sqlx",
                Normal,
                "dualwriter uses sqlx, but only backend-sql may know SQL",
            ),
            (
                "unistore",
                "hyper",
                Normal,
                "unistore uses hyper, but only apiserver may know HTTP",
            ),
        ] {
            assert_eq!(violation(from, to, kind).as_deref(), Some(text));
        }
        for (from, to, kind) in [
            ("storage-core", "conformance", Development),
            ("unistore", "backend-sql", Normal),
            ("unistore", "conformance", Development),
            ("resource", "hyper", Development),
        ] {
            assert_eq!(violation(from, to, kind), None);
        }
    }
}

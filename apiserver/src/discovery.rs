use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use resource::{Group, Kind, KindScope};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A path below an object that is served for every kind.
struct Subresource {
    name: &'static str,
    verbs: &'static [&'static str],
    /// Whether it answers with a list of the kind.
    lists: bool,
}

/// In the order of their names.
const SUBRESOURCES: [Subresource; 2] = [
    Subresource {
        name: "history",
        verbs: &["get"],
        lists: true,
    },
    Subresource {
        name: "restore",
        verbs: &["create"],
        lists: false,
    },
];

/// The version of the core group, which is there without any kinds, too: clients find the kind
/// `List` of manifests in it.
pub(crate) const CORE_VERSION: &str = "v1";

/// The answer of `/api`: the versions of the core group.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": [CORE_VERSION],
        "serverAddressByClientCIDRs": []})
}

/// The answer of `/apis`: every group but the core group.
pub(crate) fn group_list(groups: &[Group]) -> Value {
    let groups: Vec<Value> = named(groups).map(group).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// The answer of `/apis/GROUP`.
pub(crate) fn one_group(of: &Group) -> Value {
    let mut answer = group(of);
    answer["kind"] = "APIGroup".into();
    answer["apiVersion"] = "v1".into();
    answer
}

/// The answer of `/apis/GROUP/VERSION` and `/api/VERSION`.
pub(crate) fn resource_list(group: &str, version: &str, kinds: &[Arc<Kind>]) -> Value {
    let resources: Vec<Value> = kinds.iter().flat_map(|kind| rows(kind)).collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version(group, version), "resources": resources})
}

/// The aggregated answer of `/api` (the core group) or `/apis` (the others).
pub(crate) fn aggregated(groups: &[Group], core: Core, discovery_version: &str) -> Value {
    let mut items: Vec<Value> = groups
        .iter()
        .filter(|group| group.name.is_empty() == matches!(core, Core::Only))
        .map(aggregated_group)
        .collect();
    if items.is_empty() && core == Core::Only {
        items.push(aggregated_item(
            "",
            &[aggregated_version(CORE_VERSION, &[])],
        ));
    }
    json!({"kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{discovery_version}"),
        "metadata": {}, "items": items})
}

/// Which groups an aggregated answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Core {
    /// The core group alone.
    Only,
    /// All but the core group.
    Without,
}

fn named(groups: &[Group]) -> impl Iterator<Item = &Group> {
    groups.iter().filter(|group| !group.name.is_empty())
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

fn group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            json!({"groupVersion": group_version(&group.name, &version.version),
                "version": version.version})
        })
        .collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    json!({"name": group.name, "versions": versions, "preferredVersion": preferred})
}

fn is_namespaced(kind: &Kind) -> bool {
    match kind.scope() {
        KindScope::Namespaced => true,
        KindScope::Cluster => false,
    }
}

fn rows(kind: &Kind) -> Vec<Value> {
    let namespaced = is_namespaced(kind);
    let mut row = json!({"name": kind.plural(), "singularName": kind.singular(),
        "namespaced": namespaced, "kind": kind.kind(), "verbs": kind.verbs(),
        "storageVersionHash": storage_version_hash(kind)});
    set_words(&mut row, kind);
    let below = SUBRESOURCES.iter().map(|subresource| {
        json!({"name": format!("{}/{}", kind.plural(), subresource.name), "singularName": "",
            "namespaced": namespaced, "kind": response_kind(kind, subresource),
            "verbs": subresource.verbs})
    });
    std::iter::once(row).chain(below).collect()
}

fn aggregated_group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| aggregated_version(&version.version, &version.kinds))
        .collect();
    aggregated_item(&group.name, &versions)
}

fn aggregated_item(group: &str, versions: &[Value]) -> Value {
    json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
}

fn aggregated_version(version: &str, kinds: &[Arc<Kind>]) -> Value {
    let resources: Vec<Value> = kinds.iter().map(|kind| aggregated_row(kind)).collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn aggregated_row(kind: &Kind) -> Value {
    let response = |name: &str| json!({"group": "", "version": "", "kind": name});
    let below: Vec<Value> = SUBRESOURCES
        .iter()
        .map(|subresource| {
            json!({"subresource": subresource.name,
                "responseKind": response(response_kind(kind, subresource)),
                "verbs": subresource.verbs})
        })
        .collect();
    let scope = if is_namespaced(kind) {
        "Namespaced"
    } else {
        "Cluster"
    };
    let mut row = json!({"resource": kind.plural(), "responseKind": response(kind.kind()),
        "scope": scope, "singularResource": kind.singular(), "verbs": kind.verbs(),
        "subresources": below});
    set_words(&mut row, kind);
    row
}

fn set_words(row: &mut Value, kind: &Kind) {
    if !kind.short_names().is_empty() {
        row["shortNames"] = kind.short_names().into();
    }
    if !kind.categories().is_empty() {
        row["categories"] = kind.categories().into();
    }
}

fn response_kind<'a>(kind: &'a Kind, subresource: &Subresource) -> &'a str {
    if subresource.lists {
        kind.list_kind()
    } else {
        kind.kind()
    }
}

/// Tells clients when objects are stored in another form.
fn storage_version_hash(kind: &Kind) -> String {
    let stored = format!(
        "{}/{}/{}",
        kind.group(),
        kind.storage_version(),
        kind.kind()
    );
    STANDARD.encode(&Sha256::digest(stored)[..8])
}

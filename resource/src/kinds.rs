use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kind::Kind;
use crate::manifest::{KindError, Manifest};

const BUILT_IN: [&str; 3] = [
    include_str!("../kinds/dashboard.json"),
    include_str!("../kinds/folder.json"),
    include_str!("../kinds/playlist.json"),
];

/// The kinds that are served. Readers take a snapshot; changes make a new one, in which what did
/// not change is shared with the one before.
#[derive(Debug)]
pub struct Kinds {
    resources: Mutex<Resources>,
    snapshot: ArcSwap<KindSnapshot>,
}

type Resources = BTreeMap<ResourceName, Resource>;

/// A compiled manifest.
#[derive(Clone, Debug)]
struct Resource {
    /// The served versions.
    kinds: Vec<Arc<Kind>>,
    hash: String,
}

impl Resource {
    fn compile(manifest: &Manifest, source: &Value) -> Result<Self, KindError> {
        let served = manifest.spec.versions.iter().filter(|v| v.served);
        let kinds = served.map(|version| Kind::compile(manifest, version).map(Arc::new));
        Ok(Self {
            kinds: kinds.collect::<Result<_, _>>()?,
            hash: hash([source.to_string().as_str()]),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ResourceName {
    group: String,
    plural: String,
}

impl Kinds {
    /// Creates a registry without kinds.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            resources: Mutex::default(),
            snapshot: ArcSwap::from_pointee(KindSnapshot::default()),
        }
    }

    /// Creates a registry of the kinds that come with the crate: playlists, folders, dashboards.
    ///
    /// # Panics
    /// Never: the manifests are part of the build, and a test reads them.
    #[must_use]
    pub fn built_in() -> Self {
        let kinds = Self::empty();
        for manifest in BUILT_IN {
            let manifest = serde_json::from_str(manifest).expect("a built-in manifest is JSON");
            kinds
                .apply(&manifest)
                .expect("a built-in manifest is valid");
        }
        kinds
    }

    /// Adds a resource by its manifest, or replaces it.
    ///
    /// # Errors
    /// What is wrong with the manifest, or a kind of the group that has the same name already.
    pub fn apply(&self, manifest: &Value) -> Result<(), KindError> {
        let read = Manifest::read(manifest)?;
        let resource = Resource::compile(&read, manifest)?;
        let name = ResourceName {
            group: read.spec.group,
            plural: read.spec.names.plural,
        };
        let mut resources = self.resources.lock();
        let mut changed = resources.clone();
        changed.insert(name, resource);
        self.publish(&mut resources, changed)
    }

    /// Removes a resource; tells whether there was one.
    pub fn remove(&self, group: &str, plural: &str) -> bool {
        let name = ResourceName {
            group: group.into(),
            plural: plural.into(),
        };
        let mut resources = self.resources.lock();
        let mut changed = resources.clone();
        changed.remove(&name).is_some() && self.publish(&mut resources, changed).is_ok()
    }

    /// Returns the kinds as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<KindSnapshot> {
        self.snapshot.load_full()
    }

    fn publish(&self, resources: &mut Resources, changed: Resources) -> Result<(), KindError> {
        let before = self.snapshot.load();
        let snapshot = KindSnapshot::of(&changed, before.generation + 1)?;
        *resources = changed;
        self.snapshot.store(Arc::new(snapshot));
        Ok(())
    }
}

/// The kinds at one moment.
#[derive(Debug, Default)]
pub struct KindSnapshot {
    generation: u64,
    hash: String,
    groups: Vec<Group>,
}

/// A group of the API.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name; empty for the core group.
    pub name: String,
    /// Its versions, the preferred one first.
    pub versions: Vec<GroupVersion>,
}

/// A version of a group.
#[derive(Clone, Debug)]
pub struct GroupVersion {
    /// Its name.
    pub version: String,
    /// Its kinds, by plural.
    pub kinds: Vec<Arc<Kind>>,
    hash: String,
}

impl KindSnapshot {
    /// Returns a number that rises with each change of the registry.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns a hash that is equal for equal kinds, in every process.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns such a hash for one version of a group.
    #[must_use]
    pub fn group_version_hash(&self, group: &str, version: &str) -> Option<&str> {
        Some(&self.group_version(group, version)?.hash)
    }

    /// Returns the groups, by name.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns a kind by the words of its URL.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let kinds = &self.group_version(group, version)?.kinds;
        kinds.iter().find(|kind| kind.plural() == plural).cloned()
    }

    fn group_version(&self, group: &str, version: &str) -> Option<&GroupVersion> {
        let group = self.groups.iter().find(|g| g.name == group)?;
        group.versions.iter().find(|v| v.version == version)
    }

    fn of(resources: &Resources, generation: u64) -> Result<Self, KindError> {
        let mut groups = BTreeMap::<&str, Versions<'_>>::new();
        for (name, resource) in resources {
            let group = groups.entry(&name.group).or_default();
            for kind in &resource.kinds {
                let kinds = group.entry(kind.version()).or_default();
                refuse_clash(kinds.iter().map(|(other, _)| &***other), kind)?;
                kinds.push((kind, &resource.hash));
            }
        }
        Ok(Self {
            generation,
            hash: hash(resources.values().map(|resource| resource.hash.as_str())),
            groups: groups
                .into_iter()
                .map(|(name, versions)| Group {
                    name: name.into(),
                    versions: group_versions(versions),
                })
                .collect(),
        })
    }
}

/// The kinds of each version of a group, with the hashes of their manifests.
type Versions<'a> = BTreeMap<&'a str, Vec<(&'a Arc<Kind>, &'a str)>>;

fn group_versions(versions: Versions<'_>) -> Vec<GroupVersion> {
    let mut versions: Vec<GroupVersion> = versions
        .into_iter()
        .map(|(version, kinds)| GroupVersion {
            version: version.into(),
            hash: hash(kinds.iter().map(|(_, hash)| *hash)),
            kinds: kinds
                .into_iter()
                .map(|(kind, _)| Arc::clone(kind))
                .collect(),
        })
        .collect();
    versions.sort_by_key(|version| Reverse(preference(&version.version)));
    versions
}

fn refuse_clash<'a>(
    mut others: impl Iterator<Item = &'a Kind>,
    kind: &Kind,
) -> Result<(), KindError> {
    match others.find(|other| other.kind() == kind.kind()) {
        None => Ok(()),
        Some(other) => Err(KindError(format!(
            "spec.names.kind: {} of {} is the kind of {} already",
            kind.kind(),
            kind.api_version(),
            other.group_resource()
        ))),
    }
}

/// Orders versions: `v2`, `v1`, `v1beta2`, `v1alpha1`, anything else.
fn preference(version: &str) -> (u8, u32, u32, Reverse<String>) {
    let other = (0, 0, 0, Reverse(version.to_string()));
    let Some(rest) = version.strip_prefix('v') else {
        return other;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (major, stage) = rest.split_at(digits);
    let number = |text: &str| text.parse::<u32>().ok();
    let parsed = if stage.is_empty() {
        number(major).map(|major| (3, major, 0))
    } else if let Some(minor) = stage.strip_prefix("beta") {
        number(major).zip(number(minor)).map(|(a, b)| (2, a, b))
    } else if let Some(minor) = stage.strip_prefix("alpha") {
        number(major).zip(number(minor)).map(|(a, b)| (1, a, b))
    } else {
        None
    };
    parsed.map_or(other, |(stage, major, minor)| {
        (stage, major, minor, Reverse(String::new()))
    })
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").expect("a string takes text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(plural: &str, kind: &str, versions: &[&str]) -> Value {
        let versions: Vec<Value> = versions
            .iter()
            .enumerate()
            .map(|(index, name)| {
                serde_json::json!({
                    "name": name, "served": true, "storage": index == 0,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                })
            })
            .collect();
        serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.example.com")},
            "spec": {"group": "example.com", "scope": "Cluster",
                "names": {"plural": plural, "kind": kind}, "versions": versions},
        })
    }

    #[test]
    fn built_in_kinds_are_found() {
        let snapshot = Kinds::built_in().snapshot();
        let playlist = snapshot
            .find("playlist.grafana.app", "v0alpha1", "playlists")
            .unwrap();
        assert_eq!(playlist.group_resource(), "playlists.playlist.grafana.app");
        assert_eq!(playlist.name_rule(), NameRule::Loose);
        let columns: Vec<_> = playlist
            .printer_columns()
            .iter()
            .map(|c| &*c.name)
            .collect();
        assert_eq!(columns, ["Title", "Interval", "Created At"]);
        assert!(
            snapshot
                .find("folder.grafana.app", "v1beta1", "folders")
                .is_some()
        );
        assert!(
            snapshot
                .find("dashboard.grafana.app", "v1beta1", "dashboards")
                .is_some()
        );
        assert!(
            snapshot
                .find("dashboard.grafana.app", "v1", "dashboards")
                .is_none()
        );
    }

    #[test]
    fn versions_are_in_order_of_preference() {
        let kinds = Kinds::empty();
        let names = ["foo", "v1alpha2", "v1", "v2beta1", "v10", "v1beta3", "bar"];
        kinds.apply(&manifest("things", "Thing", &names)).unwrap();
        let snapshot = kinds.snapshot();
        let order: Vec<_> = snapshot.groups()[0]
            .versions
            .iter()
            .map(|v| &*v.version)
            .collect();
        assert_eq!(
            order,
            ["v10", "v1", "v2beta1", "v1beta3", "v1alpha2", "bar", "foo"]
        );
        let columns = snapshot.groups()[0].versions[0].kinds[0].printer_columns();
        assert_eq!((columns.len(), &*columns[0].name), (1, "Age"));
    }

    #[test]
    fn changes_show_in_generation_and_hash() {
        let kinds = Kinds::built_in();
        let before = kinds.snapshot();
        kinds.apply(&manifest("things", "Thing", &["v1"])).unwrap();
        let with = kinds.snapshot();
        assert!(with.generation() > before.generation());
        assert_ne!(with.hash(), before.hash());
        let playlists = |s: &KindSnapshot| {
            s.group_version_hash("playlist.grafana.app", "v0alpha1")
                .map(String::from)
        };
        assert_eq!(playlists(&with), playlists(&before));
        assert!(kinds.remove("example.com", "things"));
        assert!(!kinds.remove("example.com", "things"));
        assert_eq!(kinds.snapshot().hash(), before.hash());
    }

    #[test]
    fn bad_manifests_are_refused_and_change_nothing() {
        let kinds = Kinds::empty();
        kinds.apply(&manifest("things", "Thing", &["v1"])).unwrap();
        let hash = kinds.snapshot().hash().to_string();
        let clash = kinds
            .apply(&manifest("others", "Thing", &["v1"]))
            .unwrap_err();
        assert_eq!(
            clash.to_string(),
            "spec.names.kind: Thing of example.com/v1 is the kind of others.example.com already"
        );
        let mut renamed = manifest("things", "Thing", &["v1"]);
        renamed["metadata"]["name"] = "x".into();
        let mut pattern = manifest("things", "Thing", &["v1"]);
        pattern["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["pattern"] = "(".into();
        let mut two = manifest("things", "Thing", &["v1", "v2"]);
        two["spec"]["versions"][1]["storage"] = true.into();
        let v1 = serde_json::json!({"apiVersion": "v1"});
        let mut rules = manifest("things", "Thing", &["v1"]);
        rules["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] =
            serde_json::json!([{"rule": "self.x > 0"}]);
        let mut webhook = manifest("things", "Thing", &["v1"]);
        webhook["spec"]["conversion"] = serde_json::json!({"strategy": "Webhook"});
        let mut internal = manifest("things", "Thing", &["v1"]);
        internal["metadata"]["name"] = "things.unistore.internal".into();
        internal["spec"]["group"] = "unistore.internal".into();
        let mut word = manifest("things", "Thing", &["v1"]);
        word["spec"]["names"]["kind"] = "Th\"ing".into();
        for bad in [renamed, pattern, two, v1, rules, webhook, internal, word] {
            assert!(kinds.apply(&bad).is_err(), "{bad} was taken");
        }
        assert_eq!(kinds.snapshot().hash(), hash);
    }

    use crate::names::NameRule;
}

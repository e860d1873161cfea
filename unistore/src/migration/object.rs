use bytes::Bytes;
use dualwriter::{Forced, Kind, Mode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storage_core::{Error, ErrorKind, ResourceKey, Result};

use super::condition;
use super::status::MigrationStatus;

/// The group of the kind.
pub(crate) const GROUP: &str = "unistore.dev";
const API_VERSION: &str = "unistore.dev/v1alpha1";
const KIND: &str = "StorageMigration";
const PLURAL: &str = "storagemigrations";

/// Returns the path of a kind's object.
pub(crate) fn path(kind: &Kind) -> String {
    format!("/apis/{API_VERSION}/{PLURAL}/{kind}")
}

/// Returns the key of a kind's object.
pub(super) fn key(kind: &Kind) -> Result<ResourceKey> {
    ResourceKey::new(GROUP, PLURAL, "", kind.to_string())
}

/// The object of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MigrationObject {
    api_version: String,
    kind: String,
    metadata: Map<String, Value>,
    pub(crate) spec: Spec,
    pub(crate) status: Option<MigrationStatus>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    /// The mode.
    pub(crate) mode: u8,
    /// Go up without a completed sync, once.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) skip_sync: bool,
    /// Go down and lose what was written, once.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) accept_loss: bool,
    /// Another text starts a sync.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) sync_request: String,
    /// Another text starts a comparison.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) verify_request: String,
    /// Another text starts a comparison that repairs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) repair_request: String,
}

impl Spec {
    /// Says what is to be done about a gate that is shut, on the way from a mode.
    pub(super) fn forced(&self, from: Mode, to: Mode) -> Forced {
        if to > from && self.skip_sync {
            Forced::SkipSync
        } else if to < from && self.accept_loss {
            Forced::AcceptLoss
        } else {
            Forced::No
        }
    }
}

impl MigrationObject {
    pub(super) fn new(kind: &Kind, created: &str, status: MigrationStatus) -> Self {
        let metadata = [
            ("name", kind.to_string().into()),
            ("uid", uid(kind).into()),
            ("creationTimestamp", created.into()),
            ("generation", 1.into()),
        ];
        let empty = Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: metadata
                .into_iter()
                .map(|(field, value)| (field.to_owned(), value))
                .collect(),
            spec: Spec {
                mode: status.changing_to.unwrap_or(status.mode),
                ..Spec::default()
            },
            status: None,
        };
        empty.with(status)
    }

    /// Returns the object with another status. What was asked for is what is: an order that was
    /// refused leaves no trace, and one that somebody else gave is taken over.
    pub(super) fn with(&self, mut status: MigrationStatus) -> Self {
        let before = self.status.as_ref();
        let before = before.map_or(&[][..], |status| &status.conditions);
        status.conditions = condition::all(&status, before);
        let spec = Spec {
            mode: status.changing_to.unwrap_or(status.mode),
            skip_sync: false,
            accept_loss: false,
            ..self.spec.clone()
        };
        let mut metadata = self.metadata.clone();
        if spec != self.spec {
            let generation = metadata.get("generation").and_then(Value::as_u64);
            let next = generation.unwrap_or_default() + 1;
            metadata.insert("generation".into(), next.into());
        }
        Self {
            metadata,
            spec,
            status: Some(status),
            ..self.clone()
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    pub(super) fn encode(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(unreadable)
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    let context = "a storage migration is not what it should be";
    Error::new(ErrorKind::Internal, "read migration", context).with_source(error)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The same in every process: 128 bits of the name, marked as a UUID of our own making.
fn uid(kind: &Kind) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let name = kind.to_string();
    let hash = name.bytes().fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    let marked = hash & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{marked:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_look_like_uuids_and_differ() {
        let of = |name: &str| uid(&name.parse().unwrap());
        let uid = of("playlists.playlist.grafana.app");
        assert_eq!(uid.len(), 36);
        assert_eq!((&uid[14..15], uid.matches('-').count()), ("8", 4));
        assert_ne!(uid, of("folders.folder.grafana.app"));
        assert_eq!(uid, of("playlists.playlist.grafana.app"));
    }

    #[test]
    fn a_gate_is_forced_only_in_its_direction() {
        let both = Spec {
            skip_sync: true,
            accept_loss: true,
            ..Spec::default()
        };
        assert_eq!(both.forced(Mode::Two, Mode::Three), Forced::SkipSync);
        assert_eq!(both.forced(Mode::Four, Mode::Two), Forced::AcceptLoss);
        let none = Spec::default();
        assert_eq!(none.forced(Mode::Four, Mode::Two), Forced::No);
    }
}

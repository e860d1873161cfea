//! What the targets on the Kubernetes API share: a small store with every kind in it.

use std::sync::{Arc, LazyLock};

use resource::{
    Collection, Kinds, Objects, ObjectsOptions, Reason, SeededRandom, TokenKey, WriteOptions,
};
use storage_core::Memory;
use tokio::runtime::{Builder, Runtime};

/// A runtime for one input after the other.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
});

/// Returns the objects of an empty store.
#[must_use]
pub fn objects() -> Objects {
    let key = TokenKey::random(&SeededRandom::new(1)).expect("chance is there");
    Objects::new(
        Arc::new(Memory::new()),
        Arc::new(Kinds::built_in()),
        ObjectsOptions::new(key),
    )
}

/// Returns the playlists of the namespace `default`.
#[must_use]
pub fn playlists(objects: &Objects) -> Collection {
    let kind = objects
        .kinds()
        .snapshot()
        .find("playlist.grafana.app", "v0alpha1", "playlists");
    let kind = kind.expect("the kind is built in");
    kind.collection(Some("default"))
        .expect("the namespace is well formed")
}

/// Creates a playlist of this name.
pub async fn create(objects: &Objects, name: &str) {
    let body = format!(
        r#"{{"apiVersion":"playlist.grafana.app/v0alpha1","kind":"Playlist","metadata":{{"name":"{name}","labels":{{"app":"a","n":"{name}"}},"annotations":{{"x/y":"z"}}}},"spec":{{"title":"t","interval":"5m","items":[{{"type":"dashboard_by_tag","value":"v"}}]}}}}"#
    );
    let (playlists, options) = (playlists(objects), WriteOptions::default());
    let created = objects.create(&playlists, body.as_bytes(), &options).await;
    created.expect("a good object is taken");
}

/// Fails on the refusals that say that the fault is ours.
///
/// # Panics
/// If the reason is an internal error.
pub fn must_be_the_callers_fault(failure: &resource::Failure) {
    assert_ne!(failure.reason(), Reason::InternalError, "{failure}");
}

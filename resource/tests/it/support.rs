//! A store with kinds, a clock and chance that repeat, and short words for requests.

use std::sync::Arc;
use std::time::Duration;

use resource::{
    Collection, DeleteOptions, Deletion, Failure, GetParameters, Kinds, ListParameters, Object,
    ObjectList, Objects, ObjectsOptions, Patch, Reason, Result, SeededRandom, Target, TokenKey,
    WriteOptions, Written,
};
use serde_json::{Value, json};
use storage_core::{ManualClock, Memory, StorageBackend, Timestamp};

/// 2023-12-14T13:53:35Z
pub(crate) const START: Timestamp = Timestamp::from_millis(1_702_562_015_000);
pub(crate) const START_TEXT: &str = "2023-12-14T13:53:35Z";

pub(crate) const FOLDERS: [&str; 3] = ["folder.grafana.app", "v1beta1", "folders"];
pub(crate) const PLAYLISTS: [&str; 3] = ["playlist.grafana.app", "v0alpha1", "playlists"];
pub(crate) const DASHBOARDS: [&str; 3] = ["dashboard.grafana.app", "v1beta1", "dashboards"];

pub(crate) struct World {
    pub(crate) objects: Objects,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Memory::with_clock(clock.clone());
        Self::on(Arc::new(store), clock)
    }

    pub(crate) fn on(store: Arc<dyn StorageBackend>, clock: Arc<ManualClock>) -> Self {
        let random = Arc::new(SeededRandom::new(1));
        let options = ObjectsOptions {
            clock: clock.clone(),
            token_key: TokenKey::random(&*random).unwrap(),
            random,
            bookmark_interval: Duration::from_secs(60),
            future_revision_wait: Duration::from_millis(50),
        };
        let kinds = Arc::new(Kinds::built_in());
        let objects = Objects::new(store, kinds, options);
        Self { objects, clock }
    }

    pub(crate) fn collection(&self, [group, version, plural]: [&str; 3]) -> Collection {
        let kind = self.objects.kinds().snapshot().find(group, version, plural);
        kind.unwrap().collection(Some("default")).unwrap()
    }

    pub(crate) fn everywhere(&self, [group, version, plural]: [&str; 3]) -> Collection {
        let kind = self.objects.kinds().snapshot().find(group, version, plural);
        kind.unwrap().collection(None).unwrap()
    }

    pub(crate) fn folders(&self) -> Collection {
        self.collection(FOLDERS)
    }

    pub(crate) fn folder(&self, name: &str) -> Target {
        self.folders().object(name).unwrap()
    }

    pub(crate) async fn create(&self, body: &Value) -> Result<Written> {
        self.create_with(body, &WriteOptions::default()).await
    }

    pub(crate) async fn create_with(
        &self,
        body: &Value,
        options: &WriteOptions,
    ) -> Result<Written> {
        let collection = self.collection(kind_of(body));
        let body = body.to_string();
        self.objects
            .create(&collection, body.as_bytes(), options)
            .await
    }

    /// Creates a folder with a label and returns it.
    pub(crate) async fn add(&self, name: &str, label: &str) -> Object {
        let mut body = folder(name);
        body["metadata"]["labels"] = json!({"app": label});
        self.create(&body).await.unwrap().object
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Object> {
        self.get_at(name, "", "").await
    }

    pub(crate) async fn get_at(&self, name: &str, version: &str, matching: &str) -> Result<Object> {
        let parameters = GetParameters {
            resource_version: version.into(),
            resource_version_match: matching.into(),
        };
        self.objects.get(&self.folder(name), &parameters).await
    }

    pub(crate) async fn update(&self, body: &Value) -> Result<Written> {
        let name = body["metadata"]["name"].as_str().unwrap();
        let target = self.collection(kind_of(body)).object(name).unwrap();
        let body = body.to_string();
        let options = WriteOptions::default();
        self.objects
            .update(&target, body.as_bytes(), &options)
            .await
    }

    /// Sets the title of a folder.
    pub(crate) async fn retitle(&self, name: &str, title: &str) -> Object {
        self.merge(name, &json!({"spec": {"title": title}}))
            .await
            .unwrap()
            .object
    }

    pub(crate) async fn merge(&self, name: &str, patch: &Value) -> Result<Written> {
        let patch = patch.to_string();
        self.patch(name, Patch::Merge(patch.as_bytes())).await
    }

    pub(crate) async fn patch(&self, name: &str, patch: Patch<'_>) -> Result<Written> {
        let options = WriteOptions::default();
        self.objects
            .patch(&self.folder(name), patch, &options)
            .await
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<Deletion> {
        let options = DeleteOptions::default();
        self.objects.delete(&self.folder(name), &options).await
    }

    pub(crate) async fn list(&self, parameters: &ListParameters) -> Result<ObjectList> {
        self.objects.list(&self.folders(), parameters).await
    }
}

fn kind_of(body: &Value) -> [&'static str; 3] {
    match body["kind"].as_str() {
        Some("Playlist") => PLAYLISTS,
        Some("Dashboard") => DASHBOARDS,
        _ => FOLDERS,
    }
}

pub(crate) fn folder(name: &str) -> Value {
    json!({
        "apiVersion": "folder.grafana.app/v1beta1", "kind": "Folder",
        "metadata": {"name": name}, "spec": {"title": name},
    })
}

pub(crate) fn playlist(name: &str) -> Value {
    json!({
        "apiVersion": "playlist.grafana.app/v0alpha1", "kind": "Playlist",
        "metadata": {"name": name},
        "spec": {"title": "t", "interval": "5m",
            "items": [{"type": "dashboard_by_tag", "value": "v"}]},
    })
}

pub(crate) fn value(object: &Object) -> Value {
    serde_json::from_slice(&object.to_json()).unwrap()
}

pub(crate) fn names(objects: &[Object]) -> Vec<&str> {
    objects.iter().map(Object::name).collect()
}

/// Asserts why a request was refused, and in which words.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    result: Result<T>,
    reason: Reason,
    message: &str,
) -> Failure {
    let failure = result.unwrap_err();
    assert_eq!((failure.reason(), failure.message()), (reason, message));
    failure
}

pub(crate) fn selecting(labels: &str, fields: &str) -> ListParameters {
    ListParameters {
        label_selector: labels.into(),
        field_selector: fields.into(),
        ..ListParameters::default()
    }
}

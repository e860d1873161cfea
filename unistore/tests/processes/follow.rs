use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Error, ResourceExt};
use storage_core::ChangeKind;
use tokio::time::Instant;

use crate::actor::{marker_of, version_of};
use crate::process::{BACKOFF, Process};
use crate::record::Marker;

/// What a watcher saw from one list on, over any number of connections, until it had to list again.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The version of the list.
    pub(crate) start: u64,
    /// Version and marker of the listed objects.
    pub(crate) listed: BTreeMap<String, (u64, Marker)>,
    pub(crate) events: Vec<Event>,
    /// Up to here nothing is missing.
    pub(crate) end: u64,
    /// Watches that it took.
    pub(crate) watches: usize,
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) change: ChangeKind,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) marker: Marker,
    pub(crate) at: Instant,
}

/// Why a segment ended.
enum Ended {
    /// The object that ends the run has come.
    Last,
    /// The server no longer knows the version.
    Expired,
}

/// Watches all playlists through one process, across its restarts, until an object has come.
pub(crate) async fn follow(process: Arc<Process>, last: String) -> Vec<Segment> {
    let api = process.playlists().await;
    let mut segments = Vec::new();
    loop {
        let mut segment = list(&process, &api).await;
        let ended = if segment.listed.contains_key(&last) {
            Ended::Last
        } else {
            watch(&process, &api, &mut segment, &last).await
        };
        segments.push(segment);
        match ended {
            Ended::Last => return segments,
            Ended::Expired => {}
        }
    }
}

async fn list(process: &Process, api: &Api<DynamicObject>) -> Segment {
    loop {
        process.up().await;
        let list = match api.list(&ListParams::default()).await {
            Ok(list) => list,
            Err(Error::Api(status)) => {
                back_off(&status).await;
                continue;
            }
            Err(_) => continue,
        };
        let start = list.metadata.resource_version.unwrap().parse().unwrap();
        let listed = list.items.iter().map(|object| {
            let state = (version_of(object), marker_of(&object.data));
            (object.name_any(), state)
        });
        return Segment {
            start,
            listed: listed.collect(),
            events: Vec::new(),
            end: start,
            watches: 0,
        };
    }
}

async fn watch(
    process: &Process,
    api: &Api<DynamicObject>,
    segment: &mut Segment,
    last: &str,
) -> Ended {
    loop {
        process.up().await;
        let from = segment.end.to_string();
        let mut events = match api.watch(&WatchParams::default(), &from).await {
            Ok(events) => events.boxed(),
            Err(Error::Api(status)) if status.code == 410 => return Ended::Expired,
            Err(Error::Api(status)) => {
                back_off(&status).await;
                continue;
            }
            Err(_) => continue,
        };
        segment.watches += 1;
        // An error here is a connection that broke.
        while let Ok(Some(event)) = events.try_next().await {
            let (change, object) = match event {
                WatchEvent::Added(object) => (ChangeKind::Created, object),
                WatchEvent::Modified(object) => (ChangeKind::Updated, object),
                WatchEvent::Deleted(object) => (ChangeKind::Deleted, object),
                WatchEvent::Bookmark(bookmark) => {
                    let version = bookmark.metadata.resource_version.parse().unwrap();
                    segment.end = segment.end.max(version);
                    continue;
                }
                WatchEvent::Error(status) if status.code == 410 => return Ended::Expired,
                WatchEvent::Error(status) => {
                    back_off(&status).await;
                    break;
                }
            };
            let event = Event {
                change,
                name: object.name_any(),
                version: version_of(&object),
                marker: marker_of(&object.data),
                at: Instant::now(),
            };
            segment.end = segment.end.max(event.version);
            let is_last = event.name == last;
            segment.events.push(event);
            if is_last {
                return Ended::Last;
            }
        }
    }
}

/// Waits after an answer after which a client tries again.
async fn back_off(status: &Status) {
    assert!(
        matches!(status.code, 429 | 503 | 504),
        "an answer that nobody expects: {status:?}"
    );
    tokio::time::sleep(BACKOFF).await;
}

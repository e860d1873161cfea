//! Storage inside another program: no server, no files, the same objects.
//!
//! Run it with `cargo run --package unistore --example embed`.

use futures::StreamExt;
use unistore::resource::{ListParameters, WatchEvent, WriteOptions};
use unistore::{Layers, StoreUrl, objects, registry};

const PLAYLIST: &str = r#"{
    "apiVersion": "playlist.grafana.app/v0alpha1",
    "kind": "Playlist",
    "metadata": {"generateName": "p-"},
    "spec": {"title": "Embedded", "interval": "5m", "items": []}
}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Any engine that is compiled in: redb:PATH, sqlite:PATH, postgres://…
    let url: StoreUrl = "memory:".parse()?;
    let layers = Layers::new(registry::open(&url).await?);
    let objects = objects(layers.store()).await?;

    let kinds = objects.kinds().snapshot();
    let kind = kinds
        .find("playlist.grafana.app", "v0alpha1", "playlists")
        .ok_or("no playlists")?;
    let playlists = kind.collection(Some("default"))?;

    let mut watch = objects
        .watch(&playlists, &ListParameters::default())
        .await?;
    let options = WriteOptions::default();
    let written = objects
        .create(&playlists, PLAYLIST.as_bytes(), &options)
        .await?;
    let object = &written.object;
    println!("created {} at {}", object.name(), object.revision());
    if let Some(WatchEvent::Added(object)) = watch.next().await {
        println!("watched {}", object.name());
    }
    let list = objects.list(&playlists, &ListParameters::default()).await?;
    println!("listed  {}", list.items.len());

    layers.shutdown().await;
    Ok(())
}

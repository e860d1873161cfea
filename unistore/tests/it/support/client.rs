use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use super::server::Server;

/// Returns a client of the `kube` crate that uses the server's kubeconfig.
pub(crate) async fn client(server: &Server) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

pub(crate) fn playlist_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("playlist.grafana.app", "v0alpha1", "Playlist");
    ApiResource::from_gvk_with_plural(&kind, "playlists")
}

pub(crate) fn playlists(client: Client) -> Api<DynamicObject> {
    Api::namespaced_with(client, "default", &playlist_resource())
}

/// Returns a playlist to create.
pub(crate) fn playlist(name: &str, title: &str) -> DynamicObject {
    DynamicObject::new(name, &playlist_resource()).data(json!({
        "spec": {
            "title": title,
            "interval": "5m",
            "items": [{"type": "dashboard_by_tag", "value": "panel-tests"}],
        },
    }))
}

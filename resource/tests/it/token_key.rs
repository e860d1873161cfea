use std::sync::Arc;

use resource::{Kinds, ListParameters, Objects, ObjectsOptions, Random, Result, TokenKey};
use storage_core::{ListQuery, Memory, Scope, StorageBackend};

use crate::support::{FOLDERS, World, folder};

/// Other bytes for each seed.
fn random(seed: u64) -> resource::SeededRandom {
    resource::SeededRandom::new(seed)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_processes_of_a_store_have_one_key() {
    let store = Arc::new(Memory::new());
    let first = TokenKey::load_or_create(&*store, &random(1)).await.unwrap();
    let second = TokenKey::load_or_create(&*store, &random(2)).await.unwrap();
    assert_eq!(first, second);
    let other_store = TokenKey::load_or_create(&Memory::new(), &random(2))
        .await
        .unwrap();
    assert_ne!(first, other_store);
    let everything = store.list(&ListQuery::live(Scope::All)).await.unwrap();
    assert!(everything.items.is_empty(), "a control record is shown");
    assert_eq!(format!("{first:?}"), "TokenKey", "the key is not for logs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_in_another_process() {
    let store: Arc<dyn StorageBackend> = Arc::new(Memory::new());
    let mut lists = Vec::new();
    for seed in [1, 2] {
        let key = TokenKey::load_or_create(&*store, &random(seed))
            .await
            .unwrap();
        let kinds = Arc::new(Kinds::built_in());
        lists.push(Objects::new(store.clone(), kinds, ObjectsOptions::new(key)));
    }
    let [group, version, plural] = FOLDERS;
    let kind = lists[0]
        .kinds()
        .snapshot()
        .find(group, version, plural)
        .unwrap();
    let folders = kind.collection(Some("default")).unwrap();
    for name in ["a", "b"] {
        let body = folder(name).to_string();
        lists[0]
            .create(&folders, body.as_bytes(), &Default::default())
            .await
            .unwrap();
    }
    let mut parameters = ListParameters {
        limit: Some(1),
        ..ListParameters::default()
    };
    let first = lists[0].list(&folders, &parameters).await.unwrap();
    parameters.continue_token = first.next.unwrap();
    let second = lists[1].list(&folders, &parameters).await.unwrap();
    assert_eq!(second.items[0].name(), "b");
}

/// Always the same name.
#[derive(Debug)]
struct Stuck;

impl Random for Stuck {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        bytes.fill(0);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_name_that_is_taken_is_tried_again_and_then_given_up() {
    let mut options = ObjectsOptions::new(TokenKey::random(&Stuck).unwrap());
    options.random = Arc::new(Stuck);
    let kinds = Arc::new(Kinds::built_in());
    let objects = Objects::new(Arc::new(Memory::new()), kinds, options);
    let folders = World::new().folders();
    let mut body = folder("");
    body["metadata"] = serde_json::json!({"generateName": "x"});
    let body = body.to_string();
    let create = async || {
        objects
            .create(&folders, body.as_bytes(), &Default::default())
            .await
    };
    assert_eq!(create().await.unwrap().object.name(), "xbbbbb");
    let failure = create().await.unwrap_err();
    assert_eq!(
        failure.message(),
        "folders.folder.grafana.app \"xbbbbb\" already exists, the server was not able to \
         generate a unique name for the object"
    );
    assert_eq!(failure.details().retry_after_seconds, Some(1));
}

//! Any body as a new object, a whole object, a merge patch and a JSON patch: the object changes
//! into something that is read back as valid JSON with its name, or nothing changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resource::{GetParameters, Objects, Patch, WriteOptions};
use unistore_fuzz::{RUNTIME, create, must_be_the_callers_fault, objects, playlists};

fuzz_target!(|body: &[u8]| {
    RUNTIME.block_on(write(body));
});

async fn write(body: &[u8]) {
    let objects = objects();
    create(&objects, "p").await;
    let playlists = playlists(&objects);
    let target = playlists.object("p").expect("the name is good");
    let options = WriteOptions::default();
    let answers = [
        objects.create(&playlists, body, &options).await,
        objects.update(&target, body, &options).await,
        objects.patch(&target, Patch::Merge(body), &options).await,
        objects.patch(&target, Patch::Json(body), &options).await,
    ];
    for failure in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        must_be_the_callers_fault(failure);
    }
    is_whole(&objects).await;
}

async fn is_whole(objects: &Objects) {
    let target = playlists(objects).object("p").expect("the name is good");
    let object = objects.get(&target, &GetParameters::default()).await;
    let json = object.expect("no patch removes it").to_json();
    let value: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(value["metadata"]["name"], "p");
    assert_eq!(value["kind"], "Playlist");
}

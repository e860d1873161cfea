//! Any selectors, continue token and resource version: a page or a refusal, never a fault of ours,
//! and never an object that the namespace does not have.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use resource::ListParameters;
use unistore_fuzz::{RUNTIME, create, must_be_the_callers_fault, objects, playlists};

#[derive(Arbitrary, Debug)]
struct Input {
    label_selector: String,
    field_selector: String,
    continue_token: String,
    resource_version: String,
    resource_version_match: String,
    limit: Option<u8>,
    flip: Option<(u16, u8)>,
}

fuzz_target!(|input: Input| {
    RUNTIME.block_on(list(input));
});

async fn list(input: Input) {
    let objects = objects();
    for name in ["a", "b", "c"] {
        create(&objects, name).await;
    }
    let playlists = playlists(&objects);
    let parameters = ListParameters {
        label_selector: input.label_selector,
        field_selector: input.field_selector,
        continue_token: input.continue_token,
        resource_version: input.resource_version,
        resource_version_match: input.resource_version_match,
        limit: input.limit.map(u64::from),
        ..ListParameters::default()
    };
    match objects.list(&playlists, &parameters).await {
        Ok(list) => assert!(
            list.items
                .iter()
                .all(|item| ["a", "b", "c"].contains(&item.name()))
        ),
        Err(failure) => must_be_the_callers_fault(&failure),
    }
    let first = ListParameters {
        limit: Some(1),
        ..ListParameters::default()
    };
    let page = objects
        .list(&playlists, &first)
        .await
        .expect("a plain list works");
    let token = page.next.expect("more objects follow");
    if let Some((position, flip)) = input.flip {
        tampered_token_is_refused(&objects, token, usize::from(position), flip).await;
    }
}

async fn tampered_token_is_refused(
    objects: &resource::Objects,
    token: String,
    position: usize,
    flip: u8,
) {
    let mut bytes = token.clone().into_bytes();
    let position = position % bytes.len();
    bytes[position] ^= flip & 0x7f;
    let Ok(tampered) = String::from_utf8(bytes) else {
        return;
    };
    if tampered == token {
        return;
    }
    let parameters = ListParameters {
        limit: Some(1),
        continue_token: tampered,
        ..ListParameters::default()
    };
    let answer = objects.list(&playlists(objects), &parameters).await;
    assert!(answer.is_err(), "a changed token was taken");
}

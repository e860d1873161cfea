//! What a client is told when the store cannot say whether a write was made.

use resource::{Effect, Reason};

use crate::staged::{Step, staged};
use crate::support::{folder, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_made_is_recognised() {
    let (world, store) = staged();
    store.plan(Step::LoseAnswerAfter);
    let created = world.create(&folder("a")).await.unwrap();
    assert_eq!(
        (created.effect, created.object.revision().get()),
        (Effect::Created, 1)
    );
    store.plan(Step::LoseAnswerAfter);
    assert_eq!(world.retitle("a", "b").await.revision().get(), 2);
    store.plan(Step::LoseAnswerAfter);
    world.delete("a").await.unwrap();
    assert_eq!(world.get("a").await.unwrap_err().reason(), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_not_found_has_an_unknown_outcome() {
    let (world, store) = staged();
    store.plan(Step::LoseAnswerBefore);
    let failure = refused(
        world.create(&folder("a")).await,
        Reason::Timeout,
        "Timeout: the outcome of the write is unknown: it may or may not have been made; \
         read the object before trying again",
    );
    assert_eq!(failure.details().retry_after_seconds, None);
    assert_eq!(
        world.create(&folder("a")).await.unwrap().effect,
        Effect::Created
    );
}

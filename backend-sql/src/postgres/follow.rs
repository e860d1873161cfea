use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, sleep, sleep_until};

use super::PostgresDriver;
use crate::SqlOptions;
use crate::server::Head;

/// How long after a failure the server is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Follows the newest revision: told by the server, and asked for now and then in case that what
/// it told was lost, as it is by some connection poolers.
pub(super) async fn follow(driver: &PostgresDriver, head: &Head, options: &SqlOptions) {
    loop {
        if let Err(error) = listen(driver, head, options).await {
            tracing::debug!(%error, "the notifications of the database broke off");
        }
        sleep(RETRY_AFTER).await;
    }
}

async fn listen(
    driver: &PostgresDriver,
    head: &Head,
    options: &SqlOptions,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&driver.pool).await?;
    listener.listen(&driver.channel).await?;
    let mut notifications = pin!(listener.into_stream());
    // At once: what was committed before the listener listened is told by nobody.
    let mut poll_at = Instant::now();
    loop {
        tokio::select! {
            notification = notifications.next() => {
                let Some(notification) = notification.transpose()? else {
                    return Ok(());
                };
                if let Ok(revision) = notification.payload().parse() {
                    head.reach(revision);
                }
            }
            () = sleep_until(poll_at) => {
                if let Err(failure) = head.poll(driver).await {
                    let error = failure.into_error();
                    tracing::debug!(%error, "the newest revision cannot be read");
                }
                poll_at = Instant::now() + options.poll_interval_max;
            }
        }
    }
}

//! A server that cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use backend_sql::SqlOptions;
use storage_core::{ErrorKind, SystemClock};

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_server_that_is_away_is_unavailable() {
    let url = "postgres://me:s3cret@127.0.0.1:1/name";
    let options = impatient();
    let opening = backend_sql::PostgresBackend::open(url, &options, Arc::new(SystemClock));
    let error = opening.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(
        !format!("{error:?} {error}").contains("s3cret"),
        "{error:?}"
    );
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_server_that_is_away_is_unavailable() {
    let url = "mysql://me:s3cret@127.0.0.1:1/name";
    let options = impatient();
    let opening = backend_sql::MysqlBackend::open(url, &options, Arc::new(SystemClock));
    let error = opening.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(
        !format!("{error:?} {error}").contains("s3cret"),
        "{error:?}"
    );
}

fn impatient() -> SqlOptions {
    SqlOptions {
        acquire_timeout: Duration::from_millis(200),
        ..SqlOptions::default()
    }
}

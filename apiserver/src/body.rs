use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Incoming};

use resource::Reason;

use crate::status::Status;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Most bytes of a body that is too large that are read and thrown away, so that the client sees
/// the refusal instead of a broken connection.
const DISCARD_BYTES_MAX: usize = 16 << 20;

/// Returns a body that is there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Reads the body of a request.
pub(crate) async fn read(
    body: Incoming,
    limit_bytes: usize,
    time: Duration,
) -> Result<Bytes, Status> {
    tokio::time::timeout(time, collect(body, limit_bytes))
        .await
        .unwrap_or_else(|_| Err(too_slow(time)))
}

fn too_slow(time: Duration) -> Status {
    let seconds = time.as_secs();
    let message = format!("Timeout: the request body did not arrive within {seconds}s");
    Status::failure(Reason::Timeout, message).with_code(408)
}

async fn collect(mut body: Incoming, limit_bytes: usize) -> Result<Bytes, Status> {
    let announced = body.size_hint().lower();
    if announced > limit_bytes as u64 {
        discard(body, announced).await;
        return Err(Status::body_too_large(limit_bytes));
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "request body broke off");
            Status::bad_request("the request body broke off")
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit_bytes {
            discard(body, 0).await;
            return Err(Status::body_too_large(limit_bytes));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn discard(mut body: Incoming, announced: u64) {
    let mut left = DISCARD_BYTES_MAX;
    if announced > left as u64 {
        return;
    }
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Buf::remaining);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

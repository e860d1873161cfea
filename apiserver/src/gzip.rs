use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::body::{Body, full};

/// The fastest level: a list is compressed once and read once.
const LEVEL: Compression = Compression::fast();

/// Tells whether an `Accept-Encoding` header takes gzip.
pub(crate) fn is_accepted(header: &str) -> bool {
    header.split(',').any(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            part.strip_prefix("q=")
                .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        coding.eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Compresses bytes, off the async threads.
pub(crate) async fn compress(bytes: Bytes) -> Result<Body, io::Error> {
    let work = move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), LEVEL);
        encoder.write_all(&bytes)?;
        encoder.finish()
    };
    let compressed = tokio::task::spawn_blocking(work).await??;
    Ok(full(compressed))
}

/// Compresses a stream of pages, each off the async threads. Memory is bounded by a page.
pub(crate) fn compress_stream(
    pages: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Body {
    let encoder = GzEncoder::new(Vec::new(), LEVEL);
    let frames = futures::stream::try_unfold(
        (Some(encoder), Box::pin(pages)),
        |(encoder, mut pages)| async move {
            let Some(encoder) = encoder else {
                return Ok(None);
            };
            match pages.next().await.transpose()? {
                Some(page) => {
                    let (chunk, encoder) = step(encoder, page).await?;
                    Ok::<_, io::Error>(Some((Frame::data(chunk), (Some(encoder), pages))))
                }
                None => Ok(Some((Frame::data(encoder.finish()?.into()), (None, pages)))),
            }
        },
    );
    StreamBody::new(frames).boxed_unsync()
}

async fn step(
    mut encoder: GzEncoder<Vec<u8>>,
    page: Bytes,
) -> io::Result<(Bytes, GzEncoder<Vec<u8>>)> {
    let work = move || {
        encoder.write_all(&page)?;
        encoder.flush()?;
        let chunk = std::mem::take(encoder.get_mut());
        Ok((chunk.into(), encoder))
    };
    tokio::task::spawn_blocking(work).await?
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn header_is_understood() {
        for header in ["gzip", "gzip, deflate", "br, GZIP;q=0.5", "deflate ,gzip"] {
            assert!(is_accepted(header), "{header}");
        }
        for header in ["", "identity", "gzip;q=0", "x-gzip"] {
            assert!(!is_accepted(header), "{header}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_come_back() {
        let pages = ["a".repeat(1000), String::new(), "b".repeat(70_000)];
        let whole = pages.concat();
        let stream = futures::stream::iter(pages.map(|page| Ok(Bytes::from(page))));
        for body in [
            compress_stream(stream),
            compress(whole.clone().into()).await.unwrap(),
        ] {
            let bytes = body.collect().await.unwrap().to_bytes();
            assert!(bytes.len() < 2_000);
            let mut text = String::new();
            flate2::read::GzDecoder::new(&bytes[..])
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, whole);
        }
    }
}

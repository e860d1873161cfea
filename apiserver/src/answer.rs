use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    VARY, WARNING,
};
use hyper::{Response, StatusCode};

use crate::body::{Body, full};
use crate::limits::GZIP_BYTES_MIN;
use crate::status::Status;
use crate::{gzip, warning};

/// What a handler answers: turned into HTTP at the very end, when it is known whether the client
/// takes it compressed.
pub(crate) struct Answer {
    code: StatusCode,
    headers: HeaderMap,
    payload: Payload,
}

/// The content of an answer.
pub(crate) enum Payload {
    /// All of it.
    Bytes(Bytes),
    /// Pages of one document. An error breaks the answer off, so that nobody takes a part for
    /// the whole.
    Pages(BoxStream<'static, io::Result<Bytes>>),
    /// Events, each sent as soon as it is there.
    Events(BoxStream<'static, Bytes>),
}

impl Answer {
    /// An answer of JSON that nobody keeps.
    pub(crate) fn json(payload: Payload) -> Self {
        Self::new(StatusCode::OK, "application/json", payload)
            .header(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"))
    }

    /// An answer of text for people.
    pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Self {
        let payload = Payload::Bytes(text.into());
        Self::new(code, "text/plain; charset=utf-8", payload)
            .header(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"))
            .header(
                HeaderName::from_static("x-content-type-options"),
                HeaderValue::from_static("nosniff"),
            )
    }

    pub(crate) fn new(code: StatusCode, content_type: &'static str, payload: Payload) -> Self {
        let answer = Self {
            code,
            headers: HeaderMap::new(),
            payload,
        };
        answer.header(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// An answer of nothing but a code.
    pub(crate) fn empty(code: StatusCode) -> Self {
        Self {
            code,
            headers: HeaderMap::new(),
            payload: Payload::Bytes(Bytes::new()),
        }
    }

    pub(crate) fn not_found_page() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }

    pub(crate) fn with_code(mut self, code: StatusCode) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds texts that the client shows to its user.
    pub(crate) fn warnings<'a>(mut self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        for text in texts.into_iter().take(warning::WARNINGS_MAX) {
            if let Some(value) = warning::header(text) {
                self.headers.append(WARNING, value);
            }
        }
        self
    }

    /// Turns it into HTTP.
    pub(crate) async fn into_response(self, takes_gzip: bool) -> Response<Body> {
        let mut headers = self.headers;
        let (body, compressed) = match self.payload {
            Payload::Bytes(bytes) if takes_gzip && bytes.len() > GZIP_BYTES_MIN => {
                match gzip::compress(bytes.clone()).await {
                    Ok(body) => (body, true),
                    Err(_) => (full(bytes), false),
                }
            }
            Payload::Bytes(bytes) => (full(bytes), false),
            Payload::Pages(pages) if takes_gzip => (gzip::compress_stream(pages), true),
            Payload::Pages(pages) => {
                let frames = pages.map(|page| page.map(Frame::data));
                (StreamBody::new(frames).boxed_unsync(), false)
            }
            Payload::Events(events) => {
                let frames = events.map(|event| Ok(Frame::data(event)));
                (StreamBody::new(frames).boxed_unsync(), false)
            }
        };
        if compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let mut response = Response::new(body);
        *response.status_mut() = self.code;
        *response.headers_mut() = headers;
        response
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = Self::json(Payload::Bytes(status.to_json())).with_code(code);
        match status.retry_after_seconds() {
            Some(seconds) => answer.header(RETRY_AFTER, HeaderValue::from(seconds)),
            None => answer,
        }
    }
}

/// A body that keeps something alive until it is sent or given up.
pub(crate) struct Held<T> {
    body: Body,
    _held: T,
}

impl<T> Held<T> {
    pub(crate) const fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use resource::{Collection, Watch, WatchEvent};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::accept::Shape;
use crate::answer::{Answer, Payload};
use crate::call::Call;
use crate::limits::{EVENT_BYTES_PER_WRITE_MAX, EVENTS_PER_WRITE_MAX, WATCH_TIME_MIN};
use crate::options;
use crate::status::Status;
use crate::view::View;

/// Answers with the changes of a collection, each as soon as it is there.
pub(crate) async fn watch(
    call: &Call<'_>,
    collection: &Collection,
    name: Option<&str>,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::One)?;
    let mut parameters = options::list(call.query)?;
    if let Some(name) = name {
        parameters = parameters.with_name(name);
    }
    let time = time(call.query.number("timeoutSeconds")?);
    let view = View::of_one(call, representation, collection.kind())?;
    let events = call.objects.watch(collection, &parameters).await?;
    let kind = collection.kind();
    let frames = Frames {
        events,
        view,
        end: Box::pin(tokio::time::sleep(time)),
        draining: call.api.draining.clone(),
        counter: metrics::counter!("apiserver_watch_events_total",
            "resource" => kind.plural().to_owned(), "group" => kind.group().to_owned()),
        ended: false,
    };
    let frames = stream::unfold(frames, |mut frames| async move {
        let bytes = frames.next().await?;
        Some((bytes, frames))
    });
    Ok(Answer::json(Payload::Events(frames.boxed())))
}

/// Without a wish of the client, watches end at different times, so that they do not all come
/// back at once.
fn time(wanted_seconds: Option<u64>) -> Duration {
    match wanted_seconds {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.min(WATCH_SECONDS_MAX)),
        _ => {
            let mut random = [0; 2];
            // Without randomness the time is the shortest, which is as good.
            let _ = getrandom::fill(&mut random);
            let share = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
            WATCH_TIME_MIN.mul_f64(1.0 + share)
        }
    }
}

/// Longest time that a client may ask for: timers take no more.
const WATCH_SECONDS_MAX: u64 = 365 * 24 * 3600;

/// The events of a watch as they stand on the wire.
struct Frames {
    events: Watch,
    view: View,
    end: Pin<Box<Sleep>>,
    draining: CancellationToken,
    counter: metrics::Counter,
    ended: bool,
}

impl Frames {
    /// Returns the next event, and those that are ready behind it, as one write.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let first = tokio::select! {
            event = self.events.next() => event,
            () = self.end.as_mut() => self.last_bookmark(),
            () = self.draining.cancelled() => self.last_bookmark(),
        };
        let mut out = Vec::new();
        self.write(first, &mut out);
        for _ in 1..EVENTS_PER_WRITE_MAX {
            if self.ended || out.len() > EVENT_BYTES_PER_WRITE_MAX {
                break;
            }
            let Some(event) = self.events.next().now_or_never() else {
                break;
            };
            self.write(event, &mut out);
        }
        (!out.is_empty()).then(|| out.into())
    }

    /// Ends the watch where its client can go on.
    fn last_bookmark(&mut self) -> Option<WatchEvent> {
        self.ended = true;
        self.events.closing_bookmark()
    }

    fn write(&mut self, event: Option<WatchEvent>, out: &mut Vec<u8>) {
        let Some(event) = event else {
            self.ended = true;
            return;
        };
        let start = out.len();
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(event.kind().as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        let written = match &event {
            WatchEvent::Added(object)
            | WatchEvent::Modified(object)
            | WatchEvent::Deleted(object) => self.view.one(object, out),
            WatchEvent::Bookmark(bookmark) => self.view.bookmark(bookmark, out),
            WatchEvent::Error(failure) => Err(failure.clone().into()),
        };
        if let Err(status) = written {
            out.truncate(start);
            out.extend_from_slice(b"{\"type\":\"ERROR\",\"object\":");
            out.extend_from_slice(status.to_json().trim_ascii_end());
            self.ended = true;
        }
        out.extend_from_slice(b"}\n");
        self.counter.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_end_at_the_asked_time_or_at_a_random_one() {
        assert_eq!(time(Some(5)), Duration::from_secs(5));
        assert_eq!(time(Some(u64::MAX)), Duration::from_secs(WATCH_SECONDS_MAX));
        for wanted in [None, Some(0)] {
            let chosen = time(wanted);
            assert!((WATCH_TIME_MIN..=2 * WATCH_TIME_MIN).contains(&chosen));
        }
    }
}

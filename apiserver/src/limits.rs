//! Every limit of the server, by name. A request beyond one gets the status that its text names.

use std::time::Duration;

/// Open connections. One more is closed at once.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Requests that read and are answered at the same time; more get 429.
pub const READS_IN_FLIGHT_MAX: usize = 400;
/// Requests that write and are answered at the same time; more get 429.
pub const WRITES_IN_FLIGHT_MAX: usize = 200;
/// Watches of the whole server; more get 429.
pub const WATCHES_MAX: usize = 5_000;
/// Watches of one user; more get 429.
pub const WATCHES_PER_USER_MAX: usize = 2_000;

/// Largest request body; more gets 413.
pub const BODY_BYTES_MAX: usize = 3 << 20;
/// Largest body of options, as a deletion has them; more gets 413.
pub const OPTIONS_BYTES_MAX: usize = 64 << 10;
/// Longest path with its query; more gets 414.
pub const URI_BYTES_MAX: usize = 32 << 10;
/// Most parameters in a query; more gets 400.
pub const QUERY_PARAMETERS_MAX: usize = 256;
/// Largest head of an HTTP/1 request.
pub const HEAD_BYTES_MAX: usize = 128 << 10;
/// Most headers of an HTTP/1 request.
pub const HEADERS_MAX: usize = 100;
/// Largest decoded header list of an HTTP/2 request.
pub const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;
/// Longest media type list of an `Accept` header that is looked at.
pub const ACCEPT_CLAUSES_MAX: usize = 64;

/// Streams of one HTTP/2 connection: a client's informers share one.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_000;
/// HTTP/2 receive window of one stream: request bodies are small.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// HTTP/2 receive window of a connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that one HTTP/2 stream buffers for a client that does not read.
pub const STREAM_SEND_BUFFER_BYTES: usize = 256 << 10;
/// HTTP/2 streams that a client may reset before they are answered.
pub const PENDING_RESETS_MAX: usize = 20;
/// HTTP/2 streams that we may reset on a client before the connection is closed.
pub const LOCAL_RESETS_MAX: usize = 1_024;
/// Time between HTTP/2 pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Time in which an HTTP/2 ping is answered.
pub const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Time in which a client takes some of what is written to it.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
/// Pause after an error of `accept`, such as too many open files.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers above this many bytes are compressed when the client asks for it.
pub const GZIP_BYTES_MIN: usize = 128 << 10;
/// Items of a page when a list is streamed.
pub const STREAM_PAGE_ITEMS: usize = 500;

/// Least default time of a watch; the most is twice that.
pub const WATCH_TIME_MIN: Duration = Duration::from_secs(1_800);
/// Events that are put into one write.
pub const EVENTS_PER_WRITE_MAX: usize = 64;
/// Bytes of events after which a write is full.
pub const EVENT_BYTES_PER_WRITE_MAX: usize = 256 << 10;

/// Password verifications that run at the same time.
pub const VERIFICATIONS_MAX: usize = 2;
/// Password verifications that wait; more get 429.
pub const VERIFICATIONS_WAITING_MAX: usize = 64;
/// Verified passwords that are remembered.
pub const VERIFIED_MAX: usize = 1_024;
/// How long a verified password is remembered.
pub const VERIFIED_TIME: Duration = Duration::from_secs(300);

/// Seconds that a client is asked to wait before it tries again.
pub const RETRY_AFTER_SECONDS: u32 = 1;

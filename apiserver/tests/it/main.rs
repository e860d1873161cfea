//! The server over real connections on the loopback interface, on the store in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod server;

mod authentication;
mod connections;
mod discovery;
mod health;
mod hostile;
mod http2;
mod lists;
mod objects;
mod openapi;
mod shutdown;
mod tables;
mod tls;
mod watches;

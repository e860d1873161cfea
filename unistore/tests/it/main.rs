//! Tests of the library and of the binary.
#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that it failed"
)]

mod consistency;
mod copy;
mod retention;

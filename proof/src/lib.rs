//! A simulator of the dual writer: the real code on two stores in memory, in processes that are
//! slow, fail before or after the effect, crash, or pause past a lease; clients, an operator and
//! watchers beside each other; and what must hold.
//!
//! One thread, a clock that jumps and a seeded runtime: the same choices give the same run each time.
//! They come from a seed in the tests, from the fuzzer's input in the fuzz target `transitions`.

mod chance;
mod clients;
mod connection;
mod finish;
mod history;
mod operator;
mod watcher;
mod world;

pub use chance::Choices;
pub use world::{Report, Size, run};

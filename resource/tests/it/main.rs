//! What `Objects` answers, on the executable specification of a store.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod create;
mod dashboards;
mod delete;
mod history;
mod list;
mod patch;
mod rivals;
mod schema;
mod staged;
mod support;
mod token_key;
mod unknown_outcome;
mod update;
mod watch;

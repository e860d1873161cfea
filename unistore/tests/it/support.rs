//! What end-to-end tests stand on: the real binary, real stores, real clients.

pub(crate) mod client;
pub(crate) mod kubectl;
pub(crate) mod server;
pub(crate) mod stores;

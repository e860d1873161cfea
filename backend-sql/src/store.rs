//! What the three engines have in common: the schema, the statements, and the algorithms that
//! run them on a [`Session`](session::Session). Written once; the dialects differ as data.

pub(crate) mod dialect;
pub(crate) mod failure;
pub(crate) mod key;
pub(crate) mod schema;
pub(crate) mod session;
pub(crate) mod statements;

pub(crate) mod record;
pub(crate) mod state;

pub(crate) mod apply;
pub(crate) mod plan;
pub(crate) mod view;

pub(crate) mod changes;
pub(crate) mod compact;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod stats;

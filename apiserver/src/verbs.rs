//! One file per verb. Each turns a parsed request into an answer or a status.

mod create;
mod delete;
mod delete_collection;
mod get;
mod history;
mod list;
mod patch;
mod restore;
mod update;
mod watch;

pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use delete_collection::delete_collection;
pub(crate) use get::get;
pub(crate) use history::history;
pub(crate) use list::list;
pub(crate) use patch::patch;
pub(crate) use restore::restore;
pub(crate) use update::update;
pub(crate) use watch::watch;

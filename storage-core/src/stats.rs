use std::sync::Arc;

/// How many objects of a resource a namespace has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceStats {
    /// The group.
    pub group: Arc<str>,
    /// The resource.
    pub resource: Arc<str>,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// Objects that exist; never zero.
    pub count: u64,
}

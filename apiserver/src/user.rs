//! The well-known users and groups, and what is known of somebody who sends requests.

/// The group of everyone who is authenticated. The server adds it.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of those who are not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The name of a user who did not say who they are.
pub const ANONYMOUS: &str = "system:anonymous";

/// Somebody who sends requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name, as in `kubectl auth whoami`.
    pub name: String,
    /// Stays the same when the name changes; may be empty.
    pub uid: String,
    /// The groups that authorization looks at.
    pub groups: Vec<String>,
}

impl User {
    /// Returns a user without groups of their own.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Returns the user `admin` of the group `system:masters`.
    #[must_use]
    pub fn admin() -> Self {
        Self::new("admin").group(MASTERS)
    }

    /// Adds a group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// Returns the user of a request without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS).group(UNAUTHENTICATED)
    }

    /// Tells whether the user is in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

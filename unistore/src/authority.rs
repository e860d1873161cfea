//! Who may do what.

use apiserver::user::MASTERS;
use apiserver::{AllowAuthenticated, Attributes, Authorizer, Decision, User};

use crate::migration;

/// Everyone who is known may work with objects; only administrators move kinds between stores.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Authority;

impl Authorizer for Authority {
    fn authorize(&self, user: &User, attributes: &Attributes<'_>) -> Decision {
        match attributes {
            Attributes::Resource { verb, group, .. }
                if *group == migration::GROUP
                    && !matches!(*verb, "get" | "list" | "watch")
                    && !user.is_in(MASTERS) =>
            {
                Decision::Deny(Some(format!("it takes the group {MASTERS}")))
            }
            Attributes::Resource { .. } | Attributes::Path { .. } => {
                AllowAuthenticated.authorize(user, attributes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use apiserver::user::AUTHENTICATED;

    use super::*;

    #[test]
    fn only_administrators_move_kinds() {
        let ada = User::new("ada").group(AUTHENTICATED).group("editors");
        let admin = User::admin().group(AUTHENTICATED);
        let attributes = |verb, group| Attributes::Resource {
            verb,
            group,
            version: "v1alpha1",
            resource: "storagemigrations",
            subresource: "",
            namespace: "",
            name: "x",
        };
        let allowed = |user: &User, verb, group| {
            Authority.authorize(user, &attributes(verb, group)) == Decision::Allow
        };
        assert!(allowed(&admin, "patch", migration::GROUP));
        assert!(allowed(&ada, "watch", migration::GROUP));
        assert!(allowed(&ada, "patch", "folder.grafana.app"));
        for verb in ["patch", "update", "create", "delete", "deletecollection"] {
            assert!(!allowed(&ada, verb, migration::GROUP), "{verb}");
        }
    }
}

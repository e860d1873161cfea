use serde::Serialize;

/// What `/version` answers. Clients warn when its minor version is far from their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// The Kubernetes API's major version.
    pub major: String,
    /// The Kubernetes API's minor version, digits only.
    pub minor: String,
    /// Both, and the version of this program.
    pub git_version: String,
    /// The commit this program was built from.
    pub git_commit: String,
    /// `clean` or `dirty`.
    pub git_tree_state: String,
    /// When it was built.
    pub build_date: String,
    /// Clients show it; here the name of the compiler.
    pub go_version: String,
    /// The compiler.
    pub compiler: String,
    /// The operating system and the architecture.
    pub platform: String,
}

impl Default for VersionInfo {
    fn default() -> Self {
        Self {
            major: "1".into(),
            minor: "33".into(),
            git_version: concat!("v1.33.0+unistore-", env!("CARGO_PKG_VERSION")).into(),
            git_commit: String::new(),
            git_tree_state: "clean".into(),
            build_date: "1970-01-01T00:00:00Z".into(),
            go_version: "none".into(),
            compiler: "rustc".into(),
            platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The name of the kubeconfig in the data directory.
pub(crate) const KUBECONFIG: &str = "unistore.kubeconfig";

/// What leads a client to the server.
pub(super) struct Entries<'a> {
    pub(super) server: String,
    pub(super) trusted: &'a str,
    pub(super) token: &'a str,
}

impl Entries<'_> {
    /// Tells whether a kubeconfig leads to the server, whatever else somebody wrote into it.
    pub(super) fn are_in(&self, text: &str) -> bool {
        let has = |entry: &str| text.lines().any(|line| line.trim() == entry);
        has(&format!("server: {}", self.server))
            && has(&format!("certificate-authority-data: {}", self.trusted()))
            && has(&format!("token: {}", self.token))
    }

    pub(super) fn render(&self) -> String {
        let Self { server, token, .. } = self;
        let trusted = self.trusted();
        format!(
            "apiVersion: v1
kind: Config
clusters:
- name: unistore
  cluster:
    server: {server}
    certificate-authority-data: {trusted}
users:
- name: admin
  user:
    token: {token}
contexts:
- name: unistore
  context:
    cluster: unistore
    user: admin
    namespace: default
current-context: unistore
"
        )
    }

    fn trusted(&self) -> String {
        STANDARD.encode(self.trusted)
    }
}

/// What a kubeconfig says.
pub(crate) struct Known {
    pub(crate) server: String,
    /// In PEM form.
    pub(crate) trusted: Vec<u8>,
    pub(crate) token: String,
}

/// Reads a kubeconfig that a server wrote.
pub(crate) fn read(text: &str) -> Option<Known> {
    let entry = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let trusted = STANDARD.decode(entry("certificate-authority-data")?).ok()?;
    Some(Known {
        server: entry("server")?.to_owned(),
        trusted,
        token: entry("token")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_ours_by_its_entries() {
        let entries = |server: &str| Entries {
            server: server.to_owned(),
            trusted: "PEM",
            token: "t",
        };
        let text = entries("https://127.0.0.1:1").render();
        assert!(entries("https://127.0.0.1:1").are_in(&text));
        let known = read(&text).unwrap();
        assert_eq!(known.server, "https://127.0.0.1:1");
        assert_eq!(
            (known.trusted.as_slice(), &*known.token),
            (&b"PEM"[..], "t")
        );
        assert!(read("server: x").is_none());
        assert!(!entries("https://127.0.0.1:11").are_in(&text));
        let edited = text.replace("namespace: default", "namespace: org-1");
        assert!(entries("https://127.0.0.1:1").are_in(&edited));
        let other = Entries {
            token: "u",
            ..entries("https://127.0.0.1:1")
        };
        assert!(!other.are_in(&text));
    }
}

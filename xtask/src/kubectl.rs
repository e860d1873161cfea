//! Finds the kubectl programs that the end-to-end tests run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Runner;
use crate::packages;

/// The variable that names kubectl programs, as `PATH` names folders.
pub(crate) const VARIABLE: &str = "UNISTORE_KUBECTL";

/// Returns the value of [`VARIABLE`] for tests: what was given, else what is found, else what can
/// be installed.
pub(crate) fn prepare(runner: &mut Runner) -> Result<String> {
    if let Ok(given) = std::env::var(VARIABLE) {
        for program in std::env::split_paths(&given) {
            if !packages::is_program(&program) {
                bail!(
                    "{VARIABLE} names {}, which is not a program",
                    program.display()
                );
            }
        }
        return Ok(given);
    }
    let mut found = installed();
    if found.is_empty() {
        let instead = format!("name kubectl programs in {VARIABLE}, separated by colons");
        packages::install(runner, &["kubernetes-client"], &instead)?;
        found = installed();
    }
    if found.is_empty() {
        bail!("no kubectl on the PATH, not even after installing it");
    }
    let joined = std::env::join_paths(found)?;
    joined
        .into_string()
        .ok()
        .context("a kubectl's path is not UTF-8")
}

fn installed() -> Vec<PathBuf> {
    let on_path = packages::programs("kubectl");
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for program in &on_path {
        let real = program.canonicalize().unwrap_or_else(|_| program.clone());
        if seen.insert(real.clone()) {
            found.push(program.clone());
        }
        for versioned in versions_beside(&real) {
            if seen.insert(versioned.clone()) {
                found.push(versioned);
            }
        }
    }
    found
}

/// Returns the `kubectl.1.NN` programs that some distributions put beside `kubectl`.
fn versions_beside(program: &Path) -> Vec<PathBuf> {
    let entries = program.parent().and_then(|folder| folder.read_dir().ok());
    let mut found: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("kubectl.1.") && packages::is_program(path)
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_beside_a_kubectl_are_found_in_order() {
        let folder = std::env::temp_dir().join(format!("xtask-kubectl-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, mode) in [
            ("kubectl", 0o755),
            ("kubectl.1.30", 0o755),
            ("kubectl.1.27", 0o755),
            ("kubectl.1.31", 0o644),
            ("kubectl.old", 0o755),
        ] {
            let path = folder.join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = versions_beside(&folder.join("kubectl"));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            found,
            [folder.join("kubectl.1.27"), folder.join("kubectl.1.30")]
        );
    }
}

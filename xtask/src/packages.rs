//! Programs that tests need and that cargo cannot bring: found, or installed where that is allowed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::Runner;

/// Folders that hold server programs but are not always on a user's `PATH`.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

/// Debian's switch that keeps packages from starting their services.
const POLICY_FILE: &str = "/usr/sbin/policy-rc.d";

/// Returns every program of this name on the `PATH` and in the system's folders, in that order.
pub(crate) fn programs(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = Vec::new();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    for program in folders.map(|folder| folder.join(name)) {
        if is_program(&program) && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

/// Returns the first program of this name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    programs(name).into_iter().next()
}

/// Tells whether a path is a file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Tells whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Installs Debian packages without letting their services start.
///
/// # Errors
/// If this process may not install, with what to do instead.
pub(crate) fn install(runner: &mut Runner, packages: &[&str], instead: &str) -> Result<()> {
    let wanted = packages.join(" ");
    if !is_root() || program("apt-get").is_none() {
        bail!(
            "{wanted} is missing and cannot be installed from here: run `apt-get install {wanted}` as root (or your system's equivalent), or {instead}"
        );
    }
    println!("installing {wanted}");
    let _policy = ServicePolicy::deny()?;
    runner.run(apt_get().arg("update"))?;
    runner
        .run(
            apt_get()
                .args(["install", "--yes", "--no-install-recommends"])
                .args(packages),
        )
        .with_context(|| format!("cannot install {wanted}: install it yourself, or {instead}"))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "--quiet",
        "-o",
        "DPkg::Lock::Timeout=120",
    ]);
    command
}

/// Keeps services from starting while it exists; an administrator's own policy is left alone.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    fn deny() -> Result<Self> {
        let file = Path::new(POLICY_FILE);
        if file.exists() {
            return Ok(Self { ours: false });
        }
        // 101 is "action forbidden by policy".
        fs::write(file, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY_FILE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_once() {
        let shells = programs("sh");
        assert!(!shells.is_empty());
        let mut unique = shells.clone();
        unique.dedup();
        assert_eq!(shells, unique);
        assert_eq!(program("no-program-has-this-name"), None);
    }
}

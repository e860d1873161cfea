//! The workspace: where it is, what is in it, and the cargo that built this tool.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use cargo_metadata::{Metadata, MetadataCommand};

/// Returns the folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Returns the folder that builds go to.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The variable with the user's own flags for the compiler.
const FLAGS_VARIABLE: &str = "RUSTFLAGS";

/// What the simulator's runs need to repeat exactly.
const SEEDED_RUNTIME: &str = "--cfg tokio_unstable";

/// Returns a call of cargo in the workspace.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    // Set by the `cargo run` that this tool runs under; they would make builds start over.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    if let Ok(flags) = std::env::var(FLAGS_VARIABLE) {
        // It replaces the flags of `.cargo/config.toml`.
        command.env(FLAGS_VARIABLE, format!("{flags} {SEEDED_RUNTIME}"));
    }
    command
}

/// Reads the manifests of the workspace, without resolving what they depend on.
pub(crate) fn metadata() -> Result<Metadata> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()?;
    Ok(metadata)
}

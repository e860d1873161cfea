//! Rules of the project's style that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A file beyond this has more than one concept in it.
const LINES_MAX: usize = 800;

/// The one file where a feature may stand on something else than `mod` and `use`: an entry of the
/// table of engines.
const REGISTRY: &str = "unistore/src/registry.rs";

/// This file, which quotes what it looks for.
const THIS_FILE: &str = "xtask/src/tidy.rs";

/// Folders that hold no source of ours.
const SKIPPED: [&str; 3] = ["target", ".git", "corpus"];

/// Returns a sentence for each rule that a source file below `root` breaks.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    collect(root, &mut paths)?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        files.push((name, fs::read_to_string(&path)?));
    }
    let mut violations: Vec<_> = files
        .iter()
        .flat_map(|(name, text)| of_file(name, text))
        .collect();
    violations.extend(forgotten(&files));
    Ok(violations)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                collect(&path, paths)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn of_file(name: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    if name == "mod.rs" || name.ends_with("/mod.rs") {
        violations.push(format!(
            "{name}: name the file after its module instead of mod.rs"
        ));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        violations.push(format!(
            "{name}: {lines} lines, at most {LINES_MAX} are allowed: split it by concept"
        ));
    }
    if name != THIS_FILE {
        violations.extend(features(name, text));
    }
    violations
}

/// Finds features that stand on something else than modules, imports, tests and the registry.
fn features(name: &str, text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_test = name.contains("/tests/") || name.contains("/benches/");
    let mut violations = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let in_macro = line.contains("cfg!(") && line.contains("feature");
        let in_attribute = line.starts_with("#[cfg(") && line.contains("feature");
        let allowed = is_test || name == REGISTRY || names_a_module(&lines[index + 1..]);
        if (in_macro && !line.starts_with("//")) || (in_attribute && !allowed) {
            let number = index + 1;
            violations.push(format!(
                "{name}:{number}: a feature may stand on `mod`, `use` and registry lines only"
            ));
        }
    }
    violations
}

/// Tells whether the first item in these lines is a module or an import.
fn names_a_module(lines: &[&str]) -> bool {
    let mut in_attribute = false;
    let item = lines.iter().find(|line| {
        in_attribute |= line.starts_with("#[");
        let skipped = in_attribute || line.starts_with("//");
        in_attribute &= !line.ends_with(']');
        !skipped
    });
    item.is_some_and(|item| {
        let item = match item.strip_prefix("pub") {
            Some(rest) => rest.trim_start_matches(|c: char| c != ' ').trim_start(),
            None => item,
        };
        item.starts_with("mod ") || item.starts_with("use ")
    })
}

/// Finds files that no `mod` line names: the compiler never sees them, and their tests never run.
fn forgotten(files: &[(String, String)]) -> Vec<String> {
    let named: BTreeSet<(&str, &str)> = files
        .iter()
        .flat_map(|(name, text)| {
            let of_crate = crate_of(name);
            module_names(text).map(move |module| (of_crate, module))
        })
        .collect();
    let is_root = |path: &Path| {
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        let stem = path.file_stem().unwrap_or_default();
        // Cargo finds these by itself.
        ["main", "lib", "build"].iter().any(|root| stem == *root)
            || ["examples", "benches", "tests", "bin", "fuzz_targets"]
                .iter()
                .any(|own| folder == *own)
    };
    files
        .iter()
        .filter_map(|(name, _)| {
            let path = Path::new(name);
            let stem = path.file_stem()?.to_str()?;
            let forgotten = !is_root(path) && !named.contains(&(crate_of(name), stem));
            forgotten.then(|| format!("{name}: no `mod {stem};` names it, so nothing compiles it"))
        })
        .collect()
}

fn crate_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

fn module_names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim().strip_suffix(';')?;
        let (before, module) = line.rsplit_once("mod ")?;
        (before.is_empty() || before.starts_with("pub")).then_some(module)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_sources_keep_the_rules() {
        let violations = violations(workspace::root()).unwrap();
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }

    #[test]
    fn module_files_and_long_files_are_refused() {
        assert_eq!(of_file("a/src/x/mod.rs", "").len(), 1);
        assert_eq!(of_file("a/src/x.rs", &"\n".repeat(LINES_MAX)).len(), 0);
        assert_eq!(of_file("a/src/x.rs", &"\n".repeat(LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn features_stand_on_modules_only() {
        for allowed in [
            "#[cfg(feature = \"redb\")]\nmod redb;",
            "#[cfg(feature = \"redb\")]\n#[doc(inline)]\npub(crate) use redb::Redb;",
            "#[cfg(any(feature = \"a\", feature = \"b\"))]\n/// Docs.\npub mod c;",
            "#[cfg(feature = \"a\")]\n#[cfg_attr(\n    not(b),\n    allow(c)\n)]\nmod d;",
            "// not `if cfg!(feature = \"a\")`",
            "#[cfg(test)]\nfn f() {}",
        ] {
            assert_eq!(of_file("a/src/x.rs", allowed), Vec::<String>::new());
        }
        for refused in [
            "fn f() {\n    #[cfg(feature = \"redb\")]\n    g();\n}",
            "#[cfg(not(feature = \"redb\"))]\nfn f() {}",
            "fn f() {\n    if cfg!(feature = \"redb\") {}\n}",
        ] {
            assert_eq!(of_file("a/src/x.rs", refused).len(), 1, "{refused}");
        }
        let entry = "const A: [u8; 1] = [\n    #[cfg(feature = \"redb\")]\n    1,\n];";
        assert_eq!(of_file(REGISTRY, entry), Vec::<String>::new());
        assert_eq!(of_file("a/tests/it/main.rs", entry), Vec::<String>::new());
    }

    #[test]
    fn a_file_without_a_module_line_is_found() {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let files = [
            file("a/src/lib.rs", "pub mod used;\nmod nested;"),
            file("a/src/used.rs", ""),
            file("a/src/nested.rs", "pub(crate) mod deep;"),
            file("a/src/nested/deep.rs", ""),
            file("a/tests/it/main.rs", ""),
            file("a/tests/it/lost.rs", ""),
            file("b/src/main.rs", "mod lost;"),
        ];
        assert_eq!(
            forgotten(&files),
            ["a/tests/it/lost.rs: no `mod lost;` names it, so nothing compiles it"]
        );
    }
}

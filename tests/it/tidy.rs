//! Rules of the source: dependencies, names, sizes, imports, language.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::root;

/// Areas that do not follow every rule yet.
mod areas;
/// The size of folders.
mod folders;
/// Imports between the files of a crate.
mod imports;
/// The language of the project.
mod words;

/// Allowed dependencies between the crates of this repository. [`PLUGIN`] holds those of `plugins/*`.
const EDGES: &[(&str, &[&str])] = &[
    ("tidegate-abi", &[]),
    ("tidegate-query", &[]),
    ("tidegate-sdk", &[]),
    ("tidegate-codec", &["tidegate-abi", "tidegate-sdk"]),
    ("tidegate-export", &["tidegate-abi", "tidegate-codec", "tidegate-sdk"]),
    ("tidegate-loader", &["tidegate-abi", "tidegate-codec", "tidegate-sdk"]),
    ("tidegate-config", &["tidegate-sdk"]),
    ("tidegate-runtime", &["tidegate-sdk", "tidegate-config"]),
    ("tidegate-testkit", &["tidegate-sdk"]),
];

/// Allowed dependencies of a plugin.
const PLUGIN: &[&str] = &["tidegate-export", "tidegate-query", "tidegate-sdk"];

/// Maximum number of lines of a source file.
const LINES: usize = 500;

/// Entries at the top of the repository.
const TOP: &[&str] = &[
    ".ci",
    ".git",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "engine",
    "pipelines",
    "plugins",
    "rustfmt.toml",
    "target",
    "tests",
];

/// File names that do not describe the content.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "manager", "types"];

/// Every file below `folder` with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with(".git") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The shell scripts of the repository, which have no extension.
fn scripts() -> Vec<PathBuf> {
    let mut found = vec![root().join(".ci/run")];
    for folder in ["tests", "tests/bench", "tests/crash", "tests/fuzz", "tests/sanitize"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_file() && name.starts_with("run") && !name.contains('.') {
                found.push(path.clone());
            }
        }
    }
    found
}

/// Manifest of each crate, and its dependencies within this repository.
fn dependencies() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let mut crates = BTreeMap::new();
    for folder in ["engine", "plugins"] {
        for path in
            files(&root().join(folder), "toml").into_iter().filter(|path| path.ends_with("Cargo.toml"))
        {
            let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            let of =
                |key: &str| manifest.get(key).and_then(|table| table.as_table()).cloned().unwrap_or_default();
            let ours =
                of("dependencies").keys().filter(|name| name.starts_with("tidegate")).cloned().collect();
            crates.insert(name, (path, ours));
        }
    }
    crates
}

#[test]
fn crates_import_only_what_they_may() {
    let crates = dependencies();
    assert!(crates.len() > 10, "the crates are found");
    for (name, (path, ours)) in crates {
        assert!(!ours.contains("tidegate-servers"), "{name}: the servers are a dev-dependency only");
        let allowed = match EDGES.iter().find(|(known, _)| *known == name) {
            Some((_, allowed)) => *allowed,
            None if path.starts_with(root().join("plugins")) => PLUGIN,
            None if name == "tidegate" => continue,
            None => panic!("{name} is not in the list of who imports whom"),
        };
        for dependency in ours {
            assert!(allowed.contains(&dependency.as_str()), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn only_the_command_line_names_plugins() {
    for folder in ["sdk", "config", "runtime", "testkit"] {
        for path in files(&root().join("engine").join(folder).join("src"), "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for plugin in
                ["tidegate_http", "tidegate_redis", "tidegate_file", "tidegate_jq", "tidegate_stdio"]
            {
                assert!(!text.contains(plugin), "{} names {plugin}", path.display());
            }
        }
    }
}

#[test]
fn config_does_no_input_or_output() {
    for path in files(&root().join("engine/config/src"), "rs") {
        if path.to_string_lossy().contains("test") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in ["std::fs", "std::env", "std::net", "std::time::Instant", "SystemTime"] {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn files_are_short_and_well_named() {
    for folder in ["engine", "plugins", "tests"] {
        for path in files(&root().join(folder), "rs") {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(!EMPTY_NAMES.contains(&stem.as_str()), "{} has a name that says nothing", path.display());
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= LINES, "{} has {lines} lines; split it", path.display());
        }
    }
}

/// Guards against tables that name tests which were renamed.
#[test]
fn every_test_that_is_named_in_the_tables_exists() {
    let mut known = BTreeSet::new();
    for folder in ["engine", "plugins", "tests"] {
        for path in files(&root().join(folder), "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names =
                text.lines().filter_map(|line| line.trim_start().split_once("fn ")?.1.split('(').next());
            known.extend(names.map(str::to_owned));
        }
    }
    let text = fs::read_to_string(root().join("tests/README.md")).unwrap();
    let named = text.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`'));
    let named: Vec<&str> = named.filter_map(|word| word.rsplit_once("::")).map(|(_, name)| name).collect();
    assert!(named.len() > 50, "the tables are found");
    let missing: Vec<&str> = named.into_iter().filter(|name| !known.contains(*name)).collect();
    assert!(missing.is_empty(), "there are no tests of these names: {missing:?}");
}

/// Searching a crate for examples takes seconds, so crates without any disable it.
#[test]
fn examples_in_documentation_are_run() {
    for folder in ["engine", "plugins", "tests"] {
        for path in files(&root().join(folder), "toml") {
            if path.ends_with("Cargo.toml") && fs::read_to_string(&path).unwrap().contains("doctest = false")
            {
                for source in files(&path.with_file_name("src"), "rs") {
                    let text = fs::read_to_string(&source).unwrap();
                    let example = |line: &str| ["/// ```", "//! ```"].contains(&line.trim());
                    assert!(
                        !text.lines().any(example),
                        "{} has an example: remove `doctest = false` from {}",
                        source.display(),
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn the_top_holds_only_what_it_has_to() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(TOP.contains(&name.as_str()), "{name} does not belong at the top of the repository");
    }
}

#[test]
fn every_crate_and_plugin_is_introduced() {
    for folder in ["engine", "plugins"] {
        for path in files(&root().join(folder), "rs") {
            if path.ends_with("src/lib.rs") {
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
            }
        }
    }
    for entry in fs::read_dir(root().join("plugins")).unwrap() {
        let path = entry.unwrap().path();
        assert!(!path.is_dir() || path.join("README.md").exists(), "{} has no README.md", path.display());
    }
}

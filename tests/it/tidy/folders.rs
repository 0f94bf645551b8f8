//! The size of folders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::areas::{Fault, each_area_is_clean_or_listed};
use crate::harness::root;

/// More source files than this in one folder hide its structure.
const FILES: usize = 15;

#[test]
fn folders_hold_at_most_fifteen_source_files() {
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for folder in ["engine", "plugins", "tests"] {
        for extension in ["rs", "c", "h", "py"] {
            for path in super::files(&root().join(folder), extension) {
                *folders.entry(path.parent().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    let crowded = folders.into_iter().filter(|(_, count)| *count > FILES);
    let faults = crowded.map(|(path, count)| {
        Fault::new(&path.join("."), 0, format!("{count} source files in one folder, at most {FILES}"))
    });
    each_area_is_clean_or_listed("folders", faults.collect());
}

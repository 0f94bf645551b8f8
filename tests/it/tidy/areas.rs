//! Areas of the repository that do not follow every rule yet. The list may only become shorter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::harness::root;

/// Areas that break a rule, such as `("words", &["engine/sdk"])`. One that no longer does must be removed from here.
const NOT_YET: &[(&str, &[&str])] = &[];

/// Extensions of files that people read.
const TEXTS: &[&str] = &["rs", "md", "c", "h", "toml", "txt", "py", "lua"];

/// A breach of a rule.
pub(super) struct Fault {
    path: PathBuf,
    line: usize,
    reason: String,
}

impl Fault {
    pub(super) fn new(path: &Path, line: usize, reason: String) -> Self {
        Self { path: path.strip_prefix(root()).unwrap().to_owned(), line, reason }
    }

    /// The crate or folder that a file belongs to, such as `engine/runtime` or `tests/it`.
    fn area(&self) -> String {
        let parts: Vec<_> = self.path.iter().map(|part| part.to_string_lossy()).collect();
        match parts.as_slice() {
            [] => String::new(),
            [top] | [top, _] => top.clone().into_owned(),
            [top, folder, ..] => format!("{top}/{folder}"),
        }
    }
}

/// Every text of the repository, except what is generated or quotes the banned words.
pub(super) fn text_files() -> &'static [PathBuf] {
    static FILES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FILES.get_or_init(|| {
        let found = TEXTS.iter().flat_map(|extension| super::files(&root(), extension));
        let mut found: Vec<PathBuf> = found.chain(super::scripts()).collect();
        found.retain(|path| !path.ends_with("tests/it/tidy/words.rs"));
        found.sort();
        found
    })
}

/// Fails for a fault in an area that is not listed, and for a listed area without a fault.
///
/// `TIDEGATE_TIDY=engine/runtime` prints the faults of a listed area too, `TIDEGATE_TIDY=all` those of every area.
pub(super) fn each_area_is_clean_or_listed(rule: &str, faults: Vec<Fault>) {
    let listed = NOT_YET.iter().find(|(name, _)| *name == rule).map_or(&[][..], |(_, areas)| *areas);
    let mut areas: BTreeMap<String, Vec<Fault>> = BTreeMap::new();
    for fault in faults {
        areas.entry(fault.area()).or_default().push(fault);
    }
    let mut report = String::new();
    let shown = std::env::var("TIDEGATE_TIDY").unwrap_or_default();
    for (area, faults) in &areas {
        if shown == "all" || shown == *area || !listed.contains(&area.as_str()) {
            for Fault { path, line, reason } in faults {
                let _ = writeln!(report, "{}:{line}: {reason}", path.display());
            }
        }
    }
    let clean: BTreeSet<&str> = listed.iter().copied().filter(|area| !areas.contains_key(*area)).collect();
    if !clean.is_empty() {
        let _ =
            writeln!(report, "{rule}: clean now, remove from NOT_YET in tests/it/tidy/areas.rs: {clean:?}");
    }
    assert!(report.is_empty(), "{rule}:\n{report}");
}

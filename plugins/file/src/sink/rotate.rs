//! Sealing a file: its final name, and which of the older ones go.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// How a sealed file is marked, between the name and its endings: `-20260131T235959Z-0001`.
const STAMP: &[u8] = b"-00000000T000000Z-0000";

/// Renames the file at `path` to its sealed name, and deletes the oldest sealed ones beyond `keep`.
pub(crate) fn seal(path: &Path, now: Timestamp, keep: Option<usize>) -> io::Result<PathBuf> {
    let sealed = sealed_path(path, now);
    fs::rename(path, &sealed)?;
    sync_folder(path)?;
    forget_old(path, keep);
    Ok(sealed)
}

/// The name that the file at `path` gets when it is sealed; nothing is there yet.
pub(crate) fn sealed_path(path: &Path, now: Timestamp) -> PathBuf {
    let (stem, endings) = split(path);
    let mut number = 1;
    loop {
        let stamp = format!("{stem}-{}-{number:04}{endings}", now.strftime("%Y%m%dT%H%M%SZ"));
        let candidate = path.with_file_name(stamp);
        if !candidate.exists() {
            return candidate;
        }
        number += 1;
    }
}

/// Deletes the oldest sealed files of `path` beyond `keep`. A file is sealed, whatever becomes of these.
pub(crate) fn forget_old(path: &Path, keep: Option<usize>) {
    let Some(keep) = keep else { return };
    if let Err(error) = forget(path, keep) {
        tracing::warn!("old files beside {} cannot be deleted: {error}", path.display());
    }
}

/// Makes what happened to the names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn forget(path: &Path, keep: usize) -> io::Result<()> {
    let (stem, endings) = split(path);
    let mut sealed: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| is_sealed(name, &stem, &endings)) {
            sealed.push(name);
        }
    }
    sealed.sort_unstable();
    let over = sealed.len().saturating_sub(keep);
    for name in &sealed[..over] {
        fs::remove_file(path.with_file_name(name))?;
    }
    Ok(())
}

fn is_sealed(name: &str, stem: &str, endings: &str) -> bool {
    let stamp = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(endings)).unwrap_or_default();
    let same = |(byte, model): (&u8, &u8)| match model {
        b'0' => byte.is_ascii_digit(),
        _ => byte == model,
    };
    stamp.len() == STAMP.len() && stamp.as_bytes().iter().zip(STAMP).all(same)
}

/// `events.jsonl.gz` as `events` and `.jsonl.gz`.
fn split(path: &Path) -> (String, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let start = name.char_indices().skip(1).find(|(_, letter)| *letter == '.');
    let (stem, endings) = name.split_at(start.map_or(name.len(), |(at, _)| at));
    (stem.to_owned(), endings.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sealed_files_of_the_same_name_are_old_ones() {
        let sealed = |name| is_sealed(name, "events", ".jsonl");
        assert!(sealed("events-20260131T235959Z-0001.jsonl"));
        for other in ["events.jsonl", "events-old.jsonl", "events-20260131T235959Z-0001.jsonl.gz", "x.jsonl"]
        {
            assert!(!sealed(other), "{other}");
        }
        assert_eq!(split(Path::new("a/.b.c.gz")), (".b".to_owned(), ".c.gz".to_owned()));
        assert_eq!(split(Path::new("plain")), ("plain".to_owned(), String::new()));
    }
}

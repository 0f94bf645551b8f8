//! Sealing of files: their final names, and deletion of old ones.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::location::Folder;

/// Form of the mark of a sealed file, between its name and its endings: `-20260131T235959Z-0001`.
const STAMP: &[u8] = b"-00000000T000000Z-0000";

/// Renames the file to its sealed name, and deletes the oldest sealed ones beyond `keep`.
pub(crate) fn seal(folder: &Folder, now: Timestamp, keep: Option<usize>) -> io::Result<()> {
    folder.rename(&sealed_name(folder, now))?;
    folder.sync()?;
    forget_old(folder, keep);
    Ok(())
}

/// Returns the name of the file after sealing. No file has it yet.
pub(crate) fn sealed_name(folder: &Folder, now: Timestamp) -> OsString {
    let (stem, endings) = split(folder.name());
    let mut number = 1;
    loop {
        let name: OsString = format!("{stem}-{}-{number:04}{endings}", now.strftime("%Y%m%dT%H%M%SZ")).into();
        if !folder.has(&name) {
            return name;
        }
        number += 1;
    }
}

/// Returns a glob for the sealed files of `path`; `None` if the path has characters of globs.
pub(crate) fn sealed_glob(path: &str) -> Option<String> {
    let (folder, name) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
    let (stem, endings) = split(OsStr::new(name));
    let stamp: String =
        STAMP.iter().map(|byte| if *byte == b'0' { '?' } else { char::from(*byte) }).collect();
    (!path.contains(['*', '?', '['])).then(|| format!("{folder}{stem}{stamp}{endings}"))
}

/// Deletes the oldest sealed files beyond `keep`. An error is only a warning.
pub(crate) fn forget_old(folder: &Folder, keep: Option<usize>) {
    let Some(keep) = keep else { return };
    if let Err(error) = forget(folder, keep) {
        tracing::warn!("old files beside {} cannot be deleted: {error}", folder.name().display());
    }
}

/// Makes changes of names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn forget(folder: &Folder, keep: usize) -> io::Result<()> {
    let (stem, endings) = split(folder.name());
    let mut sealed = folder.names()?;
    sealed.retain(|name| name.to_str().is_some_and(|name| is_sealed(name, &stem, &endings)));
    sealed.sort_unstable();
    let over = sealed.len().saturating_sub(keep);
    sealed[..over].iter().try_for_each(|name| folder.remove(name))
}

fn is_sealed(name: &str, stem: &str, endings: &str) -> bool {
    let stamp = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(endings)).unwrap_or_default();
    let same = |(byte, model): (&u8, &u8)| match model {
        b'0' => byte.is_ascii_digit(),
        _ => byte == model,
    };
    stamp.len() == STAMP.len() && stamp.as_bytes().iter().zip(STAMP).all(same)
}

/// Splits `events.jsonl.gz` into `events` and `.jsonl.gz`.
fn split(name: &OsStr) -> (String, String) {
    let name = name.to_string_lossy().into_owned();
    let start = name.char_indices().skip(1).find(|(_, character)| *character == '.');
    let (stem, endings) = name.split_at(start.map_or(name.len(), |(at, _)| at));
    (stem.to_owned(), endings.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sealed_files_of_the_same_name_are_deleted() {
        let sealed = |name| is_sealed(name, "events", ".jsonl");
        assert!(sealed("events-20260131T235959Z-0001.jsonl"));
        for other in ["events.jsonl", "events-old.jsonl", "events-20260131T235959Z-0001.jsonl.gz", "x.jsonl"]
        {
            assert!(!sealed(other), "{other}");
        }
        assert_eq!(sealed_glob("out/a.jsonl.gz").unwrap(), "out/a-????????T??????Z-????.jsonl.gz");
        assert_eq!(sealed_glob("out/[a]"), None);
        assert_eq!(split(OsStr::new(".b.c.gz")), (".b".to_owned(), ".c.gz".to_owned()));
        assert_eq!(split(OsStr::new("plain")), ("plain".to_owned(), String::new()));
    }
}

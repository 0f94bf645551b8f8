//! Confinement of rendered paths to the literal folder of their template.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tidegate_sdk::Template;

use super::location::Location;

/// Returns the folder to which all paths of `template` are confined.
pub(crate) fn folder(template: &Template) -> &Path {
    let prefix = template.prefix();
    match prefix.rfind('/') {
        Some(0) => Path::new("/"),
        Some(end) => Path::new(&prefix[..end]),
        None => Path::new("."),
    }
}

/// Checks that the text of `rendered` names a file under the literal folder of `template`.
pub(crate) fn check(template: &Template, rendered: &str) -> Result<(), String> {
    let literal = template.prefix().rfind('/').map_or(0, |end| end + 1);
    let from_data = &rendered[literal..];
    if from_data.contains('\0') {
        return Err(format!("`{}` contains a NUL byte, which no path may", from_data.escape_debug()));
    }
    if let Some(part) = from_data.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        let folder = folder(template).display();
        let what = if part.is_empty() { "an empty name" } else { part };
        return Err(format!(
            "`{}` has `{what}` in it and may leave the folder {folder}",
            from_data.escape_debug()
        ));
    }
    if from_data.split('/').any(|part| part.len() > 255) || rendered.len() > 4000 {
        return Err(format!("a file name of {} bytes is too long", from_data.len()));
    }
    Ok(())
}

/// Checks that the file at the location has no other name, by a symbolic or a hard link: what is appended under one name
/// would be cut off under the other.
pub(crate) fn one_name(location: &Location) -> Result<(), String> {
    let Some(root) = location.root() else { return Ok(()) };
    let rest = location.path().strip_prefix(root).unwrap_or(location.path());
    let mut here = root.to_owned();
    for part in rest {
        here.push(part);
        let Ok(known) = std::fs::symlink_metadata(&here) else { break };
        if known.is_symlink() || (known.is_file() && known.nlink() > 1) {
            return Err(format!("{} is a link, so the file has more than one name", here.display()));
        }
    }
    Ok(())
}
